"""The sources of a collection's chunks, and the chunks of sources: what ``source`` and ``since``
narrow a search to, and what ``thoth sources`` lists. Nothing here writes."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from store_worker.ledger import Ledger
from store_worker.ledger_errors import translated
from store_worker.ledger_queries import Chunk, select_bound
from store_worker.nearness import Rows
from thoth_core.source_globs import Globs

#: Sources that are looked up one by one rather than found among all.
_SINGLY = 2000


@dataclass(frozen=True, slots=True)
class Narrow:
    """Which documents count: those whose source ``globs`` match, and those that were stored at
    ``since`` (seconds since 1970) or later; None: whichever."""

    globs: Globs | None
    since: float | None


@dataclass(frozen=True, slots=True)
class Source:
    """``stored`` is in seconds since 1970, None where it is not known: of what was added without an
    ingest, for one. ``complete``: the document's chunks are all as they were recorded."""

    source: str
    chunks: int
    stored: float | None
    complete: bool


def rows_within(ledger: Ledger, collection: int, narrow: Narrow) -> Rows:
    """The rows of the chunks that count, in order."""
    globs = narrow.globs
    if narrow.since is None:
        assert globs is not None
        found = _rows_matching(ledger, collection, globs)
    else:
        since = _stored_since(ledger, collection, narrow.since)
        wanted = [source for source in since if globs is None or globs.match(source)]
        if len(wanted) <= _SINGLY:
            sql = "SELECT row FROM chunks WHERE collection = ? AND source IN ({keys})"
            found = array("q", (row for (row,) in select_bound(ledger, sql, collection, wanted)))
        else:
            found = _rows_among(ledger, collection, set(wanted))
    rows = np.frombuffer(found, np.int64) if found else np.empty(0, np.int64)
    return np.sort(rows)


def sources_after(
    ledger: Ledger, collection: int, narrow: Narrow, after: str, limit: int, looked: int
) -> tuple[list[Source], str | None]:
    """Up to ``limit`` sources in order, those after the source ``after``, out of the next
    ``looked`` there are; and after which to go on, None if there are no more."""
    globs = narrow.globs
    prefix = "" if globs is None else globs.prefix
    found: list[Source] = []
    for seen, each in enumerate(_listed(ledger, collection, after, prefix), 1):
        if (globs is None or globs.match(each.source)) and (
            narrow.since is None or (each.stored is not None and each.stored >= narrow.since)
        ):
            found.append(each)
        if len(found) >= limit or seen >= looked:
            return found, each.source
    return found, None


def _listed(ledger: Ledger, collection: int, after: str, prefix: str) -> Iterator[Source]:
    """The sources after ``after`` that begin with ``prefix``, of chunks and of documents, which may
    have none."""
    bound = (collection, after, prefix)
    with translated(ledger.path):
        chunks = ledger.db.execute(
            "SELECT source, count(*) FROM chunks WHERE collection = ?1 AND source IS NOT NULL"
            " AND source > ?2 AND source >= ?3 GROUP BY source ORDER BY source",
            bound,
        )
        documents = ledger.db.execute(
            "SELECT source, stored, content_hash IS NOT NULL FROM documents"
            " WHERE collection = ?1 AND source > ?2 AND source >= ?3 ORDER BY source",
            bound,
        )
        try:
            for each in _joined(chunks, documents):
                if not each.source.startswith(prefix):
                    return
                yield each
        finally:
            # Or they would keep the write-ahead log from being folded in.
            chunks.close()
            documents.close()


def _joined(chunks: Iterator[Any], documents: Iterator[Any]) -> Iterator[Source]:
    chunk, document = next(chunks, None), next(documents, None)
    while chunk is not None or document is not None:
        source = min(each[0] for each in (chunk, document) if each is not None)
        count, stored, complete = 0, None, False
        if document is not None and document[0] == source:
            stored, complete = document[1], bool(document[2])
            document = next(documents, None)
        if chunk is not None and chunk[0] == source:
            count = chunk[1]
            chunk = next(chunks, None)
        if count or complete:
            yield Source(source, count, stored, complete)


def _stored_since(ledger: Ledger, collection: int, since: float) -> list[str]:
    with translated(ledger.path):
        found = ledger.db.execute(
            "SELECT source FROM documents WHERE collection = ? AND stored >= ?", (collection, since)
        )
        return [source for (source,) in found]


# The rows of a source in one text, so that SQLite does the walking: a collection has many more
# chunks than sources.
_GROUPS = (
    "SELECT source, group_concat(row) FROM chunks WHERE collection = ? AND source IS NOT NULL"
    " AND source >= ? GROUP BY source ORDER BY source"
)


def _rows_matching(ledger: Ledger, collection: int, globs: Globs) -> array[int]:
    rows = array("q")
    with translated(ledger.path):
        groups = ledger.db.execute(_GROUPS, (collection, globs.prefix))
        for source, group in groups:
            if globs.match(source):
                rows.extend(map(int, group.split(",")))
            elif not source.startswith(globs.prefix):
                break
        # Or it would keep the write-ahead log from being folded in.
        groups.close()
    return rows


def _rows_among(ledger: Ledger, collection: int, wanted: set[str]) -> array[int]:
    rows = array("q")
    with translated(ledger.path):
        for source, group in ledger.db.execute(_GROUPS, (collection, "")):
            if source in wanted:
                rows.extend(map(int, group.split(",")))
    return rows


def stored_at(ledger: Ledger, collection: int, source: str) -> float | None:
    """When the document was stored, in seconds since 1970; None where that is not known."""
    with translated(ledger.path):
        found = ledger.db.execute(
            "SELECT stored FROM documents WHERE collection = ? AND source = ?", (collection, source)
        ).fetchone()
        return None if found is None else found[0]


def ids_like(ledger: Ledger, collection: int, beginning: str, limit: int) -> list[str]:
    """The first ids that begin so, in order."""
    with translated(ledger.path):
        found = ledger.db.execute(
            "SELECT id FROM chunks WHERE collection = ? AND id >= ? ORDER BY id LIMIT ?",
            (collection, beginning, limit),
        )
        return [id for (id,) in found if id.startswith(beginning)]


def beside(
    ledger: Ledger, collection: int, source: str, ordinal: int, count: int
) -> tuple[list[Chunk], list[Chunk]]:
    """Up to ``count`` chunks before and after the one at ``ordinal`` in its document, in order."""
    place = "json_extract(metadata, '$.ordinal')"
    sql = (
        f"SELECT row, id, text, metadata, x'' FROM chunks WHERE collection = ? AND source = ?"
        f" AND typeof({place}) = 'integer' AND {place} BETWEEN ? AND ? ORDER BY {place}, id LIMIT ?"
    )
    with translated(ledger.path):
        before, behind = (
            [Chunk(*row) for row in ledger.db.execute(sql, (collection, source, *ends, count))]
            for ends in ((ordinal - count, ordinal - 1), (ordinal + 1, ordinal + count))
        )
    return before, behind
