"""What SQLite says of the ledger, as typed errors that say what to do."""

from __future__ import annotations

import contextlib
import shlex
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from store_worker import lock_holders
from store_worker.room import is_full
from thoth_core.errors import LedgerDamaged, StorageError

#: Errors of what a statement was given.
_ONE_CALL = (sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.IntegrityError)
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
#: What Python's sqlite3 says to a text that is none; the ledger is given nothing but text.
_NOT_TEXT = "Could not decode to UTF-8"
_HELD = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
#: What SQLite says too when it cannot make or lengthen a file beside the ledger.
_PERHAPS_FULL = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}
_NOT_WRITABLE = "make the folder writable for your user: ls -ld {folder}"
_LOOK = "ls -ld {folder}; df -h {folder}"
_REASONS = {
    sqlite3.SQLITE_FULL: ("the disk is full", "free some space (df -h {folder}), then try again"),
    sqlite3.SQLITE_READONLY: ("it is read-only", _NOT_WRITABLE),
    sqlite3.SQLITE_PERM: ("no permission", _NOT_WRITABLE),
    sqlite3.SQLITE_CANTOPEN: ("it cannot be opened", _LOOK),
    sqlite3.SQLITE_IOERR: ("the disk gave an error", _LOOK),
}


def concerns_all(problem: Exception) -> bool:
    """Whether an error is of the ledger as a whole and not of one call's data."""
    if isinstance(problem, sqlite3.Error):
        return not isinstance(problem, _ONE_CALL)
    return isinstance(problem, StorageError)


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into :class:`StorageError`, or :class:`LedgerDamaged`."""
    try:
        yield
    except sqlite3.Error as problem:
        if isinstance(problem, _ONE_CALL):
            raise
        code = getattr(problem, "sqlite_errorcode", 0) & 0xFF
        if code in _DAMAGED or str(problem).startswith(_NOT_TEXT):
            raise damaged(path, f"SQLite: {problem}") from problem
        cause, fix = _reason(code, path)
        name = getattr(problem, "sqlite_errorname", "")
        raise StorageError(
            f"the ledger cannot be used: {path}",
            cause=f"{cause} ({problem})" if cause else f"SQLite: {problem} {name}".strip(),
            fix=fix,
            path=str(path),
        ) from problem


def _reason(code: int, path: Path) -> tuple[str, str]:
    if code in _HELD:
        return _held(path)
    if code in _PERHAPS_FULL and is_full(path.parent):
        code = sqlite3.SQLITE_FULL
    cause, fix = _REASONS.get(code, ("", _LOOK))
    return cause, fix.format(folder=shlex.quote(str(path.parent)))


def _held(path: Path) -> tuple[str, str]:
    files = [path.with_name(path.name + suffix) for suffix in ("", "-shm", "-wal")]
    pids = lock_holders.of(files)
    if not pids:
        named = " ".join(shlex.quote(str(each)) for each in files)
        return "another program holds it", f"end the program that has it open: fuser -v {named}"
    told = ", ".join(str(pid) for pid in pids)
    return (
        f"another program holds it: pid {told}",
        f"end that program (ps -fp {','.join(map(str, pids))}), then try again",
    )


def damaged(path: Path, cause: str, *, gone: bool = False) -> LedgerDamaged:
    """The error for a ledger that must not be used, or that is ``gone``, with the way out."""
    folder, aside = shlex.quote(str(path.parent)), shlex.quote(f"{path.parent}.damaged")
    index = shlex.quote(f"{path.parent}.damaged/chroma")
    way = (
        f"mv {folder} {aside}; thoth rescue {index}"
        if gone
        else f"thoth salvage {folder} saved.zip; mv {folder} {aside}; thoth import saved.zip"
    )
    return LedgerDamaged(
        f"the ledger is gone: {path}" if gone else f"the ledger is damaged: {path}",
        cause=cause,
        fix=f"put a backup in its place, or: thoth-supervisor stop --if-running; {way}",
        path=str(path),
    )
