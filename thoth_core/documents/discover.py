"""Which files a list of files and folders means.

In a folder: sorted, hidden ones and those with a suffix that no format reads are passed over, links
are followed but no folder is entered and no file given twice. What was named is always tried.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from thoth_core.documents.base import file_error, is_supported, open_error, source_of
from thoth_core.errors import InvalidInput, ThothError


class Why(Enum):
    """Why a file or folder was passed over. None of these is a failure."""

    HIDDEN = "hidden"
    UNSUPPORTED = "unsupported"
    #: No file and no folder: a socket, a pipe, a device.
    SPECIAL = "special"
    #: A link to nothing.
    DANGLING = "dangling"
    #: There already, through a link or another name.
    REPEATED = "repeated"


@dataclass(frozen=True, slots=True)
class Found:
    """A file to read. ``source`` is its absolute path; ``named``: the caller named it itself;
    ``size`` was its size in bytes when it was seen."""

    path: Path
    source: str
    named: bool
    size: int = 0


@dataclass(frozen=True, slots=True)
class Skipped:
    path: Path
    why: Why


@dataclass(frozen=True, slots=True)
class Failed:
    """A named path that is not there, a folder that cannot be listed, a name that is no UTF-8."""

    path: Path
    error: ThothError


def discover(paths: Iterable[Path | str]) -> Iterator[Found | Skipped | Failed]:
    """One item for each file, in the order of ``paths`` and sorted in each folder. Never raises
    for what it meets; folders are listed only when it is their turn."""
    seen: set[tuple[int, int]] = set()
    for path in paths:
        yield from _walk(Path(path), seen)


def _walk(root: Path, seen: set[tuple[int, int]]) -> Iterator[Found | Skipped | Failed]:
    # A list of what is still to do and no recursion: folders can be nested thousands deep.
    todo = [(root, True)]
    while todo:
        path, named = todo.pop()
        if path.name.startswith(".") and not named:
            yield Skipped(path, Why.HIDDEN)
            continue
        try:
            status = path.stat()
        except (OSError, ValueError) as problem:
            yield _unknown(path, named, problem)
            continue
        if stat.S_ISDIR(status.st_mode):
            if not _first(status, seen):
                yield Skipped(path, Why.REPEATED)
                continue
            try:
                inside = sorted(path.iterdir(), key=lambda entry: entry.name, reverse=True)
            except OSError as problem:
                yield Failed(path, open_error(problem, printable(path)))
                continue
            todo.extend((entry, False) for entry in inside)
        else:
            yield _file(path, named, status, seen)


def _file(
    path: Path, named: bool, status: os.stat_result, seen: set[tuple[int, int]]
) -> Found | Skipped | Failed:
    if not stat.S_ISREG(status.st_mode):
        if named:
            reason = "it is no regular file"
            return Failed(path, file_error(InvalidInput, printable(path), reason))
        return Skipped(path, Why.SPECIAL)
    if not named and not is_supported(path):
        return Skipped(path, Why.UNSUPPORTED)
    try:
        source = source_of(path)
    except InvalidInput as problem:
        return Failed(path, problem)
    if not _first(status, seen):
        return Skipped(path, Why.REPEATED)
    return Found(path, source, named, status.st_size)


def _unknown(path: Path, named: bool, problem: OSError | ValueError) -> Skipped | Failed:
    """What cannot even be looked at."""
    if not isinstance(problem, OSError):
        return Failed(path, file_error(InvalidInput, printable(path), str(problem)))
    # ELOOP is a link to itself, which leads nowhere either.
    if not named and path.is_symlink():
        return Skipped(path, Why.DANGLING)
    return Failed(path, open_error(problem, printable(path)))


def _first(status: os.stat_result, seen: set[tuple[int, int]]) -> bool:
    """Whether this file or folder was not met before, under whatever name."""
    if not status.st_ino:
        # Some network and user-space file systems number nothing.
        return True
    key = (status.st_dev, status.st_ino)
    if key in seen:
        return False
    seen.add(key)
    return True


def printable(path: Path) -> str:
    """The path as a text that can be shown and sent, whatever its bytes are."""
    return str(path).encode("utf-8", "backslashreplace").decode()
