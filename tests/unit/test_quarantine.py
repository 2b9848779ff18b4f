"""The list of texts that are not tried any more, and its file."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thoth_core.errors import InvalidInput
from thoth_core.supervisor import quarantine_file
from thoth_core.supervisor.quarantine import Ending, Entry, Quarantine, Runtime
from thoth_core.supervisor.quarantine_file import QuarantineFile

LOG = logging.getLogger("test.quarantine")
CRASH = Ending("segmentation fault", "SIGSEGV", "engine.py:7 in embed", 1_790_000_000.0)
READY = {
    "model": {"name": "m", "weights": "w"},
    "versions": {"engine": "e", "torch": "2.9", "numpy": "2"},
    "precision": "fp32",
}
RUNTIME = Runtime.from_ready(READY)


def holding(*texts: str, most: int = 1000) -> Quarantine:
    made = Quarantine(most=most)
    for text in texts:
        made.add(text, RUNTIME, 2, CRASH)
    return made


def test_a_text_is_found_only_for_what_it_crashed_with() -> None:
    quarantine = holding("bad")
    assert quarantine.find("bad", RUNTIME) is not None
    assert quarantine.find("bat", RUNTIME) is None
    others = [
        READY | {"model": {"name": "m", "weights": "other"}},
        READY | {"model": {"name": "n", "weights": "w"}},
        READY | {"versions": {"engine": "e", "torch": "2.10", "numpy": "2"}},
        READY | {"versions": {"engine": "f", "torch": "2.9", "numpy": "2"}},
        READY | {"precision": "bf16"},
    ]
    for other in others:
        assert quarantine.find("bad", Runtime.from_ready(other)) is None
        assert not quarantine.bars(Runtime.from_ready(other))
    assert quarantine.bars(RUNTIME)


@pytest.mark.parametrize(
    "info",
    [{}, {"model": None, "versions": 7}, {"model": {"name": 3}, "versions": {"engine": None}}],
)
def test_a_worker_that_says_little_of_itself_has_a_runtime_too(info: dict[str, Any]) -> None:
    quarantine = Quarantine()
    quarantine.add("bad", Runtime.from_ready(info), 2, CRASH)
    assert quarantine.find("bad", Runtime.from_ready(info)) is not None


def test_the_text_itself_is_nowhere() -> None:
    quarantine = holding("a secret that crashes")
    assert "secret" not in json.dumps([entry.to_dict() for entry in quarantine.entries()])


def test_the_oldest_goes_when_there_are_too_many() -> None:
    quarantine = holding(*(f"text {n}" for n in range(12)), most=10)
    assert len(quarantine) == 10
    assert quarantine.find("text 1", RUNTIME) is None
    assert quarantine.find("text 2", RUNTIME) is not None
    # One that comes again is the newest.
    quarantine.add("text 2", RUNTIME, 2, CRASH)
    quarantine.add("one more", RUNTIME, 2, CRASH)
    assert quarantine.find("text 2", RUNTIME) is not None
    assert quarantine.find("text 3", RUNTIME) is None


def test_an_entry_says_how_often_it_was_refused_since() -> None:
    quarantine = holding("bad")
    for _ in range(3):
        assert quarantine.refuse("bad", RUNTIME) is not None
        assert quarantine.refuse("good", RUNTIME) is None
    [entry] = quarantine.entries()
    assert entry.refused == 3
    problem = entry.problem(7)
    assert problem.indices == [7]
    assert f"thoth quarantine retry {entry.key}" in problem.fix
    assert "SIGSEGV" in problem.cause


def test_entries_are_named_by_the_beginning_of_their_key() -> None:
    quarantine = holding("one", "two")
    first, second = quarantine.entries()
    for bad in (["0"], [first.key[:3]], ["ffffffffffffffff0"], [first.key, "no such"], 7, [7]):
        with pytest.raises(InvalidInput):
            quarantine.take_out(bad)
    assert len(quarantine) == 2
    assert quarantine.take_out([first.key[:6].upper(), first.key]) == [first]
    assert quarantine.find("one", RUNTIME) is None
    assert quarantine.take_out(None) == [second]
    assert not quarantine.bars(RUNTIME)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["add", "remove", "runtime", "all"]),
            st.sampled_from(["", "a", "bb", "cc", "ddd", "é"]),
        ),
        max_size=40,
    )
)
def test_what_is_found_is_what_was_put_in_and_not_taken_out(steps: list[tuple[str, str]]) -> None:
    """Also by the lengths, by which most texts are passed over."""
    runtimes = [RUNTIME, Runtime("another")]
    quarantine, now = Quarantine(), 0
    held: set[tuple[int, str]] = set()
    for step, text in steps:
        if step == "add":
            quarantine.add(text, runtimes[now], 2, CRASH)
            held.add((now, text))
        elif step == "remove" and (entry := quarantine.find(text, runtimes[now])) is not None:
            assert quarantine.take_out([entry.key]) == [entry]
            held.remove((now, text))
        elif step == "runtime":
            now = 1 - now
        elif step == "all":
            assert len(quarantine.take_out(None)) == len(held)
            held.clear()
        for each in ["", "a", "bb", "cc", "ddd", "é"]:
            assert (quarantine.find(each, runtimes[now]) is not None) == ((now, each) in held)
        assert quarantine.bars(runtimes[now]) == any(runtime == now for runtime, _ in held)
        assert len(quarantine) == len(held)


# -- the file -------------------------------------------------------------------------------------


def test_the_next_supervisor_has_the_list(tmp_path: Path) -> None:
    file = QuarantineFile(tmp_path, LOG)
    assert file.listed() == {"entries": []}
    file.quarantine.add("bad", RUNTIME, 2, CRASH)
    assert file.keep()
    again = QuarantineFile(tmp_path, LOG)
    assert again.quarantine.entries() == file.quarantine.entries()
    assert again.quarantine.find("bad", RUNTIME) is not None
    assert oct((tmp_path / quarantine_file.NAME).stat().st_mode & 0o777) == "0o600"
    assert [p.name for p in tmp_path.iterdir()] == [quarantine_file.NAME]


def written(tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    file = QuarantineFile(tmp_path, LOG)
    for text in ("one", "two"):
        file.quarantine.add(text, RUNTIME, 2, CRASH)
    file.keep()
    return file.path, json.loads(file.path.read_text())


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"null", b"[]", b'{"entries": []}', b'{"schema_version": 9, "entries": []}',
     b'{"schema_version": 1, "entries": 7}', b"\xff\xfe", b"[" * 100_000],
)  # fmt: skip
def test_a_damaged_file_is_an_empty_list_and_a_warning(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / quarantine_file.NAME).write_bytes(content)
    assert QuarantineFile(tmp_path, LOG).listed() == {"entries": []}
    assert "cannot be read" in caplog.text


@given(
    name=st.sampled_from([*Entry.__dataclass_fields__]),
    value=st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=3)
    | st.lists(st.integers() | st.text(max_size=2), max_size=2)
    | st.dictionaries(st.text(max_size=2), st.integers(), max_size=1),
)
def test_a_damaged_entry_is_left_out_and_the_others_stay(
    tmp_path_factory: pytest.TempPathFactory, name: str, value: Any
) -> None:
    folder = tmp_path_factory.mktemp("q")
    path, whole = written(folder)
    whole["entries"][0][name] = value
    path.write_text(json.dumps(whole))
    file = QuarantineFile(folder, LOG)
    assert file.quarantine.entries()[-1].to_dict() == whole["entries"][1]
    # Whatever was let in can be told and kept.
    for entry in file.quarantine.entries():
        entry.problem(0)
    assert file.keep()
    whole["entries"][0] = value
    path.write_text(json.dumps(whole))
    assert len(QuarantineFile(folder, LOG).quarantine) == 1


def test_what_cannot_be_written_is_tried_again_and_the_old_list_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, whole = written(tmp_path)
    file = QuarantineFile(tmp_path, LOG)

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert file.take_out(None)["saved"] is False
    assert "No space left" in caplog.text
    assert json.loads(path.read_text()) == whole
    assert list(tmp_path.iterdir()) == [path]
    file.tick(0.0)
    assert json.loads(path.read_text()) == whole
    file.tick(1e12)
    assert json.loads(path.read_text())["entries"] == []
    # And once is enough.
    path.unlink()
    file.tick(1e12)
    assert not path.exists()


def test_a_folder_that_is_not_there_costs_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = QuarantineFile(tmp_path / "none", LOG)
    file.quarantine.add("bad", RUNTIME, 2, CRASH)
    assert not file.keep()
    assert "cannot be written" in caplog.text
