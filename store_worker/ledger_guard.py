"""A damaged ledger stops the store; it is never begun afresh, and nothing is written to it.

Before it is opened: is it gone, while what belonged to it is still there? When it is open: a quick
look at what a start needs. A garbled page in the middle is met by the call that reads it: then the
store leaves a mark and ends, and its successor looks at all of the ledger before it serves.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from store_worker.ledger_errors import damaged
from thoth_core.chroma_dir import database
from thoth_core.chroma_dir.files import Damaged
from thoth_core.errors import LedgerDamaged

#: Left in the data directory by a store that met damage.
MARK = "ledger-damaged"

#: Metadata of a Chroma collection that ties it to a ledger.
_OWNED = "SELECT count(DISTINCT collection_id) FROM collection_metadata WHERE key = 'thoth_ledger'"
#: Small tables that every start needs, wholly looked at.
_SMALL = ("meta", "collections", "departed", "stages", "unindexed")


def before_open(path: Path) -> None:
    """:class:`LedgerDamaged` where a new ledger would be made at ``path`` although there was one:
    its write-ahead log is there without it, or an index that was made of it."""
    if path.exists() and (not path.is_file() or path.stat().st_size):
        return
    state = "empty" if path.exists() else "missing"
    log = path.with_name(path.name + "-wal")
    if log.exists() and log.stat().st_size:
        # SQLite would delete it.
        raise damaged(path, f"it is {state}, but its write-ahead log is there: {log}", gone=True)
    belongs = _of_ours(path.parent / "chroma")
    if belongs:
        raise damaged(path, f"it is {state}, but {belongs}", gone=True)


def look(db: sqlite3.Connection, path: Path) -> None:
    """Look at what a start needs, and at all of it if the store before met damage, before anything
    is written. :class:`LedgerDamaged`, ``sqlite3.DatabaseError``."""
    found = db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    tables = [str(name) for (name,) in found]
    for table in tables:
        # The way to the first row of each.
        db.execute(f'SELECT * FROM "{table}" LIMIT 1').fetchone()
        if table in _SMALL:
            _check(db, path, f"quick_check({table})")
    log = path.with_name(path.name + "-wal")
    if tables and not (log.exists() and log.stat().st_size):
        # All of it is in the file, so the file has all the pages that its header says.
        with path.open("rb") as file:
            pages = int.from_bytes(file.read(32)[28:], "big")
        needed, size = pages * _page_bytes(db), path.stat().st_size
        if size < needed:
            raise damaged(path, f"it has {size:,} bytes of {needed:,}")
    mark = path.with_name(MARK)
    if mark.exists():
        _check(db, path, "integrity_check(3)")
        mark.unlink(missing_ok=True)


def met(path: Path, problem: LedgerDamaged) -> None:
    """Leave the mark, if it can be: a store that works on met ``problem``."""
    with contextlib.suppress(OSError):
        path.with_name(MARK).write_text(f"{problem}\n")


def _page_bytes(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA page_size").fetchone()[0])


def _check(db: sqlite3.Connection, path: Path, check: str) -> None:
    found = [str(row[0]) for row in db.execute(f"PRAGMA {check}")]
    if found != ["ok"]:
        raise damaged(path, "SQLite: " + "; ".join(found).replace("\n", " "))


def _of_ours(chroma: Path) -> str:
    """What there is in ``chroma`` that a ledger had made, in words; empty if nothing."""
    try:
        if not any(chroma.iterdir()):
            return ""
    except (FileNotFoundError, NotADirectoryError):
        return ""
    try:
        with database.opened(chroma) as db:
            owned = int(db.execute(_OWNED).fetchone()[0])
    except (Damaged, sqlite3.Error, OSError) as problem:
        return f"there is an index beside it, which cannot be read: {chroma} ({problem})"
    return f"the index beside it has {owned} collections of it: {chroma}" if owned else ""
