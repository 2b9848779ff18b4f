"""Whether there is room on the disk for a write into the ledger and the index."""

from __future__ import annotations

import shutil
from pathlib import Path

from thoth_core.errors import StorageError

#: A full disk must never be met inside Chroma 1.5.9: the call after that may hang for good, or
#: report rows as taken that no search finds. So no write is begun with less than this free,
RESERVE_BYTES = 32 * 1024 * 1024
#: and for each byte of texts and vectors this many: log, records, full-text index and journal.
ROOM_PER_BYTE = 8


def check_room(folder: Path, size: int = 0) -> None:
    """:class:`StorageError` unless ``folder`` has room for a write of ``size`` bytes of texts and
    vectors."""
    free, needed = shutil.disk_usage(folder).free, RESERVE_BYTES + ROOM_PER_BYTE * size
    if free < needed:
        raise StorageError(
            f"the disk is full: {free:,} bytes are free, a write needs {needed:,}",
            cause=f"ledger and index need room to work in: {folder}",
            fix=f"free some space (df -h {folder}), then send it again",
            path=str(folder),
        )
