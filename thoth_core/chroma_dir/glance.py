"""A quick look at a Chroma directory that somebody else made: what is in it, in words.

For the start of a service, which must not wait for it: it opens one file, and gives up after a
moment. No numpy, because the supervisor looks.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from thoth_core.chroma_dir import database
from thoth_core.chroma_dir.files import Damaged

#: How long it may take altogether.
SECONDS = 1.0
#: Steps of SQLite's machine between two looks at the clock.
_STEPS = 10_000
#: Names that are told.
_NAMED = 5
#: A larger database is not copied, which a write that was cut short would make necessary.
_COPIED_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Glance:
    """``names`` of the collections; ``rows`` of all, None if there was no time to count them.
    ``trouble`` is why the database was not read, or empty."""

    names: tuple[str, ...] = ()
    rows: int | None = None
    trouble: str = ""

    def __str__(self) -> str:
        if self.trouble:
            return f"its database was not read: {self.trouble}"
        if not self.names:
            return "no collection in it"
        named = ", ".join(self.names[:_NAMED]) + (", …" if len(self.names) > _NAMED else "")
        many = "1 collection" if len(self.names) == 1 else f"{len(self.names):,} collections"
        rows = "" if self.rows is None else f", {self.rows:,} rows"
        return f"{many} ({named}){rows}"


def glance(directory: Path, seconds: float = SECONDS) -> Glance | None:
    """What is in ``directory``; None if there is no database of Chroma's name."""
    path = directory / database.NAME
    if not path.is_file():
        return None
    until = time.monotonic() + seconds
    if _large_and_open(path):
        return Glance(trouble="a write to it is under way, or was cut short")
    try:
        with database.opened(directory) as db:
            db.execute("PRAGMA busy_timeout = 200")
            with _bounded(db, until):
                names = tuple(
                    str(name)
                    for (name,) in db.execute("SELECT name FROM collections ORDER BY name")
                )
            rows = None
            with _bounded(db, until), contextlib.suppress(sqlite3.OperationalError):
                # Without the condition it is one step for SQLite, and nothing interrupts it.
                counted = db.execute("SELECT count(*) FROM embeddings WHERE id >= 0")
                rows = int(counted.fetchone()[0])
            return Glance(names, rows)
    except (Damaged, sqlite3.Error, OSError) as problem:
        return Glance(trouble=str(problem))


def _large_and_open(path: Path) -> bool:
    with contextlib.suppress(OSError):
        beside = [path.with_name(path.name + suffix) for suffix in ("-journal", "-wal")]
        pending = any(each.exists() and each.stat().st_size for each in beside)
        return pending and path.stat().st_size > _COPIED_BYTES
    return False


@contextlib.contextmanager
def _bounded(db: sqlite3.Connection, until: float) -> Iterator[None]:
    db.set_progress_handler(lambda: time.monotonic() > until, _STEPS)
    try:
        yield
    finally:
        db.set_progress_handler(None, 0)
