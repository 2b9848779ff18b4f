"""The next generation of a collection: the same chunks with another model's vectors.

It is a collection of its own that nobody sees. When it has every chunk, one transaction gives it
the name, and with it the documents and the tombstones; the old one is unseen from then on, and its
rows are deleted by and by. Whatever ends in the middle leaves the old one as it was, and what is
embedded so far.

Nothing here opens a transaction: all that writes runs inside one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from store_worker import ledger_queries
from store_worker.ledger import Ledger
from store_worker.ledger_collections import (
    GONE,
    HIDDEN_PREFIX,
    Collection,
    by_id,
    canonical,
    depart,
    everything,
    retire,
)
from store_worker.ledger_errors import translated

#: Ids bound to one statement.
_BOUND = 256

# Whether a chunk has no counterpart with the same text and metadata. A text of before hashes were
# kept is compared itself.
_UNLIKE = (
    "(theirs.id IS NULL OR theirs.computed = 0 OR theirs.metadata IS NOT mine.metadata"
    " OR CASE WHEN mine.text_hash IS NULL THEN theirs.text IS NOT mine.text"
    " ELSE theirs.text_hash IS NOT mine.text_hash END)"
)
_PAIRS = (
    f"SELECT mine.row, mine.id, {_UNLIKE} FROM chunks AS mine LEFT JOIN chunks AS theirs"
    " ON theirs.collection = ?2 AND theirs.id = mine.id WHERE mine.collection = ?1"
)


def unfinished(ledger: Ledger, collection: int) -> Collection | None:
    """The generation of ``collection`` that is being made, if there is one."""
    for each in everything(ledger):
        if each.replaces == collection:
            return each
    return None


def begin(
    ledger: Ledger, collection: Collection, model: Mapping[str, Any], number: int
) -> Collection:
    """The next generation of ``collection``, of ``model``: the one that was begun before, if it is
    of that model; one of another is given up."""
    identity, dimension = canonical(model)
    there = unfinished(ledger, collection.id)
    if there is not None and there.model == identity:
        return there
    if there is not None:
        abort(ledger, there, number)
    name = f"{HIDDEN_PREFIX}{number:x}"
    made = ledger.db.execute(
        "INSERT INTO collections (name, model, dimension, number, space, replaces)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (name, identity, dimension, number, collection.space, collection.id),
    )
    found = by_id(ledger, int(made.lastrowid or 0))
    assert found is not None
    return found


def abort(ledger: Ledger, generation: Collection, number: int) -> None:
    """Give up a generation that is not finished."""
    depart(ledger, generation.name, number, None)
    retire(ledger, generation.id)


def without_text(ledger: Ledger, collection: int, most: int) -> tuple[int, list[str]]:
    """How many chunks have no text that could be embedded, and the ids of up to ``most``."""
    lacking = "FROM chunks WHERE collection = ? AND text IS NULL"
    with translated(ledger.path):
        count = int(ledger.db.execute(f"SELECT count(*) {lacking}", (collection,)).fetchone()[0])
        found = ledger.db.execute(f"SELECT id {lacking} LIMIT ?", (collection, most))
        return count, [id for (id,) in found]


def compare_after(
    ledger: Ledger, mine: int, theirs: int, after: int, limit: int
) -> list[tuple[int, str, bool]]:
    """(row, id, lacking) of the first chunks of ``mine`` after the row ``after``: whether
    ``theirs`` has not the same chunk."""
    with translated(ledger.path):
        found = ledger.db.execute(
            f"{_PAIRS} AND mine.row > ?3 ORDER BY mine.row LIMIT ?4", (mine, theirs, after, limit)
        )
        return [(row, id, bool(unlike)) for row, id, unlike in found]


def compare(ledger: Ledger, mine: int, theirs: int, ids: Iterable[str]) -> dict[str, bool]:
    """Which of ``ids`` are live in ``mine``, and whether ``theirs`` lacks them."""
    found: dict[str, bool] = {}
    with translated(ledger.path):
        for part in _parts(list(ids)):
            marks = ",".join("?" * len(part))
            pairs = ledger.db.execute(f"{_PAIRS} AND mine.id IN ({marks})", (mine, theirs, *part))
            found |= {id: bool(unlike) for _, id, unlike in pairs}
    return found


def remove(ledger: Ledger, generation: Collection, ids: Sequence[str]) -> int:
    """Take out chunks that are gone from the collection; how many there were. Their tombstones are
    the collection's."""
    live = ledger_queries.ordered(ledger, generation.id, ids)
    ledger.log_changes(generation.id, live, "delete")
    for table in ("chunks", "unindexed"):
        ledger.db.executemany(
            f"DELETE FROM {table} WHERE collection = ? AND id = ?",
            [(generation.id, id) for id in live],
        )
    return len(live)


def strays(ledger: Ledger, collection: int, generation: int) -> list[str]:
    """Ids that the generation has and the collection has not."""
    with translated(ledger.path):
        if ledger_queries.count(ledger, collection) == ledger_queries.count(ledger, generation):
            # Of two that have equally many, and the first is in the second.
            return []
        found = ledger.db.execute(
            "SELECT id FROM chunks WHERE collection = ?2 AND id NOT IN"
            " (SELECT id FROM chunks WHERE collection = ?1)",
            (collection, generation),
        )
        return [id for (id,) in found]


def switch(ledger: Ledger, collection: Collection, generation: Collection, number: int) -> None:
    """Give ``generation`` the place of ``collection``."""
    pair = (collection.id, generation.id)
    retire(ledger, collection.id)
    ledger.db.execute(
        "UPDATE collections SET name = ?, number = ?, named = ?, replaces = NULL WHERE id = ?",
        (collection.name, collection.number, collection.named, generation.id),
    )
    ledger.db.execute("UPDATE departed SET successor = ?2 WHERE successor = ?1", pair)
    ledger.db.execute("UPDATE OR REPLACE documents SET collection = ?2 WHERE collection = ?1", pair)
    ledger.db.execute(
        "INSERT INTO tombstones (collection, id, number) SELECT ?2, id, number FROM tombstones"
        " WHERE collection = ?1"
        " AND id NOT IN (SELECT id FROM chunks WHERE collection = ?2)"
        " ON CONFLICT (collection, id) DO UPDATE SET number = max(number, excluded.number)",
        pair,
    )
    # What a text of it still brings on its way comes too late.
    depart(ledger, generation.name, number, None)


def sweep(ledger: Ledger, limit: int) -> bool:
    """Delete up to ``limit`` rows of what is gone; whether there was anything. Opens its own
    transaction if there is."""
    with translated(ledger.path):
        found = ledger.db.execute(
            "SELECT id FROM collections WHERE replaces = ? LIMIT 1", (GONE,)
        ).fetchone()
    if found is None:
        return False
    (gone,) = found
    with ledger.transaction():
        left = limit
        for table, key in (("chunks", "row"), ("staged", "rowid")):
            done = ledger.db.execute(
                f"DELETE FROM {table} WHERE {key} IN"
                f" (SELECT {key} FROM {table} WHERE collection = ? LIMIT ?)",
                (gone, left),
            )
            left -= done.rowcount
        for table, key in (("tombstones", "id"), ("documents", "source")):
            done = ledger.db.execute(
                f"DELETE FROM {table} WHERE collection = ?1 AND {key} IN"
                f" (SELECT {key} FROM {table} WHERE collection = ?1 LIMIT ?2)",
                (gone, left),
            )
            left -= done.rowcount
        if left > 0:
            ledger.db.execute("DELETE FROM unindexed WHERE collection = ?", (gone,))
            ledger.db.execute("DELETE FROM collections WHERE id = ?", (gone,))
    return True


def _parts(ids: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), _BOUND):
        yield ids[start : start + _BOUND]
