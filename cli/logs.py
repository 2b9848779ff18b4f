"""Showing log files, of text or of JSON objects, and following them while they grow and rotate."""

from __future__ import annotations

import os
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from cli.output import Output
from thoth_core.errors import StorageError
from thoth_core.log_format import parse, readable

#: What the names of files begin with that are no worker's.
SUPERVISOR = "supervisor"
#: Seconds between two looks. Nothing in the standard library tells that a file has grown.
LOOK_EVERY = 0.3


@dataclass(slots=True)
class Place:
    """How far a file was read. Another inode under the same name is a file that was rotated."""

    inode: int
    offset: int


def show_logs(output: Output, folder: Path, lines: int) -> dict[Path, Place]:
    """Write the last ``lines`` lines of each log file, and how far each was read."""
    files = log_files(folder)
    if not files:
        raise StorageError(
            f"there are no logs in {folder}",
            cause="no service has run for this data directory",
            fix="thoth-supervisor start",
        )
    places: dict[Path, Place] = {}
    for path in files:
        try:
            with path.open("rb") as file:
                tail = deque(file, maxlen=lines)
                places[path] = Place(os.fstat(file.fileno()).st_ino, file.tell())
        except OSError as problem:
            raise StorageError(
                f"{path} cannot be read", cause=problem.strerror or str(problem)
            ) from problem
        for line in tail:
            _say(output, path.stem, _decoded(line))
    return places


def follow_logs(output: Output, folder: Path, places: dict[Path, Place]) -> None:
    """Write what is added, until interrupted."""
    while True:
        for path in log_files(folder):
            place = places.setdefault(path, Place(0, 0))
            _catch_up(output, path, place)
        output.flush()
        time.sleep(LOOK_EVERY)


def _catch_up(output: Output, path: Path, place: Place) -> None:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if status.st_ino != place.inode or status.st_size < place.offset:
                place.inode, place.offset = status.st_ino, 0
            file.seek(place.offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break  # still being written; the whole of it comes next time
                place.offset += len(line)
                _say(output, path.stem, _decoded(line))
    except FileNotFoundError:
        return  # rotated at this moment; the new file comes next time


def log_files(folder: Path) -> list[Path]:
    """The files that are written now, not the rotated ones."""
    return sorted(folder.glob("*.log"))


def _say(output: Output, log: str, line: str) -> None:
    """A line of the file ``log``, in whichever format; with ``--json`` as an object."""
    if output.json:
        worker = None if log.startswith(SUPERVISOR) else log
        output.document({"log": log, **parse(line, worker)})
        return
    for part in readable(line).split("\n"):
        output.line(f"{log}: {part}")


def _decoded(line: bytes) -> str:
    return line.decode("utf-8", "replace").rstrip("\n")
