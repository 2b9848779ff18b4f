"""Writes of chunks and documents to the ledger, each under its write number.

All of it runs inside a transaction and logs what the index must be told. A write with a lower
number than the last one kept for its (collection, id), deletes included, changes nothing, so the
order in which frames arrive does not matter.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from store_worker.ledger import Ledger
from store_worker.ledger_collections import Collection
from store_worker.ledger_errors import translated
from store_worker.ledger_queries import padded_parts, select_bound

_TOMBSTONES = "SELECT id, number FROM tombstones WHERE collection = ? AND id IN ({keys})"


@dataclass(frozen=True, slots=True)
class Row:
    """A chunk to write. ``metadata`` is canonical JSON, ``vector`` little-endian float32."""

    id: str
    text: str | None
    metadata: str | None
    source: str | None
    text_hash: str | None
    vector: bytes
    computed: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """A chunk whose vector the ledger may have already."""

    id: str
    text: str | None
    metadata: str | None
    source: str | None
    text_hash: str


@dataclass(slots=True)
class Written:
    """``superseded`` are positions in the rows that were given."""

    written: int = 0
    unchanged: int = 0
    superseded: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Had:
    """Positions in what was asked for; each is in exactly one list."""

    unchanged: list[int] = field(default_factory=list)
    superseded: list[int] = field(default_factory=list)
    reused: list[int] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Kept:
    """What the ledger has of an id. ``row`` None: a tombstone."""

    number: int
    row: Row | None


def upsert(ledger: Ledger, collection: Collection, number: int, rows: Sequence[Row]) -> Written:
    """Write ``rows``; a repetition under the same number is answered as the first time."""
    kept = _kept(ledger, collection, [row.id for row in rows])
    replaced = _replaced(ledger, collection, number, {row.source for row in rows})
    result = Written()
    apply: list[Row] = []
    renumber: list[str] = []
    for position, row in enumerate(rows):
        old = kept.get(row.id)
        if _late(old, number, row.source in replaced):
            result.superseded.append(position)
        elif old is not None and old.number == number:
            result.written += 1
        elif old is not None and old.row == row:
            result.unchanged += 1
            renumber.append(row.id)
        else:
            result.written += 1
            apply.append(row)
    _apply(ledger, collection, number, apply, kept)
    _renumber(ledger, collection, number, renumber)
    return result


def have(ledger: Ledger, collection: Collection, number: int, wanted: Sequence[Wanted]) -> Had:
    """Which of ``wanted`` are there already. A vector that was computed by the collection's model
    from the same text, under whatever id and in whatever collection, is written under this one."""
    kept = _kept(ledger, collection, [each.id for each in wanted])
    replaced = _replaced(ledger, collection, number, {each.source for each in wanted})
    result = Had()
    apply: list[Row] = []
    renumber: list[str] = []
    found: dict[str, tuple[bytes, str | None] | None] = {}
    for position, each in enumerate(wanted):
        old = kept.get(each.id)
        if _late(old, number, each.source in replaced):
            result.superseded.append(position)
            continue
        row = old.row if old is not None else None
        if row is not None and old is not None and old.number == number:
            result.unchanged.append(position)
            continue
        same_text = row is not None and row.computed and row.text_hash == each.text_hash
        if row is not None and same_text and row.metadata == each.metadata:
            result.unchanged.append(position)
            renumber.append(each.id)
            continue
        if each.text_hash not in found:
            found[each.text_hash] = computed(ledger, collection, each.text_hash)
        source = found[each.text_hash]
        if source is None:
            result.missing.append(position)
            continue
        vector, text = source
        result.reused.append(position)
        apply.append(
            Row(
                id=each.id,
                text=text if each.text is None else each.text,
                metadata=each.metadata,
                source=each.source,
                text_hash=each.text_hash,
                vector=vector,
                computed=True,
            )
        )
    _apply(ledger, collection, number, apply, kept)
    _renumber(ledger, collection, number, renumber)
    return result


def delete(ledger: Ledger, collection: Collection, number: int, ids: Sequence[str]) -> int:
    """Delete ``ids``; how many there were. Those that are not there leave a tombstone too, so that
    an earlier upsert which is still on its way cannot bring them to life."""
    kept = _numbers(ledger, collection, ids)
    buried: list[str] = []
    gone: list[str] = []
    sources: set[str | None] = set()
    for id in ids:
        last, live, source = kept.get(id, (0, False, None))
        if last > number:
            continue
        buried.append(id)
        if live:
            gone.append(id)
            sources.add(source)
    ledger.db.executemany(
        "INSERT OR REPLACE INTO tombstones VALUES (?, ?, ?)",
        [(collection.id, id, number) for id in buried],
    )
    ledger.log_changes(collection.id, gone, "delete")
    for table in ("chunks", "unindexed"):
        ledger.db.executemany(
            f"DELETE FROM {table} WHERE collection = ? AND id = ?",
            [(collection.id, id) for id in gone],
        )
    _outdate(ledger, collection, sources)
    return len(gone)


def replace_document(
    ledger: Ledger,
    collection: Collection,
    number: int,
    source: str,
    content_hash: str | None,
    ids: Sequence[str],
    begun: int | None = None,
    now: float | None = None,
) -> int:
    """Record the document ``source`` as consisting of ``ids`` and delete its other chunks; how many
    were deleted. ``content_hash`` None records that the document is gone. If one of ``ids`` is not
    there, or was written later, the document is not as told, and the hash is not recorded.
    ``begun`` is the stage of the run; a write without one began when it was accepted. ``now`` is
    in seconds since 1970."""
    recorded = ledger.db.execute(
        "SELECT number FROM documents WHERE collection = ? AND source = ?", (collection.id, source)
    ).fetchone()
    if recorded and recorded[0] > number:
        return 0
    keep = set(ids)
    present = ledger.db.execute(
        "SELECT id FROM chunks WHERE collection = ? AND source = ?", (collection.id, source)
    ).fetchall()
    removed = delete(ledger, collection, number, [id for (id,) in present if id not in keep])
    told = _numbers(ledger, collection, ids)
    for id in ids:
        last, live, _ = told.get(id, (0, False, None))
        if not live or last > number:
            content_hash = None
    ledger.db.execute(
        "INSERT OR REPLACE INTO documents"
        " (collection, source, content_hash, chunks, number, begun, stored)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            collection.id,
            source,
            content_hash,
            len(present) - removed,
            number,
            number if begun is None else begun,
            now,
        ),
    )
    return removed


def live(ledger: Ledger, collection: Collection, ids: Sequence[str]) -> dict[str, Row]:
    """The live ones of ``ids`` as they would be written again."""
    kept = _kept(ledger, collection, ids)
    return {id: each.row for id, each in kept.items() if each.row is not None}


def computed(
    ledger: Ledger, collection: Collection, text_hash: str
) -> tuple[bytes, str | None] | None:
    """A vector that the collection's model computed of this text, with the text: from a live chunk
    of any collection, or from one that a run has staged."""
    for table in ("chunks", "staged"):
        found = ledger.db.execute(
            f"SELECT vector, text FROM {table} WHERE computed = 1 AND text_hash = ?"
            " AND collection IN (SELECT id FROM collections WHERE model = ?) LIMIT 1",
            (text_hash, collection.model),
        ).fetchone()
        if found is not None:
            return found[0], found[1]
    return None


def embedded(ledger: Ledger, models: Sequence[str], hashes: Sequence[str]) -> set[str]:
    """Those of the texts with these ``hashes`` that :func:`computed` has a vector of, by one of
    ``models`` (identities)."""
    found: set[str] = set()
    with translated(ledger.path):
        for table in ("chunks", "staged"):
            for part in padded_parts(hashes):
                sql = (
                    f"SELECT text_hash FROM {table} WHERE computed = 1"
                    f" AND text_hash IN ({','.join('?' * len(part))})"
                    " AND collection IN (SELECT id FROM collections WHERE model IN"
                    " (SELECT value FROM json_each(?)))"
                )
                rows = ledger.db.execute(sql, (*part, json.dumps(list(models))))
                found.update(text_hash for (text_hash,) in rows)
    return found


def _late(old: _Kept | None, number: int, replaced: bool) -> bool:
    """Whether a later write already decided about this id: on the id itself, or by replacing the
    document that it would have belonged to."""
    if old is None:
        return replaced
    return old.number > number or (old.row is None and (replaced or old.number == number))


def _numbers(
    ledger: Ledger, collection: Collection, ids: Sequence[str]
) -> dict[str, tuple[int, bool, str | None]]:
    """The last number of each id that has one, whether it is live, and its source."""
    live = "SELECT id, number, source FROM chunks WHERE collection = ? AND id IN ({keys})"
    kept: dict[str, tuple[int, bool, str | None]] = {
        id: (number, False, None)
        for id, number in select_bound(ledger, _TOMBSTONES, collection.id, ids)
    }
    for id, number, source in select_bound(ledger, live, collection.id, ids):
        kept[id] = (number, True, source)
    return kept


def _kept(ledger: Ledger, collection: Collection, ids: Sequence[str]) -> dict[str, _Kept]:
    live = (
        "SELECT number, id, text, metadata, source, text_hash, vector, computed FROM chunks"
        " WHERE collection = ? AND id IN ({keys})"
    )
    kept = {
        id: _Kept(number, None)
        for id, number in select_bound(ledger, _TOMBSTONES, collection.id, ids)
    }
    for found in select_bound(ledger, live, collection.id, ids):
        number, id, text, metadata, source, text_hash, vector, computed = found
        row = Row(id, text, metadata, source, text_hash, vector, bool(computed))
        kept[id] = _Kept(number, row)
    return kept


def _replaced(
    ledger: Ledger, collection: Collection, number: int, sources: Iterable[str | None]
) -> set[str | None]:
    """Those of ``sources`` whose document was replaced by a later write than ``number``."""
    sql = "SELECT source, number FROM documents WHERE collection = ? AND source IN ({keys})"
    named = [source for source in sources if source is not None]
    found = select_bound(ledger, sql, collection.id, named)
    return {source for source, recorded in found if recorded > number}


def _apply(
    ledger: Ledger,
    collection: Collection,
    number: int,
    rows: Sequence[Row],
    kept: dict[str, _Kept],
) -> None:
    if not rows:
        return
    ledger.db.executemany(
        "INSERT INTO chunks"
        " (collection, id, number, computed, source, text_hash, metadata, text, vector)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (collection, id) DO UPDATE SET number = excluded.number,"
        " computed = excluded.computed, source = excluded.source,"
        " text_hash = excluded.text_hash, metadata = excluded.metadata, text = excluded.text,"
        " vector = excluded.vector",
        [
            (
                collection.id,
                row.id,
                number,
                int(row.computed),
                row.source,
                row.text_hash,
                row.metadata,
                row.text,
                row.vector,
            )
            for row in rows
        ],
    )
    ledger.log_changes(collection.id, [row.id for row in rows], "upsert")
    # It is another row now, which the index may well take.
    ledger.db.executemany(
        "DELETE FROM unindexed WHERE collection = ? AND id = ?",
        [(collection.id, row.id) for row in rows],
    )
    ledger.db.executemany(
        "DELETE FROM tombstones WHERE collection = ? AND id = ?",
        [(collection.id, row.id) for row in rows if row.id in kept and kept[row.id].row is None],
    )
    overwritten = set()
    for row in rows:
        old = kept[row.id].row if row.id in kept else None
        if old is not None and (old.source, old.text) != (row.source, row.text):
            overwritten.add(old.source)
    _outdate(ledger, collection, overwritten)


def _renumber(ledger: Ledger, collection: Collection, number: int, ids: Sequence[str]) -> None:
    """An unchanged row takes the number all the same: an earlier write that is still on its way
    must not undo this one."""
    ledger.db.executemany(
        "UPDATE chunks SET number = ? WHERE collection = ? AND id = ?",
        [(number, collection.id, id) for id in ids],
    )


def _outdate(ledger: Ledger, collection: Collection, sources: Iterable[str | None]) -> None:
    """Chunks of these documents were deleted or overwritten, so they are no longer as recorded, and
    must be ingested again even if their files have not changed."""
    ledger.db.executemany(
        "UPDATE documents SET content_hash = NULL WHERE collection = ? AND source = ?",
        [(collection.id, source) for source in sources if source is not None],
    )
