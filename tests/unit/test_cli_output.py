"""Progress and messages, on a terminal and elsewhere."""

from __future__ import annotations

import io
import json

import pytest

from cli import output as output_module
from cli.output import Output, Progress, progress_text
from cli.status_text import duration, is_healthy, status_lines
from thoth_core.errors import StorageError


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_elsewhere_than_on_a_terminal_a_plain_line_comes_now_and_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(output_module.time, "monotonic", lambda: now)
    err = io.StringIO()
    progress = Progress(Output(err=err), "files")
    for step in range(100):
        now = 100.0 + step / 10
        progress.update(step, 100, "7 chunks")
    progress.end()
    assert err.getvalue() == "50 of 100 files (50%), 7 chunks\n"


def test_on_a_terminal_the_bar_is_drawn_over_itself_and_taken_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr(output_module.time, "monotonic", lambda: now)
    err = Terminal()
    progress = Progress(Output(err=err), "files")
    now = 1.0
    progress.update(5, 10)
    progress.end()
    assert err.getvalue().count("\r") == 2
    assert "#" * 15 + "." * 15 in err.getvalue()
    assert "\n" not in err.getvalue()
    assert err.getvalue().endswith("\x1b[K")


def test_quiet_says_nothing_but_errors() -> None:
    err = io.StringIO()
    output = Output(err=err, verbosity=-1)
    output.note("starting")
    output.error(StorageError("disk full", cause="no space", fix="df -h"))
    assert err.getvalue() == "error: disk full\ncause: no space\nfix: df -h\n"


def test_a_character_that_the_terminal_lacks_does_not_end_the_command() -> None:
    raw = io.BytesIO()
    output = Output(out=io.TextIOWrapper(raw, encoding="ascii", write_through=True))
    output.line("caf\xe9 \u2026")
    assert raw.getvalue() == b"caf? ?\n"


def test_progress_without_a_total_names_what_was_done() -> None:
    assert progress_text("files", 3, 0, "") == "3 files"


def test_times_are_readable() -> None:
    assert [duration(s) for s in (5, 65, 3700, 200_000)] == ["5 s", "1 min", "1 h 1 min", "2 d 7 h"]


def test_only_a_service_with_all_its_parts_is_healthy() -> None:
    assert is_healthy({"state": "ready", "store": {"index_state": "healthy"}})
    assert not is_healthy({"state": "ready", "store": {"index_state": "damaged"}})
    assert not is_healthy({"state": "degraded"})
    assert not is_healthy({})


def test_a_status_says_how_the_index_is_and_what_is_left_out_of_it():
    index = {
        "pid": None,
        "restarts": 2,
        "generation": 3,
        "pending": 1200,
        "progress": {"done": 500, "total": 5000},
        "reason": "header.bin is empty",
        "last_exit": None,
    }
    row = {"collection": "notes", "id": "x", "reason": "SIGABRT"}
    store = {"chunks": 5000, "index_state": "rebuilding", "index": index, "unindexed": [row]}
    queue = {"requests": 2, "bytes": 0}
    assert status_lines({"state": "ready", "queue": queue})[1:] == ["queue: requests 2"]
    assert status_lines({"state": "ready", "queue": {"bytes": 0}})[1:] == ["queue: empty"]
    counted = {"requests_received": 1234, "defects": 0}
    assert status_lines({"state": "ready", "counters": counted})[1:] == [
        "counted: requests_received 1,234"
    ]
    assert status_lines({"state": "ready", "store": store})[1:] == [
        "store: chunks 5000, index_state rebuilding",
        "  index: rebuilding (pid -, 2 restarts, 500 of 5,000 rows, 1,200 changes behind,"
        " header.bin is empty)",
        "  left out of the index: x of notes: SIGABRT",
    ]


def test_status_tells_of_texts_in_quarantine_when_there_are_some() -> None:
    assert status_lines({"state": "ready", "quarantined": 0})[1:] == []
    [line] = status_lines({"state": "ready", "quarantined": 2})[1:]
    assert line == "quarantine: 2 texts, see thoth quarantine"


def test_nothing_that_is_said_can_write_escape_sequences() -> None:
    evil = "a\x1b[31mb\x9b2Jc\r\u202ed"
    out, err = io.StringIO(), io.StringIO()
    output = Output(out=out, err=err)
    output.line(evil)
    output.note(evil)
    output.document({"name": evil})
    output.error(StorageError(evil, cause=evil, fix=evil))
    for said in (out.getvalue(), err.getvalue()):
        assert not set(said) & set("\x1b\x9b\r\u202e")
    assert json.loads(out.getvalue().splitlines()[-1])["name"] == evil
