"""The calls that read: one function a kind, ``(store, body, buffers) -> (body, buffers)``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from store_worker import (
    ledger_collections,
    ledger_documents,
    ledger_generations,
    ledger_queries,
    ledger_sizes,
)
from store_worker.calls import (
    Body,
    Buffers,
    array_of,
    filters_of,
    includes_vectors,
    narrow_of,
    strings,
    text_of,
    whole,
)
from store_worker.calls_look_up import look_up
from store_worker.calls_reembed import reembed_page
from store_worker.calls_snapshot import SNAPSHOT_READS
from store_worker.calls_sources import show, sources
from store_worker.index_files import size
from store_worker.ledger_collections import Collection
from store_worker.ledger_queries import Chunk
from store_worker.nearest import matching, nearest
from store_worker.store import Store
from thoth_core.validation import check_k
from thoth_core.vector_checks import check_vectors
from thoth_core.vectors import to_buffer
from thoth_core.wire import MAX_TEXTS

Answer = tuple[dict[str, Any], Buffers]


def search(store: Store, body: Body, buffers: Buffers) -> Answer:
    """The nearest live chunks of each vector, best first, ties by id. ``score`` is the cosine
    similarity, computed from the ledger's own vectors (in a collection whose space is ip the inner
    product, in one whose space is l2 minus the squared distance)."""
    k = body.get("k")
    check_k(k)
    filters, narrow = filters_of(body), narrow_of(body)
    queries = array_of(buffers)
    collection = ledger_collections.require(store.ledger, text_of(body, "collection"))
    model = body.get("model")
    queries = check_vectors(queries)
    dimension = int(queries.shape[1])
    ledger_collections.fits(collection, model, dimension)
    found: list[list[tuple[str, float]]] = [[] for _ in queries]
    if collection.dimension is not None:
        found = nearest(store, collection, queries, int(k or 1), *filters, narrow)
    ids = list(dict.fromkeys(id for hits in found for id, _ in hits))
    with_vectors = includes_vectors(body)
    chunks = ledger_queries.chunks_of(store.ledger, collection.id, ids, vectors=with_vectors)
    result: dict[str, Any] = {"hits": [[_hit(chunks[id], s) for id, s in hits] for hits in found]}
    if "indices" in body:
        result["indices"] = body["indices"]
    if not with_vectors:
        return result, ()
    return result, _packed([chunks[id] for hits in found for id, _ in hits], dimension)


def get(store: Store, body: Body, buffers: Buffers) -> Answer:
    """Chunks by id, in the order asked; or by filter, in the order first written."""
    ids = strings(body, "ids")
    where, where_document = filters_of(body)
    limit, offset = whole(body, "limit"), whole(body, "offset", 0) or 0
    vectors = includes_vectors(body)
    collection = ledger_collections.require(store.ledger, text_of(body, "collection"))
    if ids is None and where is None and where_document is None:
        found = ledger_queries.page(store.ledger, collection.id, limit, offset, vectors=vectors)
    else:
        if ids is not None:
            wanted = list(dict.fromkeys(ids))
        if where is not None or where_document is not None:
            matched = matching(store, collection, ids, where, where_document)
            let_through = set(matched)
            wanted = (
                ledger_queries.ordered(store.ledger, collection.id, matched)
                if ids is None
                else [id for id in wanted if id in let_through]
            )
        chunks = ledger_queries.chunks_of(store.ledger, collection.id, wanted, vectors=vectors)
        live = [chunks[id] for id in wanted if id in chunks]
        found = live[offset:] if limit is None else live[offset : offset + limit]
    result = {
        "ids": [chunk.id for chunk in found],
        "texts": [chunk.text for chunk in found],
        "metadatas": [chunk.metadata_dict() for chunk in found],
    }
    return result, _packed(found, collection.dimension or 0) if vectors else ()


def count(store: Store, body: Body, buffers: Buffers) -> Answer:
    collection = ledger_collections.require(store.ledger, text_of(body, "collection"))
    return {"count": ledger_queries.count(store.ledger, collection.id)}, ()


def collections(store: Store, body: Body, buffers: Buffers) -> Answer:
    return {
        "collections": [
            {
                "name": each.name,
                "model": each.identity(),
                "dimension": each.dimension,
                "count": ledger_queries.count(store.ledger, each.id),
            }
            for each in ledger_collections.listed(store.ledger)
        ]
    }, ()


def stats(store: Store, body: Body, buffers: Buffers) -> Answer:
    """What each collection holds, and the whole store: counts and bytes. What is free in the
    ledger's file, ``compact`` gives back."""
    if body.get("collection") is not None:
        chosen = [ledger_collections.require(store.ledger, text_of(body, "collection"))]
    else:
        chosen = ledger_collections.listed(store.ledger)
    held = ledger_sizes.held(store.ledger)
    sizes = {"ledger": store.ledger.bytes(), "index": size(store.data_dir / "chroma")}
    return {
        "collections": [_stats_of(store, each) for each in chosen],
        "chunks": held.chunks,
        "vectors": held.chunks + held.staged_vectors,
        "staged": held.staged,
        "unindexed": held.unindexed,
        "ledger_free_bytes": ledger_sizes.free_bytes(store.ledger),
        **{f"{name}_bytes": taken for name, taken in sizes.items()},
        **{
            f"{name}_bytes_per_chunk": round(taken / held.chunks) if held.chunks else None
            for name, taken in sizes.items()
        },
    }, ()


def documents(store: Store, body: Body, buffers: Buffers) -> Answer:
    collection = ledger_collections.find(store.ledger, text_of(body, "collection"))
    if collection is None:
        # Whoever asks is about to fill it: the first document makes the collection.
        return {"documents": {}, "below": [], "next": None}, ()
    paths = strings(body, "below")
    if paths is not None:
        page = ledger_documents.below(
            store.ledger,
            collection.id,
            paths,
            whole(body, "at", 0) or 0,
            str(body.get("after") or ""),
            min(whole(body, "limit") or MAX_TEXTS, MAX_TEXTS),
        )
        return {"below": [list(each) for each in page.documents], "next": page.next}, ()
    found = ledger_queries.documents(store.ledger, collection.id, strings(body, "sources"))
    return {"documents": dict(found)}, ()


READS: Mapping[str, Callable[[Store, Body, Buffers], Answer]] = {
    "search": search,
    "get": get,
    "count": count,
    "collections": collections,
    "stats": stats,
    "documents": documents,
    "look_up": look_up,
    "sources": sources,
    "show": show,
    "reembed_page": reembed_page,
    **SNAPSHOT_READS,
}


def _stats_of(store: Store, collection: Collection) -> dict[str, Any]:
    staged, unindexed = ledger_sizes.of_collection(store.ledger, collection.id)
    being_made = ledger_generations.unfinished(store.ledger, collection.id)
    return {
        "name": collection.name,
        "model": collection.identity(),
        "dimension": collection.dimension,
        "chunks": ledger_queries.count(store.ledger, collection.id),
        "documents": ledger_queries.document_count(store.ledger, collection.id),
        "staged": staged,
        "unindexed": unindexed,
        "reembed": being_made
        and {
            "model": being_made.identity(),
            "chunks": ledger_queries.count(store.ledger, being_made.id),
        },
    }


def _hit(chunk: Chunk, score: float) -> dict[str, Any]:
    return {
        "id": chunk.id,
        "score": score,
        "text": chunk.text,
        "metadata": chunk.metadata_dict(),
    }


def _packed(chunks: Sequence[Chunk], dimension: int) -> Buffers:
    joined = np.frombuffer(b"".join(chunk.vector for chunk in chunks), "<f4")
    return (to_buffer(joined.reshape(len(chunks), dimension)),)
