"""Which tests of a run by several processes go together, and which are begun first.

A file's tests run in one process, because they share what takes seconds to make. Where they share
nothing, each may run anywhere; and the files of a group share something too.
"""

from __future__ import annotations

#: Each loads torch, which takes a process five seconds of a core, and 700 MB.
TORCH = (
    "tests/integration/test_embed_openvino.py",
    "tests/integration/test_embed_openvino_kinds.py",
    "tests/integration/test_embed_sentence_transformers.py",
    "tests/integration/test_embed_half_precision.py",
    "tests/integration/test_real_model.py",
    "tests/integration/test_embed_model_places.py",
)
#: Each takes the directories of tests/support/stock_pair.py, which take stock Chroma as long.
PAIR = (
    "tests/integration/test_rescue.py",
    "tests/integration/test_chroma_gather.py",
    "tests/integration/test_brought_in_twice.py",
)
#: Long ones whose tests have each a service or a store of its own.
EACH_ALONE = frozenset(
    {
        "tests/faults/test_death_reports.py",
        "tests/faults/test_disk_full_index.py",
        "tests/faults/test_openai_faults_in_turn.py",
        "tests/faults/test_quarantine.py",
        "tests/faults/test_restart_of_a_busy_worker.py",
        "tests/faults/test_store_hang.py",
        "tests/integration/test_index_process.py",
        "tests/integration/test_reembed.py",
        "tests/integration/test_store_durability.py",
        "tests/integration/test_store_sizes.py",
    }
)
GROUPS = {"torch": TORCH, "pair": PAIR}
#: What takes longest, and so must not be left for the end of a run, when nothing runs beside it.
FIRST = (
    *TORCH,
    *PAIR,
    "tests/integration/test_store_damage_table.py",
    "tests/integration/test_cli.py",
    "tests/integration/test_docs_run.py",
    "tests/integration/test_chroma_check.py",
    "tests/faults/test_store_away.py",
    "tests/faults/test_store_hang.py",
    "tests/faults/test_ledger_damaged.py",
    "tests/simulation/test_mutations.py",
    "tests/simulation/test_delivery.py",
)


def group_of(test: str) -> str:
    """The name of the group that a test, a node id of pytest, runs with in one process."""
    file = test.partition("::")[0]
    if file in EACH_ALONE:
        return test
    for name, files in GROUPS.items():
        if file in files:
            return name
    return file


def place(test: str) -> int:
    """Its place in the order of a run, for a sort that leaves equal ones as they are."""
    file = test.partition("::")[0]
    return FIRST.index(file) if file in FIRST else len(FIRST)
