"""The calls of somebody who looks around: which sources there are, and one chunk in its place."""

from __future__ import annotations

from typing import Any

from store_worker import ledger_collections
from store_worker.calls import Body, Buffers, narrow_of, text_of, whole
from store_worker.ledger_queries import Chunk, chunks_of
from store_worker.ledger_sources import Narrow, beside, ids_like, sources_after, stored_at
from store_worker.store import Store
from thoth_core.errors import InvalidInput

#: Sources in one answer, and sources that are looked at for it.
PAGE, LOOKED = 1000, 20_000
#: Ids told of a beginning that several have.
LIKE = 10
#: Chunks told before and after one.
CONTEXT = 100


def sources(store: Store, body: Body, buffers: Buffers) -> tuple[dict[str, Any], Buffers]:
    """A page of the sources of a collection, in order. A page may be empty and not the last."""
    narrow = narrow_of(body) or Narrow(None, None)
    after = text_of(body, "after") if body.get("after") else ""
    limit = min(whole(body, "limit", PAGE) or 1, PAGE)
    collection = ledger_collections.require(store.ledger, text_of(body, "collection"))
    found, following = sources_after(store.ledger, collection.id, narrow, after, limit, LOOKED)
    return {
        "sources": [[s.source, s.chunks, s.stored, s.complete] for s in found],
        "after": following,
    }, ()


def show(store: Store, body: Body, buffers: Buffers) -> tuple[dict[str, Any], Buffers]:
    """The chunk with this id, or the only one whose id begins so, and its neighbours in its
    document; else ``ids`` are some that begin so."""
    wanted, context = text_of(body, "id"), whole(body, "context", 0) or 0
    if context > CONTEXT:
        raise InvalidInput(f"context is {context}", cause=f"it is {CONTEXT} at most")
    collection = ledger_collections.require(store.ledger, text_of(body, "collection"))
    found = chunks_of(store.ledger, collection.id, [wanted], vectors=False)
    if not found:
        ids = ids_like(store.ledger, collection.id, wanted, LIKE + 1)
        if len(ids) != 1:
            return {"ids": ids[:LIKE], "more": len(ids) > LIKE}, ()
        found = chunks_of(store.ledger, collection.id, ids, vectors=False)
    (chunk,) = found.values()
    metadata = chunk.metadata_dict()
    before: list[Chunk] = []
    behind: list[Chunk] = []
    source, ordinal = metadata.get("source"), metadata.get("ordinal")
    if context and isinstance(source, str) and isinstance(ordinal, int):
        before, behind = beside(store.ledger, collection.id, source, ordinal, context)
    stored = stored_at(store.ledger, collection.id, source) if isinstance(source, str) else None
    return {
        "chunk": _told(chunk),
        "stored": stored,
        "before": [_told(each) for each in before],
        "after": [_told(each) for each in behind],
    }, ()


def _told(chunk: Chunk) -> dict[str, Any]:
    return {"id": chunk.id, "text": chunk.text, "metadata": chunk.metadata_dict()}
