"""The chunks of a damaged ledger, read in one go and sorted to their collections."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from thoth_core.chroma_dir.row_reader import Reader
from thoth_core.errors import StorageError

_COLUMNS = "collection, id, computed, text_hash, metadata, text, vector"
#: What mends it when a copy has no room.
MORE_ROOM = "df -h /tmp; set TMPDIR to a folder with room for twice what the ledger takes"
#: Rows that are written at once.
_ROWS = 500
#: How many pages SQLite keeps in memory, in KiB (negative is SQLite's way to say so).
_CACHE = -16_000


class SortedRows:
    """Rows of all collections in a file of its own: one page of the ledger has rows of several, and
    one that cannot be read is to be stepped over, and counted, once.

    ``gaps`` counts the places that cannot be read, ``garbled`` the rows of no collection.
    """

    def __init__(self, ledger: sqlite3.Connection, path: Path) -> None:
        """Read the ledger into ``path``. :class:`StorageError` if there is no room for it."""
        self._db = sqlite3.connect(path, isolation_level=None)
        self.gaps = self.garbled = 0
        try:
            self._fill(ledger)
        except sqlite3.Error as problem:
            self.close()
            raise StorageError(
                f"the chunks of the ledger cannot be copied to {path.parent}",
                cause=f"SQLite: {problem}",
                fix=MORE_ROOM,
            ) from problem

    def close(self) -> None:
        self._db.close()

    def of(self, collection: int) -> Iterator[tuple[Any, ...]]:
        """``(id, computed, text_hash, metadata, text, vector)`` of each, as they were read."""
        return self._db.execute(
            "SELECT id, computed, text_hash, metadata, text, vector FROM rows WHERE collection = ?"
            " ORDER BY rowid",
            (collection,),
        )

    def _fill(self, ledger: sqlite3.Connection) -> None:
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.execute(f"PRAGMA cache_size = {_CACHE}")
        # Texts are read as bytes, which may be garbled: they stay what they are.
        self._db.execute(f"CREATE TABLE rows ({_COLUMNS})")
        self._db.execute("BEGIN")
        insert = f"INSERT INTO rows VALUES ({', '.join('?' * len(_COLUMNS.split(',')))})"
        reader = Reader(ledger, "chunks", _COLUMNS)
        rows = self._kept(reader.rows())
        while some := list(itertools.islice(rows, _ROWS)):
            self._db.executemany(insert, some)
        self._db.execute("CREATE INDEX of_collection ON rows (collection)")
        self._db.execute("COMMIT")
        self.gaps = reader.gaps

    def _kept(self, rows: Iterator[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
        for row in rows:
            if type(row[0]) is int:
                yield row
            else:
                self.garbled += 1
