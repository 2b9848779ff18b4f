"""Files of a directory that may be damaged, or made to do harm: nothing is believed about them.

A size is compared with a bound before anything is read or allocated, and what is read is read, not
mapped: a file that another program cuts short meanwhile is an error here and not a SIGBUS.
"""

from __future__ import annotations

import os
import stat
import uuid
from pathlib import Path
from types import TracebackType


class Damaged(Exception):
    """A file is not what Chroma writes. ``file`` is its name, ``reason`` a clause about it."""

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(f"{file} {reason}")
        self.file = file
        self.reason = reason


def segment_folder(directory: Path, segment: str | None) -> Path | None:
    """Where the index of ``segment`` is, if its name is one that Chroma makes: it comes from a file
    and must not lead out of the directory."""
    try:
        named = str(uuid.UUID(segment or "")) == segment
    except ValueError:
        named = False
    return directory / segment if named and segment else None


class Bytes:
    """An open regular file, read by position."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        try:
            # Non-blocking, for a named pipe in the place of a file.
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            raise Damaged(self.name, "is missing") from None
        except OSError as problem:
            raise self._unreadable(problem) from problem
        found = os.fstat(self._fd)
        if not stat.S_ISREG(found.st_mode):
            os.close(self._fd)
            raise Damaged(self.name, "is not a file")
        self.size = found.st_size

    def __enter__(self) -> Bytes:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.close(self._fd)

    def read(self, offset: int, length: int) -> bytearray:
        """Exactly ``length`` bytes, which lie within the size that was found."""
        if offset < 0 or length < 0 or offset + length > self.size:
            raise Damaged(self.name, f"ends at {self.size:,} bytes, before {offset + length:,}")
        buffer = bytearray(length)
        view, done = memoryview(buffer), 0
        while done < length:
            try:
                got = os.preadv(self._fd, [view[done:]], offset + done)
            except OSError as problem:
                raise self._unreadable(problem) from problem
            if not got:
                raise Damaged(self.name, f"was cut short at {offset + done:,} bytes while read")
            done += got
        return buffer

    def _unreadable(self, problem: OSError) -> Damaged:
        return Damaged(self.name, f"cannot be read: {problem.strerror or problem}")
