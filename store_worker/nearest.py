"""The nearest chunks of a collection: by the index while it is up to date, else by an exact scan.

Both only propose ids. The order and the scores are those of the ledger's own vectors, so a search
is answered alike whichever of the two was asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from store_worker import ledger_queries
from store_worker.ledger_collections import Collection
from store_worker.ledger_sources import Narrow, rows_within
from store_worker.nearness import Rows, exact_scores
from store_worker.store import Store
from store_worker.where_match import compile_where, matching_rows
from thoth_core.vectors import Vectors

#: Hits asked of the index beyond those wanted, because it is approximate.
OVERFETCH = 8
#: More hits than this are not asked for without counting first how many there can be.
MANY = 1000
#: Chunks of the documents that count, up to which each is compared: that is as fast as the index.
FEW = 10_000
#: Hits asked of the index at most, to find enough that are of those documents.
MOST = 4096
#: Queries that are asked of it at once then.
TOGETHER = 16
#: Chunks that are read from the ledger one by one rather than brought into a file first.
PICKED = 50_000

Filter = Mapping[str, Any] | None
Ranked = list[tuple[str, float]]


def nearest(
    store: Store,
    collection: Collection,
    queries: Vectors,
    k: int,
    where: Filter,
    where_document: Filter,
    narrow: Narrow | None = None,
) -> list[Ranked]:
    """For each of ``queries`` (m, dimension) up to ``k`` ids with their scores, best first, equal
    ones by id; of the documents that ``narrow`` leaves."""
    if narrow is not None:
        rows = rows_within(store.ledger, collection.id, narrow)
        return _within(store, collection, queries, k, where, where_document, rows)
    if k > MANY:
        k = min(k, ledger_queries.count(store.ledger, collection.id))
    if k < 1:
        return [[] for _ in queries]
    found = _by_index(store, collection, queries, k, where, where_document)
    if found is None:
        found = _by_scan(store, collection, queries, k, where, where_document)
    return found


def _within(
    store: Store,
    collection: Collection,
    queries: Vectors,
    k: int,
    where: Filter,
    where_document: Filter,
    rows: Rows,
) -> list[Ranked]:
    """The nearest among ``rows``. The index knows nothing of them: it is asked for so many hits
    that enough of them are. Where that were too many, or the rows are few, all are compared."""
    k = min(k, len(rows))
    if k < 1:
        return [[] for _ in queries]
    results: list[Ranked] = []
    share = len(rows) / max(1, ledger_queries.count(store.ledger, collection.id))
    n = int((k + OVERFETCH) / share)
    for start in range(0, len(queries), TOGETHER):
        some, found = queries[start : start + TOGETHER], None
        if len(rows) > FEW and n <= MOST:
            found = _by_index(store, collection, some, k, where, where_document, rows, n)
        if found is None:
            found = _by_scan(store, collection, some, k, where, where_document, rows)
        results += found
    return results


def matching(
    store: Store, collection: Collection, ids: list[str] | None, where: Filter, document: Filter
) -> list[str]:
    """Ids of the chunks (out of ``ids``, if given) that the filters let through, in no order."""
    reply = store.keeper.ask_index(
        "matching", collection=collection.id, ids=ids, where=where, where_document=document
    )
    if reply is None:
        return matching_now(store, collection, ids, where, document)
    # Of these the index may still have an older version.
    left_out = store.keeper.lacks(collection.id)
    extra = _let_through(store, collection, left_out, where, document)
    wanted = None if ids is None else set(ids)
    extra = [id for id in extra if wanted is None or id in wanted]
    if where is None and document is None:
        extra = list(ledger_queries.chunks_of(store.ledger, collection.id, extra, vectors=False))
    return [id for id in reply.body["ids"] if id not in left_out] + extra


def matching_now(
    store: Store, collection: Collection, ids: list[str] | None, where: Filter, document: Filter
) -> list[str]:
    """The same from the ledger alone, with what the open transaction has written so far."""
    _, found = matching_rows(store.ledger, collection.id, where, document)
    if ids is None:
        return list(found)
    wanted = set(ids)
    return [id for id in found if id in wanted]


def _by_index(
    store: Store,
    collection: Collection,
    queries: Vectors,
    k: int,
    where: Filter,
    where_document: Filter,
    among: Rows | None = None,
    first: int = 0,
) -> list[Ranked] | None:
    """Of ``among``, if given, beginning with ``first`` hits. None if the index cannot tell."""
    if not store.keeper.can_ask(collection.id):
        return None
    left_out = store.keeper.lacks(collection.id)
    extra = _let_through(store, collection, left_out, where, where_document)
    results: list[Ranked] = [[] for _ in queries]
    pending, n = list(range(len(queries))), max(first, k + OVERFETCH)
    while pending:
        asked = np.ascontiguousarray(queries[pending], "<f4")
        reply = store.keeper.ask_index(
            "search",
            asked.tobytes(),
            collection=collection.id,
            shape=list(asked.shape),
            n=n,
            where=where,
            where_document=where_document,
        )
        if reply is None:
            return None
        found: list[list[str]] = reply.body["ids"]
        ids = dict.fromkeys(id for each in found for id in each)
        asked_for = [*ids, *extra]
        if among is not None:
            rows = ledger_queries.rows_of(store.ledger, collection.id, asked_for)
            there = np.isin([*rows.values()], among).tolist()
            asked_for = [id for id, counts in zip(rows, there, strict=True) if counts]
        vectors = ledger_queries.vectors_of(store.ledger, collection.id, asked_for)
        short = []
        for query, each in zip(pending, found, strict=True):
            taken = [id for id in each if id not in left_out and id in vectors]
            live = [*taken, *(id for id in extra if id in vectors)]
            if len(taken) < k and len(each) >= n:
                # It still has rows that the ledger has no more, or others now: what is next to
                # them may be nearer than all that it lacks.
                short.append(query)
            else:
                results[query] = ranked(collection.space, queries[query], live, vectors)[:k]
        pending, n = short, n * 2
        if pending and among is not None and n > MOST:
            return None
    return results


def _by_scan(
    store: Store,
    collection: Collection,
    queries: Vectors,
    k: int,
    where: Filter,
    where_document: Filter,
    among: Rows | None = None,
) -> list[Ranked]:
    allowed, scans = among, store.keeper.scans
    if where is not None or where_document is not None:
        allowed, _ = matching_rows(store.ledger, collection.id, where, where_document, among)
    results = []
    if among is not None and allowed is not None and len(allowed) <= PICKED:
        found = scans.among(collection, queries, k, allowed)
    else:
        found = scans.nearest(collection, queries, k, allowed)
    for query, rows in zip(queries, found, strict=True):
        vectors = ledger_queries.vectors_at(store.ledger, rows)
        results.append(ranked(collection.space, query, list(vectors), vectors)[:k])
    return results


def ranked(space: str, query: Vectors, ids: Sequence[str], vectors: Mapping[str, bytes]) -> Ranked:
    """``ids`` with their scores for ``query``, best first, equal ones by id."""
    if not ids:
        return []
    rows = np.frombuffer(b"".join(vectors[id] for id in ids), "<f4").reshape(len(ids), -1)
    scores = exact_scores(space, query, rows)
    return sorted(zip(ids, scores.tolist(), strict=True), key=lambda pair: (-pair[1], pair[0]))


def _let_through(
    store: Store,
    collection: Collection,
    left_out: set[str],
    where: Filter,
    where_document: Filter,
) -> list[str]:
    """Those of ``left_out`` that the filters let through; without any, all of them, of which some
    may be gone."""
    ids = sorted(left_out)
    if not ids or (where is None and where_document is None):
        return ids
    lets_through = compile_where(where, where_document)
    chunks = ledger_queries.chunks_of(store.ledger, collection.id, ids, vectors=False)
    return [
        id
        for id in ids
        if id in chunks
        and lets_through(
            chunks[id].metadata_dict() if chunks[id].metadata else None, chunks[id].text
        )
    ]
