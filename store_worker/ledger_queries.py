"""What is read from the ledger. Nothing here writes."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from store_worker.ledger import Ledger
from store_worker.ledger_errors import translated

#: Keys bound to one statement. What is left is padded to one of these, so that there are few
#: statements to prepare. SQLite sorts all of them first: a search looks a dozen up at a time, for
#: which 256 take four times as long.
_SIZES = (16, 64, 256)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A live chunk. ``vector`` is little-endian float32, empty if it was not asked for."""

    row: int
    id: str
    text: str | None
    metadata: str | None
    vector: bytes

    def metadata_dict(self) -> dict[str, Any]:
        return json.loads(self.metadata) if self.metadata else {}


@contextlib.contextmanager
def one_moment(ledger: Ledger) -> Iterator[None]:
    """What is read in the block is of one moment, whatever another process writes meanwhile."""
    with translated(ledger.path):
        ledger.db.execute("BEGIN")
        try:
            yield
        finally:
            if ledger.db.in_transaction:
                ledger.db.execute("ROLLBACK")


def select_bound(ledger: Ledger, sql: str, collection: int, keys: Iterable[str]) -> Iterator[Any]:
    """Rows of ``sql``, which has one ``?`` for the collection and ``{keys}`` for the keys."""
    with translated(ledger.path):
        for part in padded_parts(list(keys)):
            statement = sql.format(keys=",".join("?" * len(part)))
            yield from ledger.db.execute(statement, (collection, *part))


def padded_parts(keys: Sequence[Any]) -> Iterator[list[Any]]:
    """``keys`` in parts of one of the sizes, padded with what equals nothing."""
    largest = _SIZES[-1]
    for start in range(0, len(keys), largest):
        part = list(keys[start : start + largest])
        size = next(size for size in _SIZES if size >= len(part))
        yield part + [None] * (size - len(part))


def chunks_of(
    ledger: Ledger, collection: int, ids: Sequence[str], *, vectors: bool
) -> dict[str, Chunk]:
    """The live ones of ``ids``, by id."""
    column = "vector" if vectors else "x''"
    sql = (
        f"SELECT row, id, text, metadata, {column} FROM chunks"
        " WHERE collection = ? AND id IN ({keys})"
    )
    return {row[1]: Chunk(*row) for row in select_bound(ledger, sql, collection, ids)}


def vectors_of(ledger: Ledger, collection: int, ids: Sequence[str]) -> dict[str, bytes]:
    """The vectors of the live ones of ``ids``, by id."""
    sql = "SELECT id, vector FROM chunks WHERE collection = ? AND id IN ({keys})"
    return dict(select_bound(ledger, sql, collection, ids))


def rows_of(ledger: Ledger, collection: int, ids: Sequence[str]) -> dict[str, int]:
    """The rows of the live ones of ``ids``, by id."""
    sql = "SELECT id, row FROM chunks WHERE collection = ? AND id IN ({keys})"
    return dict(select_bound(ledger, sql, collection, ids))


def vectors_at(ledger: Ledger, rows: Sequence[int]) -> dict[str, bytes]:
    """The vectors of these rows, by id."""
    found: dict[str, bytes] = {}
    with translated(ledger.path):
        for part in padded_parts(rows):
            marks = ",".join("?" * len(part))
            sql = f"SELECT id, vector FROM chunks WHERE row IN ({marks})"
            found.update(ledger.db.execute(sql, part))
    return found


def ids_between(
    ledger: Ledger, collection: int, after: int, upto: int, limit: int
) -> list[tuple[int, str]]:
    """The first rows after ``after`` and up to ``upto``, as (row, id)."""
    with translated(ledger.path):
        return ledger.db.execute(
            "SELECT row, id FROM chunks WHERE collection = ? AND row > ? AND row <= ?"
            " ORDER BY row LIMIT ?",
            (collection, after, upto, limit),
        ).fetchall()


def last_row(ledger: Ledger, collection: int) -> int:
    """The highest row of a collection, 0 if it has none."""
    with translated(ledger.path):
        found = ledger.db.execute("SELECT max(row) FROM chunks WHERE collection = ?", (collection,))
        return int(found.fetchone()[0] or 0)


def rows_left(ledger: Ledger, fills: Mapping[int, tuple[int, int]]) -> int:
    """How many rows are after the first and up to the second of each collection's pair."""
    total = 0
    with translated(ledger.path):
        for collection, (after, upto) in fills.items():
            found = ledger.db.execute(
                "SELECT count(*) FROM chunks WHERE collection = ? AND row > ? AND row <= ?",
                (collection, after, upto),
            )
            total += int(found.fetchone()[0])
    return total


def random_ids(ledger: Ledger, collection: int, most: int, chance: random.Random) -> list[str]:
    """Up to ``most`` ids from places all over the collection."""
    with translated(ledger.path):
        low, high = ledger.db.execute(
            "SELECT min(row), max(row) FROM chunks WHERE collection = ?", (collection,)
        ).fetchone()
        if low is None:
            return []
        found = [
            ledger.db.execute(
                "SELECT id FROM chunks WHERE collection = ? AND row >= ? ORDER BY row LIMIT 1",
                (collection, chance.randint(low, high)),
            ).fetchone()[0]
            for _ in range(most)
        ]
    return list(dict.fromkeys(found))


def unindexed(ledger: Ledger, collection: int) -> set[str]:
    """Ids that no index takes."""
    with translated(ledger.path):
        found = ledger.db.execute("SELECT id FROM unindexed WHERE collection = ?", (collection,))
        return {id for (id,) in found}


def leave_out(ledger: Ledger, collection: int, id: str, reason: str) -> None:
    """Note, in a transaction, that no index takes a chunk. The index is told to delete what it has
    under this id, which is an older version."""
    found = ledger.db.execute(
        "INSERT OR REPLACE INTO unindexed SELECT collection, id, ?3 FROM chunks"
        " WHERE collection = ?1 AND id = ?2",
        (collection, id, reason),
    )
    if found.rowcount:
        ledger.log_changes(collection, [id], "upsert")


def all_unindexed(ledger: Ledger) -> list[dict[str, str]]:
    """What no index takes, and why, as ``{collection, id, reason}``."""
    with translated(ledger.path):
        found = ledger.db.execute(
            "SELECT name, unindexed.id, reason FROM unindexed"
            " JOIN collections ON collections.id = collection ORDER BY name, unindexed.id"
        )
        return [dict(zip(("collection", "id", "reason"), row, strict=True)) for row in found]


def page(
    ledger: Ledger, collection: int, limit: int | None, offset: int, *, vectors: bool
) -> list[Chunk]:
    """Chunks in the order in which they were first written."""
    column = "vector" if vectors else "x''"
    with translated(ledger.path):
        found = ledger.db.execute(
            f"SELECT row, id, text, metadata, {column} FROM chunks WHERE collection = ?"
            " ORDER BY row LIMIT ? OFFSET ?",
            (collection, -1 if limit is None else limit, offset),
        )
        return [Chunk(*row) for row in found]


def ordered(ledger: Ledger, collection: int, ids: Sequence[str]) -> list[str]:
    """The live ones of ``ids`` in the order in which they were first written."""
    sql = "SELECT row, id FROM chunks WHERE collection = ? AND id IN ({keys})"
    return [id for _, id in sorted(select_bound(ledger, sql, collection, ids))]


def count(ledger: Ledger, collection: int) -> int:
    with translated(ledger.path):
        row = ledger.db.execute("SELECT count(*) FROM chunks WHERE collection = ?", (collection,))
        return int(row.fetchone()[0])


def total(ledger: Ledger) -> int:
    """Live chunks in all collections."""
    with translated(ledger.path):
        return int(ledger.db.execute("SELECT count(*) FROM chunks").fetchone()[0])


def seen(ledger: Ledger) -> int:
    """Live chunks in the collections that users see."""
    with translated(ledger.path):
        hidden = ledger.db.execute("SELECT id FROM collections WHERE replaces IS NOT NULL")
        return total(ledger) - sum(count(ledger, id) for (id,) in hidden.fetchall())


def document_count(ledger: Ledger, collection: int) -> int:
    with translated(ledger.path):
        row = ledger.db.execute(
            "SELECT count(*) FROM documents WHERE collection = ? AND content_hash IS NOT NULL",
            (collection,),
        )
        return int(row.fetchone()[0])


def documents(
    ledger: Ledger, collection: int, sources: Sequence[str] | None
) -> Mapping[str, dict[str, Any]]:
    """``{source: {content_hash, chunks}}`` of the documents whose chunks are all as recorded."""
    sql = (
        "SELECT source, content_hash, chunks FROM documents"
        " WHERE collection = ? AND content_hash IS NOT NULL"
    )
    if sources is None:
        with translated(ledger.path):
            found = ledger.db.execute(sql, (collection,)).fetchall()
    else:
        found = list(select_bound(ledger, sql + " AND source IN ({keys})", collection, sources))
    return {source: {"content_hash": digest, "chunks": n} for source, digest, n in found}
