"""Documents on their way: what a run has stored of them and not yet committed.

A run is known by its stage, the write number of its begin. Its rows lie in ``staged``, where no
search, read or count sees them, until :func:`commit` makes a document of them in one transaction.
So whoever looks has a document wholly as it was or wholly as it is now, wherever the run ends, and
of two runs over one source the one that began later has the last word.

Nothing here opens a transaction: all of it runs inside one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from store_worker import ledger_chunks
from store_worker.ledger import Ledger
from store_worker.ledger_chunks import Had, Row, Wanted, Written
from store_worker.ledger_collections import Collection
from store_worker.ledger_errors import translated
from store_worker.ledger_queries import select_bound

#: Seconds after which a stage that nothing was written to is given up.
STAGE_SECONDS = 3600.0


@dataclass(slots=True)
class Committed:
    """``removed`` old chunks were deleted. ``superseded``: a run that began later has written the
    source. ``missing``: ids that are not there any more; nothing was changed."""

    removed: int = 0
    superseded: bool = False
    missing: list[str] = field(default_factory=list)


def begin(ledger: Ledger, number: int, now: float) -> None:
    """Open the stage ``number``. ``now`` is wall time in seconds."""
    prune(ledger, now)
    _touch(ledger, number, now)


def prune(ledger: Ledger, now: float) -> None:
    """Give up the stages that nothing was written to for an hour, with their rows."""
    # Those of a clock that was wrong would otherwise stay.
    ledger.db.execute(
        "DELETE FROM stages WHERE at <= ? OR at > ?", (now - STAGE_SECONDS, now + STAGE_SECONDS)
    )


def reopen(ledger: Ledger, stage: int, now: float) -> None:
    """The stage goes on, also one that was given up: its number still says when the run began."""
    _touch(ledger, stage, now)


def is_open(ledger: Ledger, stage: int) -> bool:
    with translated(ledger.path):
        found = ledger.db.execute("SELECT 1 FROM stages WHERE number = ?", (stage,)).fetchone()
    return found is not None


def have(
    ledger: Ledger,
    collection: Collection,
    number: int,
    stage: int,
    wanted: Sequence[Wanted],
    now: float,
) -> Had:
    """As :func:`ledger_chunks.have`, for the stage. A live chunk that is as wanted is left where it
    is: what stands for it costs no vector. A stage that was given up is opened again: its number
    still says when the run began. Each of ``wanted`` has a source."""
    _touch(ledger, stage, now)
    live = ledger_chunks.live(ledger, collection, [each.id for each in wanted])
    decided = _decided(ledger, collection, number, stage, {each.source for each in wanted})
    result = Had()
    rows: list[Row] = []
    found: dict[str, tuple[bytes, str | None] | None] = {}
    for position, each in enumerate(wanted):
        if each.source in decided:
            result.superseded.append(position)
            continue
        if _is_staged(ledger, collection, stage, each):
            result.unchanged.append(position)
            continue
        if _alike(live.get(each.id), each):
            result.unchanged.append(position)
            rows.append(_stand_in(each))
            continue
        if each.text_hash not in found:
            found[each.text_hash] = ledger_chunks.computed(ledger, collection, each.text_hash)
        known = found[each.text_hash]
        if known is None:
            result.missing.append(position)
            continue
        result.reused.append(position)
        rows.append(_completed(each, known))
    _put(ledger, collection, number, stage, rows)
    return result


def stage_rows(
    ledger: Ledger,
    collection: Collection,
    number: int,
    stage: int,
    rows: Sequence[Row],
    now: float,
) -> Written:
    """Put computed rows, each with a source, into an open stage. One whose document was committed
    since is superseded, and so late."""
    _touch(ledger, stage, now)
    decided = _decided(ledger, collection, number, stage, {row.source for row in rows})
    result = Written()
    result.superseded = [i for i, row in enumerate(rows) if row.source in decided]
    apply = [row for row in rows if row.source not in decided]
    result.written = len(apply)
    _put(ledger, collection, number, stage, apply)
    return result


def commit(
    ledger: Ledger,
    collection: Collection,
    number: int,
    stage: int,
    source: str,
    content_hash: str | None,
    ids: Sequence[str],
    now: float | None = None,
) -> Committed:
    """Make ``source`` consist of exactly ``ids`` out of the stage, and forget what it staged of the
    source. The hash is recorded as by :func:`ledger_chunks.replace_document`."""
    recorded = ledger.db.execute(
        "SELECT number, begun, content_hash FROM documents WHERE collection = ? AND source = ?",
        (collection.id, source),
    ).fetchone()
    if recorded is not None and (recorded[0] > number or recorded[1] > stage):
        _forget(ledger, collection, stage, source)
        return Committed(superseded=True)
    staged = _staged(ledger, collection, stage, source)
    missing = [id for id in ids if id not in staged]
    if missing:
        if recorded is not None and recorded[1:] == (stage, content_hash):
            # The same commit once more, after its outcome was forgotten.
            return Committed()
        return Committed(missing=missing)
    rows, missing = _whole(ledger, collection, source, [staged[id] for id in ids])
    if missing:
        return Committed(missing=missing)
    _fill_in(ledger, collection, stage, source)
    ledger_chunks.upsert(ledger, collection, number, rows)
    removed = ledger_chunks.replace_document(
        ledger, collection, number, source, content_hash, ids, begun=stage, now=now
    )
    _forget(ledger, collection, stage, source)
    return Committed(removed)


# -- within ---------------------------------------------------------------------------------------


def _touch(ledger: Ledger, stage: int, now: float) -> None:
    ledger.db.execute(
        "INSERT INTO stages VALUES (?, ?) ON CONFLICT (number) DO UPDATE SET at = excluded.at",
        (stage, now),
    )


def _decided(
    ledger: Ledger, collection: Collection, number: int, stage: int, sources: Iterable[str | None]
) -> set[str]:
    """Those of ``sources`` that the write ``number`` of the stage comes too late for: a run that
    began later has committed them, or this one has, after that write was accepted."""
    sql = "SELECT source, number, begun FROM documents WHERE collection = ? AND source IN ({keys})"
    named = [source for source in sources if source is not None]
    return {
        source
        for source, recorded, begun in select_bound(ledger, sql, collection.id, named)
        if begun > stage or (begun == stage and recorded > number)
    }


def _alike(row: Row | None, wanted: Wanted) -> bool:
    """Whether a live row is the chunk that is wanted, with a vector that the model computed."""
    return (
        row is not None
        and row.computed
        and row.text_hash == wanted.text_hash
        and row.metadata == wanted.metadata
    )


def _stand_in(wanted: Wanted) -> Row:
    # Not marked as computed: there is no vector in it that could be reused.
    return Row(
        wanted.id, None, wanted.metadata, wanted.source, wanted.text_hash, b"", computed=False
    )


def _completed(wanted: Wanted, known: tuple[bytes, str | None]) -> Row:
    vector, text = known
    return Row(
        wanted.id,
        text if wanted.text is None else wanted.text,
        wanted.metadata,
        wanted.source,
        wanted.text_hash,
        vector,
        computed=True,
    )


def _is_staged(ledger: Ledger, collection: Collection, stage: int, wanted: Wanted) -> bool:
    found = ledger.db.execute(
        "SELECT text_hash, metadata FROM staged"
        " WHERE stage = ? AND collection = ? AND source = ? AND id = ? AND computed = 1",
        (stage, collection.id, wanted.source, wanted.id),
    ).fetchone()
    return found is not None and tuple(found) == (wanted.text_hash, wanted.metadata)


def _put(
    ledger: Ledger, collection: Collection, number: int, stage: int, rows: Sequence[Row]
) -> None:
    ledger.db.executemany(
        "INSERT INTO staged (stage, collection, source, id, number, computed, text_hash, metadata,"
        " text, vector) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (stage, collection, source, id) DO UPDATE SET number = excluded.number,"
        " computed = excluded.computed, text_hash = excluded.text_hash,"
        " metadata = excluded.metadata, text = excluded.text, vector = excluded.vector"
        " WHERE excluded.number >= staged.number",
        [
            (
                stage,
                collection.id,
                row.source,
                row.id,
                number,
                int(row.computed),
                row.text_hash,
                row.metadata,
                row.text,
                row.vector,
            )
            for row in rows
        ],
    )


def _staged(ledger: Ledger, collection: Collection, stage: int, source: str) -> dict[str, Row]:
    found = ledger.db.execute(
        "SELECT id, text, metadata, source, text_hash, vector, computed FROM staged"
        " WHERE stage = ? AND collection = ? AND source = ?",
        (stage, collection.id, source),
    )
    return {
        id: Row(id, text, metadata, source, text_hash, vector, bool(computed))
        for id, text, metadata, source, text_hash, vector, computed in found
    }


def _whole(
    ledger: Ledger, collection: Collection, source: str, staged: Sequence[Row]
) -> tuple[list[Row], list[str]]:
    """``staged`` with the vectors that stand-ins lack, and the ids whose vector is nowhere. Another
    run may have changed or deleted what a stand-in stood for."""
    standing = [row for row in staged if not row.computed]
    live = ledger_chunks.live(ledger, collection, [row.id for row in standing])
    rows: list[Row] = []
    lost: list[str] = []
    for row in staged:
        if row.computed:
            rows.append(row)
            continue
        wanted = Wanted(row.id, None, row.metadata, source, row.text_hash or "")
        there = live.get(row.id)
        if there is not None and _alike(there, wanted):
            rows.append(there)
            continue
        known = ledger_chunks.computed(ledger, collection, wanted.text_hash)
        if known is None:
            lost.append(row.id)
        else:
            rows.append(_completed(wanted, known))
    return rows, lost


def _fill_in(ledger: Ledger, collection: Collection, stage: int, source: str) -> None:
    """Give the stand-ins of other runs over the source what they stand for, which may go now."""
    ledger.db.execute(
        "UPDATE staged SET computed = 1, text = live.text, vector = live.vector"
        " FROM chunks AS live"
        " WHERE staged.stage IN (SELECT number FROM stages WHERE number <> ?1)"
        " AND staged.collection = ?2 AND staged.source = ?3 AND staged.computed = 0"
        " AND live.collection = ?2 AND live.id = staged.id"
        " AND live.computed = 1 AND live.text_hash = staged.text_hash",
        (stage, collection.id, source),
    )


def _forget(ledger: Ledger, collection: Collection, stage: int, source: str) -> None:
    ledger.db.execute(
        "DELETE FROM staged WHERE stage = ? AND collection = ? AND source = ?",
        (stage, collection.id, source),
    )
