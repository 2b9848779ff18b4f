"""Locks that a dying process cannot leave behind: ``flock`` on a file, never a pid file.

The pid in the file is only for telling a person who holds the lock; nobody decides by it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import random
import time
from pathlib import Path

#: Tries to take a lock that others only look at.
_ATTEMPTS = 200


class FileLock:
    """An exclusive ``flock``. The kernel lets it go with the process, however that ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    def acquire(self) -> bool:
        """Take the lock without waiting; False when another process holds it.

        :class:`OSError` when the file cannot be opened or locked at all.
        """
        if self._fd is not None:
            return True
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            taken = _take(fd)
        except OSError:
            os.close(fd)
            raise
        if not taken:
            os.close(fd)
            return False
        # The lock holds already; a full disk must not lose it for want of a number to show.
        with contextlib.suppress(OSError):
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self._fd = fd
        return True

    def release(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _take(fd: int) -> bool:
    """Lock ``fd``, without waiting for an owner. Whoever only asks for the holder shares the lock
    for an instant; that is no owner, and is let pass."""
    for attempt in range(_ATTEMPTS):
        if attempt:
            # Nothing tells of the end of a shared lock but a wait that has no limit.
            time.sleep(random.uniform(0, 0.002))
        if _flock(fd, fcntl.LOCK_EX):
            return True
        if not _flock(fd, fcntl.LOCK_SH):
            return False
        fcntl.flock(fd, fcntl.LOCK_UN)
    return False


def _flock(fd: int, how: int) -> bool:
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    except OSError as problem:
        if problem.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise
    return True


def holder(path: Path) -> int | None:
    """The pid of whoever holds the lock: None when it is free, 0 when it is held and the file
    does not say by whom. Creates nothing."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        if _flock(fd, fcntl.LOCK_SH):
            return None
        text = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
        return int(text) if text.isdecimal() else 0
    finally:
        os.close(fd)
