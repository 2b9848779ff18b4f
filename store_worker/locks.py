"""The lock of a data directory, with patience for an owner that is dying."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from pathlib import Path

from thoth_core.errors import AlreadyRunning, StorageError
from thoth_core.locks import FileLock, holder

#: Seconds that an owner which is ending gets.
PATIENCE = 10.0
#: The same for an index process, which is started again if that was too short.
INDEX_PATIENCE = 2.0
INDEX_LOCK = "lock-index"


def own(data_dir: Path, patience: float = PATIENCE) -> FileLock:
    """The lock of ``data_dir``, taken. :class:`AlreadyRunning` with the holder's pid when another
    process still has it after ``patience`` seconds; :class:`StorageError` when it cannot be made.
    """
    lock = FileLock(data_dir / "lock-store")
    deadline = time.monotonic() + patience
    try:
        while not lock.acquire():
            left = deadline - time.monotonic()
            if left <= 0 or not _freed(lock.path, left):
                pid = holder(lock.path) or None
                raise AlreadyRunning(
                    f"another process owns {data_dir}",
                    cause=f"its pid is {pid}" if pid else "the lock file does not say which",
                    fix="thoth-supervisor status; thoth-supervisor stop",
                    pid=pid,
                    path=str(data_dir),
                )
    except OSError as problem:
        raise StorageError(
            f"the data directory cannot be locked: {data_dir}",
            cause=problem.strerror or str(problem),
            fix=f"make it writable for your user: ls -ld {data_dir}; df -h {data_dir}",
            path=str(data_dir),
        ) from problem
    return lock


def own_index(data_dir: Path, patience: float = INDEX_PATIENCE) -> FileLock:
    """The lock of the index in ``data_dir``, for one index process at a time, waited for: whoever
    has it ends as soon as the call that it is in does. :class:`OSError`, which is
    :class:`TimeoutError` after ``patience`` seconds."""
    lock = FileLock(data_dir / INDEX_LOCK)
    deadline = time.monotonic() + patience
    while not lock.acquire():
        left = deadline - time.monotonic()
        if left <= 0 or not _freed(lock.path, left):
            raise TimeoutError(f"another index process has {lock.path}: pid {holder(lock.path)}")
    return lock


def _freed(path: Path, patience: float) -> bool:
    """Wait until the lock was free for a moment; False after ``patience`` seconds."""
    free = threading.Event()

    def wait() -> None:
        # flock has no time-out. Given up, this thread lets the lock go as soon as it has it.
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            # The next attempt to take the lock says what is wrong.
            free.set()
            return
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
        finally:
            os.close(fd)
            free.set()

    threading.Thread(target=wait, name="lock", daemon=True).start()
    return free.wait(patience)
