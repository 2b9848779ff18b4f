"""Documents by the place of their files: which there are below a folder, and one that takes the
place of another. Nothing here opens a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from store_worker import ledger_chunks
from store_worker.ledger import Ledger
from store_worker.ledger_collections import Collection
from store_worker.ledger_errors import translated

#: Also those that are not as recorded, as long as there are chunks of them.
_THERE = (
    "SELECT source, content_hash FROM documents AS d WHERE collection = ?"
    " AND (content_hash IS NOT NULL OR EXISTS (SELECT 1 FROM chunks AS c"
    " WHERE c.collection = d.collection AND c.source = d.source)) AND "
)


@dataclass(frozen=True, slots=True)
class Page:
    """``documents`` has (source, content_hash or None). ``next`` is where to go on: a position in
    the paths, and the source after which; None at the end."""

    documents: list[tuple[str, str | None]]
    next: tuple[int, str] | None


def below(
    ledger: Ledger, collection: int, paths: Sequence[str], at: int, after: str, limit: int
) -> Page:
    """Up to ``limit`` documents whose source is one of ``paths``, or lies below it, in the order of
    ``paths`` and sorted: from the path ``at`` on, there behind the source ``after``."""
    found: list[tuple[str, str | None]] = []
    with translated(ledger.path):
        while at < len(paths) and len(found) < limit:
            path, left = paths[at], limit - len(found)
            rows: list[tuple[str, str | None]] = []
            if not after:
                rows += ledger.db.execute(_THERE + "source = ?", (collection, path))
            # All that begin with the folder and a slash, which "0" follows.
            folder = path.rstrip("/")
            rows += ledger.db.execute(
                _THERE + "source > ? AND source > ? AND source < ? ORDER BY source LIMIT ?",
                (collection, folder + "/", after, folder + "0", left + 1),
            )
            found += rows[:left]
            if len(rows) > left:
                return Page(found, (at, found[-1][0]))
            at, after = at + 1, ""
    return Page(found, (at, "") if at < len(paths) else None)


def give_way(
    ledger: Ledger, collection: Collection, number: int, stage: int, source: str, content_hash: str
) -> bool:
    """Delete the document ``source``, whose file has another place now, as part of the write
    ``number`` of the run ``stage``. False, and nothing, if it is not the one with this hash (any
    more), or if a later write or run has decided about it."""
    recorded = ledger.db.execute(
        "SELECT number, begun, content_hash FROM documents WHERE collection = ? AND source = ?",
        (collection.id, source),
    ).fetchone()
    if recorded is None:
        return False
    last, begun, digest = recorded
    if last > number or begun > stage or digest != content_hash:
        return False
    ledger_chunks.replace_document(ledger, collection, number, source, None, [], begun=stage)
    return True
