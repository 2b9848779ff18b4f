"""The read calls of an export: open a state of the ledger, read it page by page, let it go.

A page is bounded in rows and bytes, so that a search never waits long behind one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from store_worker import ledger_collections, ledger_queries
from store_worker.calls import Body, Buffers, strings, text_of, whole
from store_worker.ledger_collections import Collection
from store_worker.ledger_errors import translated
from store_worker.snapshots import Snapshot
from store_worker.store import Store
from thoth_core.vectors import to_buffer

Answer = tuple[dict[str, Any], Buffers]

#: Bounds of one page; one row over the bytes is a page of its own.
PAGE_ROWS = 500
PAGE_BYTES = 4 * 1024 * 1024

_CHUNKS = (
    "SELECT row, id, text, metadata, computed, vector FROM chunks"
    " WHERE collection = ? AND row > ? ORDER BY row LIMIT ?"
)
_DOCUMENTS = (
    "SELECT source, content_hash, chunks FROM documents"
    " WHERE collection = ? AND source > ? AND content_hash IS NOT NULL ORDER BY source LIMIT ?"
)


def snapshot_open(store: Store, body: Body, buffers: Buffers) -> Answer:
    """Keep the ledger as it is now under the name ``snapshot``; what is in it."""
    wanted = strings(body, "collections")
    name = text_of(body, "snapshot")
    ledger = store.snapshots.open(name, store.ledger.path).ledger
    try:
        if wanted is None:
            # A generation that is being made is no collection yet.
            chosen = [c for c in ledger_collections.listed(ledger) if c.replaces is None]
        else:
            chosen = [ledger_collections.require(ledger, each) for each in dict.fromkeys(wanted)]
    except BaseException:
        store.snapshots.close(name)
        raise
    return {
        "collections": [
            {
                "name": each.name,
                "model": each.identity(),
                "dimension": each.dimension,
                "space": each.space,
                "chunks": ledger_queries.count(ledger, each.id),
                "documents": ledger_queries.document_count(ledger, each.id),
            }
            for each in chosen
        ]
    }, ()


def snapshot_page(store: Store, body: Body, buffers: Buffers) -> Answer:
    """Chunks in the order in which they were first written, those after the row ``after``.
    ``metadatas`` are JSON texts."""
    snapshot = store.snapshots.get(text_of(body, "snapshot"))
    collection = _collection(snapshot, body)
    after = whole(body, "after", 0) or 0
    found = list(_bounded(snapshot, _CHUNKS, collection, after))
    joined = np.frombuffer(b"".join(row[5] for row in found), "<f4")
    vectors = joined.reshape(len(found), collection.dimension or 0)
    return {
        "ids": [row[1] for row in found],
        "texts": [row[2] for row in found],
        "metadatas": [row[3] for row in found],
        "computed": [bool(row[4]) for row in found],
        "after": found[-1][0] if found else after,
    }, (to_buffer(vectors),)


def snapshot_documents(store: Store, body: Body, buffers: Buffers) -> Answer:
    """Documents by source, those after the source ``after``: those whose chunks are as recorded."""
    snapshot = store.snapshots.get(text_of(body, "snapshot"))
    collection = _collection(snapshot, body)
    after = text_of(body, "after") if body.get("after") else ""
    found = list(_bounded(snapshot, _DOCUMENTS, collection, after))
    return {"documents": [list(row) for row in found]}, ()


def snapshot_close(store: Store, body: Body, buffers: Buffers) -> Answer:
    return {"closed": store.snapshots.close(text_of(body, "snapshot"))}, ()


SNAPSHOT_READS: Mapping[str, Callable[[Store, Body, Buffers], Answer]] = {
    "snapshot_open": snapshot_open,
    "snapshot_page": snapshot_page,
    "snapshot_documents": snapshot_documents,
    "snapshot_close": snapshot_close,
}


def _collection(snapshot: Snapshot, body: Body) -> Collection:
    return ledger_collections.require(snapshot.ledger, text_of(body, "collection"))


def _bounded(
    snapshot: Snapshot, sql: str, collection: Collection, after: int | str
) -> Iterator[tuple[Any, ...]]:
    size = 0
    with translated(snapshot.ledger.path):
        for row in snapshot.ledger.db.execute(sql, (collection.id, after, PAGE_ROWS)):
            bytes_of_row = sum(len(value) for value in row if isinstance(value, str | bytes))
            if size and size + bytes_of_row > PAGE_BYTES:
                return
            size += bytes_of_row
            yield row
