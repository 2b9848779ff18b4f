"""Log lines as text and as JSON objects, and what is read back from either."""

from __future__ import annotations

import json
import logging
import os
import sys

import pytest

from thoth_core.log_format import (
    MAX_MESSAGE,
    JsonFormatter,
    OutputFormatter,
    formatter,
    parse,
    readable,
)


def record(message: str, *args: object, **more: object) -> logging.LogRecord:
    made = logging.LogRecord("thoth.embed.x", logging.WARNING, "", 1, message, args, None)
    made.created, made.msecs = 1_800_000_000.25, 250
    for name, value in more.items():
        setattr(made, name, value)
    return made


def test_a_record_is_one_object_with_the_time_in_utc() -> None:
    line = JsonFormatter("embed-bulk-1").format(record("%d ü\nand more", 3))
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "2027-01-15T08:00:00.250Z",
        "level": "WARNING",
        "logger": "thoth.embed.x",
        "pid": os.getpid(),
        "worker": "embed-bulk-1",
        "message": "3 ü\nand more",
    }


def test_a_traceback_is_part_of_the_message() -> None:
    try:
        raise ValueError("oops")
    except ValueError:
        line = JsonFormatter(None).format(record("it failed", exc_info=sys.exc_info()))
    message = json.loads(line)["message"]
    assert message.startswith("it failed\nTraceback ")
    assert message.endswith("ValueError: oops")


def test_a_message_without_end_loses_its_middle() -> None:
    line = JsonFormatter(None).format(record("begin" + "\U0001f600" * 100_000 + "end"))
    message = json.loads(line)["message"]
    assert message.startswith("begin") and message.endswith("end")
    assert len(message) <= MAX_MESSAGE + 3
    # What a supervisor takes for one line.
    assert len(line.encode()) < 2 * 65536


def test_lines_of_a_worker_are_wrapped_and_its_own_objects_are_not() -> None:
    own = JsonFormatter("store").format(record("mine"))
    forged = '{"time": "now", "message": 3}'
    lines = OutputFormatter("store").format(
        record("%s", "\n".join(["raw", own, forged, ""]), worker_pid=42)
    )
    raw, same, third, empty = lines.split("\n")
    assert same == own
    assert [json.loads(each)["message"] for each in (raw, third, empty)] == ["raw", forged, ""]
    assert json.loads(raw) | {"time": None} == {
        "time": None,
        "level": "WARNING",
        "logger": "output",
        "pid": 42,
        "worker": "store",
        "message": "raw",
    }


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_both_are_read_back(log_format: str) -> None:
    line = formatter(log_format, "store").format(record("a message"))
    entry = parse(line, "store")
    assert entry["time"] == "2027-01-15T08:00:00.250Z"
    assert (entry["level"], entry["logger"]) == ("WARNING", "thoth.embed.x")
    assert (entry["worker"], entry["message"]) == ("store", "a message")
    assert readable(line).endswith(" WARNING thoth.embed.x: a message")


def test_a_line_of_neither_form_is_a_message() -> None:
    for line in ("Fatal Python error: Segmentation fault", '{"time": ', '{"time": 1}', ""):
        assert readable(line) == line
        assert parse(line, "store") == {
            "time": None,
            "level": None,
            "logger": None,
            "pid": None,
            "worker": "store",
            "message": line,
        }
