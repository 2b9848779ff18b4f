"""Where a child's interpreter writes its stacks when it crashes or hangs: a file without a name.

It is in memory where the system has that, so that a full disk takes no stack away, and gone with
the two processes that have it open.
"""

from __future__ import annotations

import os
import tempfile

#: Bytes that are read of it: a dump has a hundred threads of a hundred frames at most.
MOST_BYTES = 1024 * 1024


class DumpFile:
    """``fd`` is for the child as well: the two share one place in the file."""

    def __init__(self) -> None:
        """:class:`OSError` if there is no room or descriptor for it."""
        if hasattr(os, "memfd_create"):
            self.fd = os.memfd_create("thoth-stacks")
        else:
            self.fd = _unnamed()

    def clear(self) -> None:
        """Forget what is in it, so that the next dump is the only one."""
        os.ftruncate(self.fd, 0)
        os.lseek(self.fd, 0, os.SEEK_SET)

    def read(self) -> str:
        """The last of what is in it."""
        size = os.fstat(self.fd).st_size
        # Not with read: the child's place would move.
        data = os.pread(self.fd, MOST_BYTES, max(0, size - MOST_BYTES))
        return data.decode("utf-8", "replace")

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def _unnamed() -> int:
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
