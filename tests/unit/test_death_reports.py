"""What a report says, and how reports are kept."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cli.crashes import report_lines, table_lines
from thoth_core.death_reports import KEPT, read_reports, write_report
from thoth_core.ids import text_hash
from thoth_core.runtimes import loaded_runtimes, runtimes_in
from thoth_core.supervisor.board import ToWorker
from thoth_core.supervisor.death_report import (
    Facts,
    death_report,
    is_planned,
    report_id,
    told_already,
)
from thoth_core.supervisor.deaths import Deaths
from thoth_core.supervisor.dispatch import Dispatch
from thoth_core.supervisor.in_flight import HASHES, held_by
from thoth_core.supervisor.slots import Exit, Slot, State
from thoth_core.supervisor.stacks import Frame, Stacks, Thread
from thoth_core.wire import Message

SECRET = "the secret text"
CRASH = Exit(reason="segmentation fault", at=1_700_000_000.25, signal="SIGSEGV", blame=True)


def slot_in(state: State) -> Slot:
    slot = Slot("embed-bulk-1", "embed", "bulk", lambda: 0.5)
    slot.tick(0.0)
    slot.spawned(0.0)
    if state is not State.STARTING:
        slot.state_said(1.0, "LOADING")
        slot.ready(2.0)
    return slot


def facts(**more: Any) -> Facts:
    return Facts(
        **{
            "pid": 7,
            "incarnation": "abcdef012345",
            "uptime": 3.5,
            "model": "fake/8",
            "versions": {"thoth": "0.1.0"},
        }
        | more
    )


def with_unit(texts: list[str]) -> Dispatch:
    """A dispatch whose bulk worker was sent one unit of ``texts``."""
    dispatch = Dispatch()
    info = {"model": {"name": "fake/8"}, "credit": {"units": 2, "items": 500, "tokens": 10**6}}
    dispatch.worker_ready("embed-bulk-1", "w1", "bulk", info)
    dispatch.request(0.0, b"client", Message("embed", "r1", body={"texts": texts}))
    assert any(isinstance(action, ToWorker) for action in dispatch.actions())
    return dispatch


def test_what_was_in_hand_is_named_by_hashes_and_never_by_text() -> None:
    texts = [f"{SECRET} {number:03}" for number in range(100)]
    held = held_by(with_unit(texts).board, "embed-bulk-1", "w1")
    [unit] = held["units"]
    assert (unit["request"], unit["kind"], unit["texts"]) == ("r1", "embed", 100)
    assert unit["running"]
    assert not unit["alone"]
    assert len(unit["hashes"]) == HASHES
    assert set(unit["hashes"]) <= {text_hash(text) for text in texts}
    assert SECRET not in json.dumps(held)


def test_a_unit_whose_caller_has_gone_is_named_too() -> None:
    dispatch = with_unit(["only one"])
    dispatch.cancel(b"client", "r1")
    [unit] = held_by(dispatch.board, "embed-bulk-1", "w1")["units"]
    assert unit["given_up"]
    assert unit["hashes"] == [text_hash("only one")]


def test_what_the_store_was_asked_is_named() -> None:
    dispatch = Dispatch()
    dispatch.store_ready("s1", "/run/store", 1)
    body = {"collection": "c", "ids": [SECRET]}
    dispatch.request(0.0, b"client", Message("get", "r1", body=body))
    [call] = held_by(dispatch.board, "store", "s1")["calls"]
    assert (call["request"], call["kind"], call["attempt"]) == ("r1", "get", 1)
    assert SECRET not in json.dumps(call)
    for slot, incarnation in (("store", "s0"), ("embed-bulk-1", "w1"), ("store", "")):
        held = held_by(dispatch.board, slot, incarnation)
        assert held == {"units": [], "calls": [], "handed": 0}


def test_a_report_says_all_that_is_known() -> None:
    stacks = Stacks("Fatal Python error: Aborted", (Thread("0x1", (Frame("a.py", 3, "f"),)),))
    held = held_by(with_unit(["one"]).board, "embed-bulk-1", "w1")
    ready = {"versions": {"torch": "2.4"}, "runtimes": ["/lib/libgomp.so.1"], "rss_bytes": 5}
    said = facts(held=held, ready=ready, stacks=stacks, output=["x" * 9999], beat={"rss_bytes": 9})
    report = death_report("id-1", slot_in(State.READY), CRASH, said)
    assert report == json.loads(json.dumps(report))
    assert report["state"] == "BUSY"
    assert report["top_frame"] == "a.py:3 in f"
    assert report["rss_bytes"] == 9
    assert report["runtimes"] == ["/lib/libgomp.so.1"]
    assert report["versions"] == {"thoth": "0.1.0", "torch": "2.4"}
    assert len(report["output"][0]) == 500
    assert (report["signal"], report["uptime_s"], report["restarts"]) == ("SIGSEGV", 3.5, 0)
    text = "\n".join(report_lines(report))
    for part in ("a.py:3 in f", text_hash("one"), "libgomp", "torch 2.4", "SIGSEGV", "r1"):
        assert part in text
    [head, row] = table_lines([report])
    assert head.startswith("ID")
    assert "embed: 1 text" in row


def test_a_report_of_one_that_hung_gives_the_state_before_its_end() -> None:
    slot = slot_in(State.STARTING)
    slot.tick(30.0)
    report = death_report("id-1", slot, CRASH, facts())
    assert report["state"] == "STARTING"
    assert report["rss_bytes"] is None
    assert report_lines(report)
    assert table_lines([{"id": "id-1"}]), "what another version wrote is shown as far as it goes"


def test_what_is_planned_is_no_crash_unless_it_crashed_all_the_same() -> None:
    slot = slot_in(State.READY)
    ended = Exit(reason="restart", at=0.0, code=0)
    assert not is_planned(slot, ended, stalled=False)
    slot.restart(3.0)
    assert is_planned(slot, ended, stalled=False)
    assert is_planned(slot, Exit("restart", 0.0, signal="SIGKILL"), stalled=False)
    assert not is_planned(slot, ended, stalled=True)
    assert not is_planned(slot, CRASH, stalled=False)


def report(number: int) -> dict[str, Any]:
    at = 1_700_000_000.0 + number
    return {"id": report_id(at, f"{number:012x}"), "at": at, "number": number}


def test_the_newest_are_kept_and_read_back(tmp_path: Path) -> None:
    folder = tmp_path / "deaths"
    assert read_reports(folder) == ([], [])
    for number in range(KEPT + 7):
        write_report(folder, report(number))
    found, unreadable = read_reports(folder)
    assert [r["number"] for r in found] == list(reversed(range(7, KEPT + 7)))
    assert not unreadable
    assert len(list(folder.iterdir())) == KEPT
    assert folder.stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.iterdir())


def test_a_report_that_cannot_be_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_report(tmp_path, report(1))

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        write_report(tmp_path, report(2))
    assert [r["number"] for r in read_reports(tmp_path)[0]] == [1]
    assert len(list(tmp_path.iterdir())) == 1


def test_what_a_dead_supervisor_left_half_written_goes_with_the_next(tmp_path: Path) -> None:
    (tmp_path / ".20200101-000000-abcdef.new").write_text('{"id"')
    (tmp_path / "20200101-000000-abcdef.json").write_text('{"id"')
    found, unreadable = read_reports(tmp_path)
    assert (found, len(unreadable)) == ([], 1)
    write_report(tmp_path, report(1))
    assert not list(tmp_path.glob(".*"))
    assert [r["number"] for r in read_reports(tmp_path)[0]] == [1]


MAPS = """\
7f1 r-xp 00000000 08:01 11 /venv/torch/lib/libgomp-a34b3233.so.1
7f2 r--p 00000000 08:01 11 /venv/torch/lib/libgomp-a34b3233.so.1
7f3 r-xp 00000000 08:01 12 /opt/intel/libiomp5.so
7f4 r-xp 00000000 08:01 13 /venv/numpy.libs/libscipy_openblas64_-32a4b2a6.so
7f5 r-xp 00000000 08:01 14 /usr/lib/x86_64-linux-gnu/libomp.so.5 (deleted)
7f6 r-xp 00000000 08:01 15 /opt/a b/libmkl_core.so.2
7f7 r-xp 00000000 08:01 16 /usr/lib/libc.so.6
7f8 r-xp 00000000 08:01 17 /home/me/libgompertz.so
7f9 rw-p 00000000 00:00 0 [heap]
"""


def test_the_thread_and_matrix_libraries_are_found_by_their_files() -> None:
    assert runtimes_in(MAPS) == [
        "/opt/a b/libmkl_core.so.2",
        "/opt/intel/libiomp5.so",
        "/usr/lib/x86_64-linux-gnu/libomp.so.5",
        "/venv/numpy.libs/libscipy_openblas64_-32a4b2a6.so",
        "/venv/torch/lib/libgomp-a34b3233.so.1",
    ]
    assert isinstance(loaded_runtimes(), list)
    assert loaded_runtimes(Path("/nowhere")) == []


def test_a_slot_that_was_given_up_is_told_of_once_as_long_as_it_ends_in_the_same_way() -> None:
    slot, told = slot_in(State.STARTING), []
    for number in range(8):
        exit = CRASH if number != 6 else replace(CRASH, signal="SIGABRT", reason="ended by SIGABRT")
        known = told_already(slot, exit)
        told.append(known)
        slot.died(100.0 * number, replace(exit, report=known or f"report {number}"))
        slot.tick(100.0 * number + 60)
        slot.spawned(100.0 * number + 60)
    # Five deaths are what it takes; the seventh is another one, and so is what follows it.
    assert told == ["", "", "", "", "", "report 4", "", ""]
    # What has worked in between is no such slot.
    slot.useful()
    assert told_already(slot, CRASH) == ""


def test_a_model_that_crashes_whatever_slot_loads_it_is_reported_once(tmp_path: Path) -> None:
    """Each time that somebody asks for it there is a new slot."""
    deaths, told = Deaths(tmp_path, logging.getLogger("thoth.tested")), []

    def dies(model: str, *, was_ready: bool = False, exit: Exit = CRASH) -> None:
        slot = Slot("embed-2-bulk-1", "embed", "bulk", lambda: 0.5, model=model, on_demand=True)
        slot.tick(0.0)
        slot.spawned(0.0)
        child = SimpleNamespace(
            pid=7, incarnation=os.urandom(6).hex(), born=0.0, said={}, tail=(), stacks=None
        )
        child.stalled, child.said = False, {"rss_bytes": 1} if was_ready else {}
        told.append(deaths.report(1.0, slot, child, exit, held={}, beat={}))  # type: ignore[arg-type]

    for _ in range(3):
        dies("a")
    dies("b")
    assert told[0] == told[1] == told[2] != told[3]
    # Another end, and one after it has worked, are new.
    dies("a", exit=replace(CRASH, signal="SIGABRT"))
    dies("a", was_ready=True)
    dies("a")
    assert len(set(told)) == 5
    assert all(told)
