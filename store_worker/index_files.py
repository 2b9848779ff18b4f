"""The files of the index: looked at before native code opens them, put on disk, made smaller."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import sqlite3
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from store_worker.compare import differing
from store_worker.ledger import Ledger
from thoth_core.chroma_dir.check import check
from thoth_core.chroma_dir.files import Damaged
from thoth_core.disk_room import RESERVE_BYTES
from thoth_core.errors import StorageError

DATABASE = "chroma.sqlite3"


def inspect(
    folder: Path,
    ledger: Ledger,
    *,
    compare: bool,
    after: int,
    skip: Mapping[int, set[str]],
) -> dict[str, Any]:
    """``findings``: what is wrong with the files, in words. With ``compare``, ``differing`` are
    [collection, ids] whose vectors are not in them as they are in the ledger, out of ``rows``;
    those in ``skip``, and those whose change comes after ``after``, need not be.
    :class:`StorageError` if they cannot be looked at now."""
    report: dict[str, Any] = {"findings": [], "differing": [], "rows": 0}
    with _readable(folder):
        report["findings"] = [str(each) for each in check(folder, ours=True)]
        if compare and not report["findings"] and (folder / DATABASE).exists():
            try:
                report["differing"], report["rows"] = differing(folder, ledger, after, skip)
            except Damaged as problem:
                report["findings"] = [str(problem)]
    return report


@contextlib.contextmanager
def _readable(folder: Path) -> Iterator[None]:
    """:class:`StorageError` for what says nothing about the index itself."""
    try:
        yield
    except sqlite3.OperationalError as problem:
        if problem.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise
        raise _unread(folder, f"another program holds {DATABASE} ({problem})") from problem
    except OSError as problem:
        raise _unread(folder, problem.strerror or str(problem)) from problem


def _unread(folder: Path, cause: str) -> StorageError:
    path = shlex.quote(str(folder))
    return StorageError(
        f"the index cannot be looked at: {folder}",
        cause=cause,
        fix=f"end what holds it: fuser -v {path}/*; df -h {path}",
        path=str(folder),
    )


def size(folder: Path) -> int:
    """Bytes on disk of everything in ``folder``."""
    total = 0
    for each in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            # What is allocated: one size field gone wrong makes a file of 700 GB that is a hole.
            total += each.stat().st_blocks * 512 if each.is_file() else 0
    return total


def sync(folder: Path) -> None:
    """Have every file of the index on disk; Chroma itself waits for none of them."""
    try:
        for place, _, names in os.walk(folder):
            for name in (*names, "."):
                if not _is_ours(Path(place) / name):
                    continue
                fd = os.open(Path(place) / name, os.O_RDONLY)
                try:
                    os.fsync(fd)
                finally:
                    os.close(fd)
    except OSError as problem:
        raise StorageError(
            f"the index cannot be put on disk: {folder}",
            cause=problem.strerror or str(problem),
            fix=f"df -h {folder}",
            path=str(folder),
        ) from problem


def _is_ours(path: Path) -> bool:
    """Whether it is a plain file or a folder. Editors leave links to nowhere; to open a pipe would
    take for ever."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return False
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)


def check_room_to_vacuum(folder: Path) -> None:
    """:class:`StorageError` unless there is room to write Chroma's database twice more."""
    size = (folder / DATABASE).stat().st_size
    free, needed = shutil.disk_usage(folder).free, 2 * size + RESERVE_BYTES
    if free < needed:
        raise StorageError(
            f"no room to compact the index: {free:,} bytes are free, {needed:,} are needed",
            cause=f"Chroma's database is written anew: {folder / DATABASE}",
            fix=f"free some space: df -h {folder}",
            path=str(folder),
        )


def vacuum(folder: Path) -> None:
    """Give back what Chroma's database no longer uses; nobody may have it open."""
    try:
        db = sqlite3.connect(folder / DATABASE, isolation_level=None)
        with contextlib.closing(db):
            db.execute("VACUUM")
    except sqlite3.Error as problem:
        raise StorageError(
            f"the index cannot be compacted: {folder / DATABASE}",
            cause=f"SQLite: {problem}",
            fix=f"df -h {folder}",
            path=str(folder),
        ) from problem
