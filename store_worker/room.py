"""Whether there is room on the disk for a write into the ledger and the index."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

from thoth_core.disk_room import RESERVE_BYTES
from thoth_core.errors import StorageError

#: Besides the reserve, for each byte of texts and vectors so many: log, records, full-text index
#: and journal.
ROOM_PER_BYTE = 8
#: With less than this a file system refuses what is longer than a page, or soon does.
_NOTHING = 256 * 1024


def check_room(folder: Path, size: int = 0) -> None:
    """:class:`StorageError` unless ``folder`` has room for a write of ``size`` bytes of texts and
    vectors."""
    free, needed = shutil.disk_usage(folder).free, RESERVE_BYTES + ROOM_PER_BYTE * size
    if free < needed:
        raise StorageError(
            f"the disk is full: {free:,} bytes are free, a write needs {needed:,}",
            cause=f"ledger and index need room to work in: {folder}",
            fix=f"free some space (df -h {shlex.quote(str(folder))}), then send it again",
            path=str(folder),
        )


def full(folder: Path, cause: str) -> StorageError:
    """The error for a disk that was found full in the middle of something."""
    return StorageError(
        f"the disk is full: {folder}",
        cause=cause,
        fix=f"free some space (df -h {shlex.quote(str(folder))}), then try again",
        path=str(folder),
    )


def has_room(folder: Path) -> bool:
    """Whether ``folder`` has room for a small write."""
    try:
        check_room(folder)
    except StorageError:
        return False
    return True


def is_full(folder: Path) -> bool:
    """Whether next to nothing is free, so that a write that failed did for want of room."""
    try:
        return shutil.disk_usage(folder).free < _NOTHING
    except OSError:
        return False
