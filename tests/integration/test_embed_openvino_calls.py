"""The calls that the engine for CPUs makes of the packaged model: their shapes, and that padding
them changes no vector."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path
from pydoc_data import topics
from typing import Any

import numpy as np
import pytest

from embed_worker.engines.base import Options
from embed_worker.engines.id_rows import IdRows
from embed_worker.engines.openvino import OpenVinoEngine, load

LOG = logging.getLogger("test.embed")
MODEL = "all-MiniLM-L6-v2"
TEXTS = ["x", *(text[:most] for text in list(topics.topics.values())[:20] for most in (90, 700))]


@pytest.fixture
def engine() -> OpenVinoEngine:
    return load(Options(MODEL, precision="fp32"), LOG)


def rows_of(engine: OpenVinoEngine, texts: list[str]) -> tuple[IdRows, list[list[int]]]:
    rows = engine._rows["document"]
    ids = rows.tokenise(texts)
    return rows, [rows.row(each, 0, min(len(each), 254)) for each in ids]


def test_padded_rows_have_the_vectors_of_rows_as_they_are(engine: OpenVinoEngine) -> None:
    rows, made = rows_of(engine, TEXTS)
    rows.align = 16
    plain = IdRows(rows._tokenizer, engine._description, "document")
    for row in made:
        padded, alone = rows.features([row]), plain.features([row])
        assert padded["input_ids"].shape[1] % rows.align == 0
        assert alone["input_ids"].shape[1] == len(row)
        vectors = [engine._graph.run(each)[0] for each in (padded, alone)]
        assert np.allclose(*vectors, atol=2e-6)


def test_no_row_is_padded_over_what_the_model_reads(engine: OpenVinoEngine) -> None:
    # A limit that no alignment divides, as a user may have set it in the model's files.
    rows, made = rows_of(engine, ["word " * 400])
    rows._limit, rows.align = 250, 16
    assert rows.features([made[0][:243]])["input_ids"].shape == (1, 250)


def test_a_call_of_many_texts_has_few_shapes_within_the_measured_bounds(
    engine: OpenVinoEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes: list[tuple[int, ...]] = []
    run = engine._graph.run

    def seen(features: dict[str, Any]) -> Any:
        shapes.append(features["input_ids"].shape)
        return run(features)

    monkeypatch.setattr(engine._graph, "run", seen)
    bounds = engine._bounds
    engine.embed(TEXTS * 3, "document", lambda: None)
    for count, length in shapes:
        assert length % bounds.align == 0
        assert count == 1 or count * length <= bounds.tokens
    assert max(count for count, _ in shapes) > 1


def test_a_compiled_model_that_is_cut_short_is_not_used(tmp_path: Path) -> None:
    # In a process of its own: native code reads it.
    folder = tmp_path / "model"
    shutil.copytree(
        load(Options(MODEL, precision="fp32"), LOG).folder,
        folder,
        ignore=lambda _, names: [name for name in names if name.startswith("compiled")],
    )
    code = (
        "import logging, sys\n"
        "from pathlib import Path\n"
        "from embed_worker.engines.openvino_run import Graph\n"
        "graph = Graph(Path(sys.argv[1]), 'fp32', 1, logging.getLogger())\n"
        "import numpy as np\n"
        "ids = np.full((1, 16), 2000)\n"
        "names = ('input_ids', 'attention_mask', 'token_type_ids')\n"
        "made = graph.run(dict(zip(names, (ids, ids * 0 + 1, ids * 0))))\n"
        "print(np.round(made.sum(), 5))\n"
    )

    def run() -> str:
        done = subprocess.run(
            [sys.executable, "-c", code, str(folder)],
            timeout=120,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout

    first = run()
    [blob] = folder.glob("compiled-fp32-1-*/*.blob")
    assert run() == first
    whole = blob.stat().st_size
    os.truncate(blob, whole // 2)
    assert run() == first
    assert run() == first
    [again] = folder.glob("compiled-fp32-1-*/*.blob")
    assert again.stat().st_size == whole
