"""What a worker's environment holds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from thoth_core.supervisor.environment import (
    PASSED,
    PASSED_PREFIXES,
    THREAD_NAMES,
    child_environment,
    dropped_names,
)

names = st.sampled_from(
    ["PATH", "OMP_NUM_THREADS", "LD_PRELOAD", "PYTHONPATH", "OPENAI_API_KEY", "HF_HOME", "LC_ALL"]
) | st.text("ABCXYZ_", min_size=1, max_size=12)


@given(st.dictionaries(names, st.text(max_size=5)))
def test_only_what_is_listed_passes(environ: dict[str, str]) -> None:
    child = child_environment(environ)
    ours = {*THREAD_NAMES, "TOKENIZERS_PARALLELISM", "PYTHONUNBUFFERED", "PYTHONFAULTHANDLER"}
    for name in set(child) - ours - {"ANONYMIZED_TELEMETRY"}:
        assert name in PASSED or name.startswith(PASSED_PREFIXES)
        assert child[name] == environ[name]


def test_no_key_and_no_preloaded_library_reaches_a_worker() -> None:
    given = {"OPENAI_API_KEY": "sk-x", "API_OPENAI_KEY": "k", "LD_PRELOAD": "/x.so", "PATH": "/bin"}
    assert child_environment(given).keys().isdisjoint(given.keys() - {"PATH"})
    assert dropped_names(given) == ["API_OPENAI_KEY", "LD_PRELOAD", "OPENAI_API_KEY"]


def test_the_callers_thread_counts_are_replaced() -> None:
    child = child_environment({"OMP_NUM_THREADS": "64"}, threads=1)
    assert {child[name] for name in THREAD_NAMES} == {"1"}
    assert child["TOKENIZERS_PARALLELISM"] == "false"


def test_a_worker_with_several_threads_tokenises_with_them() -> None:
    child = child_environment({"TOKENIZERS_PARALLELISM": "false"}, threads=8)
    assert {child[name] for name in THREAD_NAMES} == {"8"}
    assert child["TOKENIZERS_PARALLELISM"] == "true"


def test_what_the_user_names_passes() -> None:
    assert child_environment({"MY_PROXY": "x"}, also=["MY_PROXY"])["MY_PROXY"] == "x"
