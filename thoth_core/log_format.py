"""A log record as a line: of text, or as one JSON object; and what a line says, whichever it is.

A worker logs before it is configured, so which of the two it writes is in its environment.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from datetime import UTC, datetime
from typing import Any, TypedDict

TEXT, JSON = "text", "json"
#: Where a worker finds which of them.
VARIABLE = "THOTH_LOG_FORMAT"
FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
#: A longer message loses its middle, so that the line is never too long for whoever reads it.
MAX_MESSAGE = 10_000
#: The logger of what a process wrote past its log.
OUTPUT = "output"

_TEXT_LINE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) ([A-Z]+) (\S+): (.*)")


class Entry(TypedDict):
    """One record. ``time`` is in UTC, ISO 8601; ``worker`` the slot's name, None for the
    supervisor. None too for what a line of text does not say."""

    time: str | None
    level: str | None
    logger: str | None
    pid: int | None
    worker: str | None
    message: str


class JsonFormatter(logging.Formatter):
    """One JSON object a record, also where the message or its traceback has many lines."""

    def __init__(self, worker: str | None) -> None:
        super().__init__("%(message)s")
        self._worker = worker

    def format(self, record: logging.LogRecord) -> str:
        return _line(record, record.name, record.process, self._worker, super().format(record))


class OutputFormatter(logging.Formatter):
    """Lines that a worker wrote, many to a record: its own objects as they are, the others each in
    an object. The record says ``worker_pid``."""

    def __init__(self, worker: str) -> None:
        super().__init__("%(message)s")
        self._worker = worker

    def format(self, record: logging.LogRecord) -> str:
        pid = getattr(record, "worker_pid", None)
        return "\n".join(
            line if _entry(line) else _line(record, OUTPUT, pid, self._worker, line)
            for line in record.getMessage().split("\n")
        )


def formatter(log_format: str, worker: str | None = None) -> logging.Formatter:
    return JsonFormatter(worker) if log_format == JSON else logging.Formatter(FORMAT)


def log_to_stderr(worker: str) -> None:
    """Have this process, a worker or a child of one, log to its standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(os.environ.get(VARIABLE, TEXT), worker))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def readable(line: str) -> str:
    """The line as text, of as many lines as the message has."""
    entry = _entry(line)
    if entry is None:
        return line
    if entry["logger"] == OUTPUT:
        return entry["message"]
    return f"{entry['time']} {entry['level']} {entry['logger']}: {entry['message']}"


def parse(line: str, worker: str | None) -> Entry:
    """What a line in the log of ``worker`` says."""
    entry = _entry(line)
    if entry is not None:
        return entry
    found = _TEXT_LINE.fullmatch(line)
    if found is None:
        return Entry(time=None, level=None, logger=None, pid=None, worker=worker, message=line)
    # Local time, as logging writes it.
    moment = datetime.strptime(found[1], "%Y-%m-%d %H:%M:%S,%f").astimezone(UTC)
    return Entry(
        time=_iso(moment),
        level=found[2],
        logger=found[3],
        pid=None,
        worker=worker,
        message=found[4],
    )


def _entry(line: str) -> Entry | None:
    """The object in a line that a formatter of this file made; None for any other line."""
    if not line.startswith('{"time": '):
        return None
    try:
        found = json.loads(line)
    except ValueError:
        return None
    if not isinstance(found, dict) or found.keys() != Entry.__annotations__.keys():
        return None
    return Entry(**found) if isinstance(found["message"], str) else None  # type: ignore[typeddict-item]


def _line(
    record: logging.LogRecord, logger: str, pid: Any, worker: str | None, message: str
) -> str:
    if len(message) > MAX_MESSAGE:
        half = MAX_MESSAGE // 2
        message = f"{message[:half]} … {message[-half:]}"
    entry = Entry(
        time=_iso(datetime.fromtimestamp(record.created, UTC)),
        level=record.levelname,
        logger=logger,
        pid=pid,
        worker=worker,
        message=message,
    )
    return json.dumps(entry)


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
