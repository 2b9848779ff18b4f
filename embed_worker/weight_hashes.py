"""Hashes of weight files that were worked out before, so that a start does not read 90 MB again.

A hash is believed while the file has the same path, size, inode and times. The time at which the
kernel saw it changed last (ctime) is among them, and nobody can set that back; so only what changes
a file without the kernel, as a failing disk does, is not noticed here. Whatever is wrong with the
file of hashes costs a reading of the weights and nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

from thoth_core.locks import FileLock
from thoth_core.whole_file import whole_file

#: Files whose hashes are kept, the newest.
MOST = 100
#: Nanoseconds that a file must have been as it is: one that is written to within a tick of the
#: clock that its times are from looks the same before and after.
SETTLED = 2_000_000_000
_DIGEST = re.compile("[0-9a-f]{64}").fullmatch


class WeightHashes:
    """``path``: the file of hashes, made with its folder when there is something to keep; None:
    nothing is kept. ``clock`` tells the wall time in nanoseconds."""

    def __init__(self, path: Path | None, clock: Callable[[], int] = time.time_ns) -> None:
        self._path, self._clock = path, clock

    def of(self, file: Path) -> str:
        """SHA-256 in hex of ``file``; :class:`OSError` if it cannot be read."""
        if self._path is None:
            return _hash(file)
        key, before = os.path.realpath(file), file.stat()
        known = self._read()
        if (hit := known.get(key)) is not None and hit[:-1] == _looks(before):
            return str(hit[-1])
        digest = _hash(file)
        if _looks(file.stat()) == _looks(before) and settled(before, self._clock()):
            self._keep(key, [*_looks(before), digest])
        return digest

    def _read(self) -> dict[str, list[int | str]]:
        if self._path is None:
            return {}
        try:
            found = json.loads(self._path.read_text("utf-8"))
            return {str(key): list(value) for key, value in found.items() if _DIGEST(value[-1])}
        except (OSError, ValueError, TypeError, AttributeError, LookupError):
            return {}

    def _keep(self, key: str, entry: list[int | str]) -> None:
        """All or nothing; nothing where another process is at it, or where there is no room: a
        cache that cannot be written to is one that does not help."""
        assert self._path is not None
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = FileLock(self._path.with_suffix(".lock"))
            if not lock.acquire():
                return
            try:
                known = self._read()
                known.pop(key, None)
                newest = [*known.items(), (key, entry)][-MOST:]
                draft = self._path.with_suffix(".draft")
                with whole_file(self._path, draft, durable=False) as file:
                    file.write(json.dumps(dict(newest)).encode())
            finally:
                lock.release()


def settled(stat: os.stat_result, now_ns: int) -> bool:
    """Whether a change of the file from now on would show in its times."""
    return now_ns - max(stat.st_mtime_ns, stat.st_ctime_ns) >= SETTLED


def _looks(stat: os.stat_result) -> list[int | str]:
    return [stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def _hash(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
