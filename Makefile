# The habits of this project. Each target makes its own .venv when there is none.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: install compiled demo test docs damage-table simulate mutants chaos chaos-store bench bench-full bench-store check clean

install: $(STAMP)

# torch first and by itself: an open range would take its CUDA build, which is several gigabytes.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Thoth needs Python 3.11 or newer; this is " + sys.version.split()[0] + ": make PYTHON=python3.11")'
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[service,documents,offline,dev,docs]"
	touch $@

# Compiled also where the environment forbids it: a start would take a fifth longer, and a run of the
# tests starts a thousand processes of ours.
compiled: install
	$(BIN)/python -m compileall -q cli embed_worker store_worker thoth_core

demo: compiled
	$(BIN)/python examples/demo.py

# Files run side by side, each of them in one process (tests/support/side_by_side.py): twice as many
# as there are cores in CI, because many tests wait.
JOBS ?= 4
test: compiled
	$(BIN)/python -m tests.support.convert_model
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder --max-worker-restart 0

# The pages as a site in docs/_build: any warning, as of a link that leads nowhere, is an error.
# The parts that are made from the code: python -m docs.generate.
docs: install
	$(BIN)/python -m docs.generate --check
	$(BIN)/python -m sphinx -E -W --keep-going -q -b html docs docs/_build
	@echo "docs/_build/index.html"

# Every damage that an index of 5,000 chunks can have, and what stock Chroma makes of it: ten minutes.
damage-table: install
	THOTH_DAMAGE_TABLE=full $(BIN)/python -m pytest -rP tests/integration/test_store_damage_table.py \
		tests/integration/test_chroma_check.py

# Three hundred faults of all kinds, supervisor and clients among them, under load: nine minutes.
chaos: compiled
	$(BIN)/python -m tests.chaos.service

# A thousand simulated histories of the supervisor's decisions, with faults of every kind: minutes.
simulate: install
	$(BIN)/python -m tests.simulation.run

# Each planted bug of tests/simulation/mutations.py is to be found: minutes.
mutants: install
	$(BIN)/python -m tests.simulation.mutants

# Two hundred deaths of the store and its index under load, and Chroma alone beside it: ten minutes.
chaos-store: compiled
	$(BIN)/python -m tests.chaos.store

# Beside other ways to do it, on the same weights and texts, and what single things take: ten minutes.
bench: compiled
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[bench]"
	$(BIN)/python -m benchmarks.speed --json bench.json --plot bench.png

# The same with more rounds and all kinds of texts, how near the vectors are to those of
# sentence-transformers, and a store of 200,000 chunks: fifty minutes.
bench-full: compiled
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[bench]"
	$(BIN)/python -m benchmarks.speed --full --json bench.json --plot bench.png

# The store in figures beside bare Chroma: ten minutes; docs/measurements.md says what came of it.
bench-store: compiled
	$(BIN)/python -m benchmarks.store

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis docs/_build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
