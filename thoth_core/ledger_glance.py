"""A quick look into a ledger, for a shell that completes a word: which collections and sources
there are. Whether or not a service has it open, nothing is written, nothing waited for, and what
cannot be read is nothing.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

#: Seconds that a writer is waited for.
_PATIENCE = 0.05
#: No source begins with so high a character: what comes after a folder and all that is in it.
_AFTER_ALL = "\U0010ffff"


def collections_in(ledger: Path, beginning: str, most: int) -> list[str]:
    """The names of collections that begin so."""
    with contextlib.suppress(sqlite3.Error), _opened(ledger) as db:
        found = db.execute(
            "SELECT name FROM collections WHERE replaces IS NULL AND name >= ? ORDER BY name"
            " LIMIT ?",
            (beginning, most),
        )
        return [name for (name,) in found if name.startswith(beginning)]
    return []


def sources_in(ledger: Path, collection: str, beginning: str, most: int) -> list[str]:
    """Sources that begin so; of those in a folder below that, the folder alone, with its ``/``."""
    found: list[str] = []
    with contextlib.suppress(sqlite3.Error), _opened(ledger) as db:
        row = db.execute(
            "SELECT id FROM collections WHERE replaces IS NULL AND name = ?", (collection,)
        ).fetchone()
        at = beginning
        while row is not None and len(found) < most:
            # One at a time, because a folder may have a hundred thousand that are not wanted.
            source = db.execute(
                "SELECT min(source) FROM chunks WHERE collection = ? AND source >= ?", (row[0], at)
            ).fetchone()[0]
            if source is None or not source.startswith(beginning):
                break
            slash = source.find("/", len(beginning))
            folder = source[: slash + 1]
            found.append(folder if slash >= 0 else source)
            at = folder + _AFTER_ALL if slash >= 0 else source + "\0"
    return found


@contextlib.contextmanager
def _opened(ledger: Path) -> Iterator[sqlite3.Connection]:
    # Without a log beside it nobody has written since it was closed: then SQLite need make no files
    # of its own beside it.
    log = ledger.with_name(f"{ledger.name}-wal")
    how = "mode=ro" if log.exists() else "immutable=1"
    name = f"{ledger.absolute().as_uri()}?{how}"
    db = sqlite3.connect(name, uri=True, timeout=_PATIENCE, isolation_level=None)
    try:
        db.execute("PRAGMA query_only = ON")
        yield db
    finally:
        db.close()
