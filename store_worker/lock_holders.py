"""Which other processes keep all others out of a file, where the kernel tells.

The files are not opened for it: closing one would let go every lock that this process itself has on
it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

#: On Linux, one lock a line.
LOCKS = Path("/proc/locks")


def of(files: Iterable[Path], locks: Path = LOCKS) -> list[int]:
    """The pids that hold an exclusive lock on one of ``files``, in order, this process not; empty
    where that cannot be known."""
    wanted = set()
    for file in files:
        with contextlib.suppress(OSError):
            found = file.stat()
            wanted.add((os.major(found.st_dev), os.minor(found.st_dev), found.st_ino))
    try:
        lines = locks.read_text().splitlines()
    except OSError:
        return []
    pids = {pid for pid, place in map(_parsed, lines) if place in wanted and pid > 0}
    return sorted(pids - {os.getpid()})


def _parsed(line: str) -> tuple[int, tuple[int, int, int] | None]:
    """``1: POSIX  ADVISORY  WRITE 4711 00:2a:17 0 EOF``: the pid, and device and inode. None of
    a shared lock, or of one that is waited for, which has an arrow before its kind."""
    words = line.split()
    if words[3:4] != ["WRITE"]:
        return 0, None
    try:
        major, minor, inode = words[5].split(":")
        return int(words[4]), (int(major, 16), int(minor, 16), int(inode))
    except (IndexError, ValueError):
        return 0, None
