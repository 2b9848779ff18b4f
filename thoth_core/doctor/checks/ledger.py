"""Whether SQLite can read the ledger, which is the truth."""

from __future__ import annotations

import contextlib
import shlex
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from thoth_core.doctor.checks.disk import size_of
from thoth_core.doctor.context import Context
from thoth_core.doctor.result import Result, failed, ok, warn

NAME = "ledger.sqlite3"
#: Left in the data directory by a store that met damage.
MARK = "ledger-damaged"
#: Seconds that SQLite may look at its pages, if it is not to look at all of them.
QUICK = 10.0
_STEPS = 20_000


def check(context: Context) -> Result:
    data = context.settings.data_dir
    path = data / NAME
    if not path.exists():
        left = [data / f"{NAME}-wal", data / "chroma" / "chroma.sqlite3"]
        there = [each for each in left if each.exists() and each.stat().st_size]
        if there:
            return failed(
                f"the ledger is gone: {path}", f"{there[0]} is there", fix=way_out(data, gone=True)
            )
        return ok(f"there is none yet: {path}")
    marked = (data / MARK).exists()
    try:
        with opened(path) as db:
            wrong, whole = _pages(db, path, context.deep)
            rows, collections = _counts(db) if not wrong else (0, 0)
    except sqlite3.DatabaseError as problem:
        if getattr(problem, "sqlite_errorcode", 0) & 0xFF in (
            sqlite3.SQLITE_BUSY,
            sqlite3.SQLITE_LOCKED,
        ):
            return failed(
                f"the ledger is held by another program: {path}",
                str(problem),
                fix="thoth doctor --only second-owner",
            )
        wrong, whole, rows, collections = f"SQLite: {problem}", False, 0, 0
    size = size_of(path.stat().st_size)
    if wrong:
        return failed(f"the ledger is damaged: {path}, {size}", wrong, fix=way_out(data))
    looked = "all pages" if whole else f"pages, as far as they were read in {QUICK:.0f} s"
    if context.deep:
        looked = "all pages and indexes"
    seen = f"{rows:,} chunks in {collections:,} collections, {size}; SQLite finds {looked} in order"
    if marked:
        return warn(
            seen,
            "a store met damage in it; the next one looks at all of it before it serves",
            acts=[("thoth-supervisor", "restart", "store")] if context.status else [],
            fix="" if context.status else "thoth-supervisor start",
            chunks=rows,
        )
    return ok(seen, chunks=rows, collections=collections, bytes=path.stat().st_size)


def way_out(data: Path, *, gone: bool = False) -> str:
    """What brings back what can be, as docs/symptoms/ledger-damaged.md has it."""
    folder, aside = shlex.quote(str(data)), shlex.quote(f"{data}.damaged")
    way = (
        f"mv {folder} {aside}; thoth rescue {shlex.quote(f'{data}.damaged/chroma')}"
        if gone
        else f"thoth salvage {folder} saved.zip; mv {folder} {aside}; thoth import saved.zip"
    )
    return f"thoth-supervisor stop --if-running; {way}"


@contextlib.contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """The ledger, for reading. ``sqlite3.Error``."""
    log = path.with_name(path.name + "-wal")
    # Without a log nothing need be made beside it, and so nothing is.
    alone = not (log.exists() and log.stat().st_size)
    how = "mode=ro&immutable=1" if alone else "mode=ro"
    where = f"file:{quote(str(path.absolute()))}?{how}"
    with contextlib.closing(sqlite3.connect(where, uri=True, timeout=5.0)) as db:
        db.execute("PRAGMA trusted_schema = OFF")
        yield db


def _pages(db: sqlite3.Connection, path: Path, deep: bool) -> tuple[str, bool]:
    """What SQLite finds wrong, or "", and whether it came to all pages."""
    log = path.with_name(path.name + "-wal")
    if not (log.exists() and log.stat().st_size):
        with path.open("rb") as file:
            pages = int.from_bytes(file.read(32)[28:], "big")
        needed = pages * int(db.execute("PRAGMA page_size").fetchone()[0])
        if path.stat().st_size < needed:
            return f"it has {path.stat().st_size:,} bytes of {needed:,}", False
    if deep:
        found = [str(row[0]) for row in db.execute("PRAGMA integrity_check(3)")]
        found += [
            f"a row of {row[0]} refers to none" for row in db.execute("PRAGMA foreign_key_check")
        ]
        return ("" if found == ["ok"] else "SQLite: " + "; ".join(found)), True
    until = time.monotonic() + QUICK
    db.set_progress_handler(lambda: time.monotonic() > until, _STEPS)
    try:
        found = [str(row[0]) for row in db.execute("PRAGMA quick_check(3)")]
    except sqlite3.OperationalError as problem:
        if problem.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            return "", False
        raise
    finally:
        db.set_progress_handler(None, 0)
    return ("" if found == ["ok"] else "SQLite: " + "; ".join(found).replace("\n", " ")), True


def _counts(db: sqlite3.Connection) -> tuple[int, int]:
    rows = int(db.execute("SELECT count(*) FROM chunks").fetchone()[0])
    return rows, int(db.execute("SELECT count(*) FROM collections").fetchone()[0])
