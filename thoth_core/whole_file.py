"""Files that are whole or not there: written beside their place, and renamed into it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def whole_file(
    path: Path, draft: Path, *, mode: int = 0o600, durable: bool = True
) -> Iterator[BinaryIO]:
    """A file to write in a ``with`` block. When that ends well the file takes the place of
    ``path``, and with ``durable`` a power cut finds it there; if the block raises, or the disk
    refuses any of it (:class:`OSError`), nothing of it is left and ``path`` is as it was. Only a
    disk that fails when all is done, and the folder is to be synced, leaves it there all the same.

    ``draft`` is its name meanwhile, in the same folder: only a killed process leaves it. ``mode``
    is narrowed by the umask of the process.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(draft, flags, mode), "wb") as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def draft_beside(path: Path) -> Path:
    """A name that no other process takes, for a draft of ``path``."""
    # Shorter, because a name may have 255 bytes and four a character.
    return path.with_name(f".{path.name[:50]}.{os.urandom(6).hex()}.part")


def sync_folder(folder: Path) -> None:
    """Have the names in ``folder`` on the disk. :class:`OSError`."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
