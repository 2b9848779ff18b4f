"""Opens ``chroma.sqlite3`` without ever writing beside it.

SQLite itself writes on reading in two cases: it rolls back what a process that died had begun (the
rollback journal), and it makes files for a database in write-ahead mode. Then a copy is opened.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from thoth_core.chroma_dir.files import Bytes, Damaged

NAME = "chroma.sqlite3"
#: What must be a table in it, or it is not of Chroma 0.4 or later.
TABLES = (
    "collections",
    "segments",
    "embeddings",
    "embedding_metadata",
    "embeddings_queue",
    "max_seq_id",
)

_MAGIC = b"SQLite format 3\0"
#: Place of the file-format byte in the header, and its value for write-ahead mode.
_FORMAT_AT, _WAL_FORMAT = 18, 2
#: Steps of SQLite's machine between two looks at the clock.
_STEPS = 20_000
_BUSY_SECONDS = 5.0


@contextlib.contextmanager
def opened(directory: Path, *, ours: bool = False) -> Iterator[sqlite3.Connection]:
    """The database of a Chroma directory, for reading. :class:`Damaged` if it is none or missing,
    ``OSError`` if a copy is needed and there is no room for it.

    ``ours``: nobody else has the directory open and Chroma is about to open it, so that a write
    that was cut short may be rolled back in place, as Chroma would. Otherwise nothing in the
    directory is changed, and a database that needs that is copied.
    """
    path = directory / NAME
    with Bytes(path) as file:
        if file.size < len(_MAGIC) or file.read(0, len(_MAGIC)) != _MAGIC:
            raise Damaged(NAME, "is not a database" if file.size else "is empty")
        write_ahead = _WAL_FORMAT in file.read(_FORMAT_AT, 2)
    with contextlib.ExitStack() as stack:
        if ours:
            db = _connect(path, "mode=rw")
        elif write_ahead and _has(path, "-wal"):
            db = _connect(_copied(path, stack), "mode=rw")
        elif write_ahead:
            db = _connect(path, "mode=ro&immutable=1")
        else:
            db = _connect(path, "mode=ro")
            if _has(path, "-journal") and not _readable(db):
                db.close()
                db = _connect(_copied(path, stack), "mode=rw")
        stack.callback(db.close)
        yield db


def quick_check(db: sqlite3.Connection, seconds: float) -> str | None:
    """What SQLite finds wrong with the structure of its pages, or None; None too if it is not done
    with looking within ``seconds``."""
    until = time.monotonic() + seconds
    db.set_progress_handler(lambda: time.monotonic() > until, _STEPS)
    try:
        found = [str(row[0]) for row in db.execute("PRAGMA quick_check(1)")]
    except sqlite3.OperationalError as problem:
        if problem.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            return None
        return str(problem)
    except sqlite3.DatabaseError as problem:
        return str(problem)
    finally:
        db.set_progress_handler(None, 0)
    return None if found == ["ok"] else " ".join(found).replace("\n", " ")


def missing_tables(db: sqlite3.Connection) -> list[str]:
    """Which of :data:`TABLES` are not plain tables. ``sqlite3.DatabaseError``."""
    found = {
        str(name)
        for name, sql in db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'")
        if not str(sql).upper().startswith("CREATE VIRTUAL")
    }
    return [name for name in TABLES if name not in found]


class _Connection(sqlite3.Connection):
    """One that says ``sqlite3.DatabaseError`` also of a schema in which not all is UTF-8: SQLite
    quotes it in its message, and that is what Python cannot decode."""

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        try:
            return super().execute(sql, parameters)
        except UnicodeDecodeError as problem:
            raise sqlite3.DatabaseError(_text(problem.object)) from problem


def _connect(path: Path, parameters: str) -> sqlite3.Connection:
    db = sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?{parameters}",
        uri=True,
        isolation_level=None,
        timeout=_BUSY_SECONDS,
        factory=_Connection,
    )
    # The file may be anybody's: nothing in its schema is to run, and no text in it may end reading.
    db.execute("PRAGMA trusted_schema = OFF")
    db.text_factory = _text
    return db


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _has(path: Path, suffix: str) -> bool:
    try:
        return path.with_name(path.name + suffix).stat().st_size > 0
    except OSError:
        return False


def _readable(db: sqlite3.Connection) -> bool:
    try:
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError as problem:
        kind = problem.sqlite_errorcode & 0xFF
        return kind not in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)
    except sqlite3.DatabaseError:
        # Damaged, which a copy would not mend.
        return True
    return True


def _copied(path: Path, stack: contextlib.ExitStack) -> Path:
    """A copy of the database with its journal, which goes with ``stack``."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="thoth-chroma-")))
    for suffix in ("", "-journal", "-wal"):
        each = path.with_name(path.name + suffix)
        if each.is_file():
            # Not copy2: the copy of a read-only file must be writable.
            shutil.copyfile(each, folder / each.name)
    return folder / path.name
