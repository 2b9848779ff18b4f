"""The calls that make a collection's next generation: begin, what is lacking, finish, give up.

In between the client adds what is lacking to the generation by its name, as to any collection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from store_worker import ledger_collections, ledger_generations, ledger_queries
from store_worker.calls import Body, Buffers, number_of, text_of, whole
from store_worker.ledger import Ledger
from store_worker.ledger_collections import Collection
from store_worker.store import Store
from thoth_core.errors import Conflict, InternalError, InvalidInput, Overloaded, ProtocolError

Answer = tuple[dict[str, Any], Buffers]

#: Bounds of one page; one text over the bytes is a page of its own.
PAGE_ROWS = 500
PAGE_BYTES = 4 * 1024 * 1024
#: Ids that the last transaction compares; more of them are compared by slices before it.
LAST_ROWS = 2000
#: Seconds after which a write that was kept out may be sent again.
RETRY_SECONDS = 0.2
#: Ids named in an error.
_NAMED = 20


def begin_reembed(store: Store, body: Body, buffers: Buffers) -> dict[str, Any]:
    """Begin the next generation of a collection, or go on with the one that was begun for the same
    model. No generation, if the collection is of that model already."""
    model, ledger = body.get("model"), store.ledger
    if not isinstance(model, Mapping):
        raise ProtocolError("a generation without its model")
    name = text_of(body, "collection")
    collection = ledger_collections.require(ledger, name)
    if collection.replaces is not None:
        raise InvalidInput(f"{name!r} is itself a generation that is being made", collection=name)
    chunks = ledger_queries.count(ledger, collection.id)
    identity, _ = ledger_collections.canonical(model)
    if collection.model == identity:
        return {"generation": None, "chunks": chunks, "stored": chunks}
    lacking, ids = ledger_generations.without_text(ledger, collection.id, _NAMED)
    if lacking:
        raise InvalidInput(
            f"{lacking:,} of {chunks:,} chunks of {name!r} have no text, and cannot be embedded",
            cause=f"they were stored as vectors alone: {', '.join(ids)}"
            + (", …" if lacking > len(ids) else ""),
            fix=f"delete them (thoth delete --collection {name} --id ID), or store their texts",
            collection=name,
            without_text=lacking,
            ids=ids,
        )
    made = ledger_generations.begin(ledger, collection, model, number_of(body))
    stored = ledger_queries.count(ledger, made.id)
    return {"generation": made.name, "chunks": chunks, "stored": stored}


def reembed_page(store: Store, body: Body, buffers: Buffers) -> Answer:
    """Chunks that the generation lacks: of the rows after ``after``, with ``end`` when these were
    the last; or, without ``after``, of all that was found lacking before or changed since. Then
    ``whole`` says whether every row was compared; if not, the pages are to be read from 0 again."""
    ledger = store.ledger
    collection, generation = _pair(ledger, text_of(body, "collection"))
    known = store.passes.of(ledger, collection, generation)
    after = whole(body, "after")
    result: dict[str, Any] = {}
    if after is None:
        lacking = known.left(PAGE_ROWS)
    else:
        found = known.go_on(after, PAGE_ROWS)
        lacking = found.lacking
        result = {"after": found.after, "end": found.end}
    chunks = ledger_queries.chunks_of(ledger, collection.id, lacking, vectors=False)
    page: list[ledger_queries.Chunk] = []
    size = 0
    for id in lacking:
        chunk = chunks[id]
        size += len(chunk.text or "") + len(chunk.metadata or "")
        if page and size > PAGE_BYTES:
            # The others are given out with what is left.
            break
        page.append(chunk)
    result["whole"] = known.ended
    result["ids"] = [chunk.id for chunk in page]
    result["texts"] = [chunk.text for chunk in page]
    result["metadatas"] = [chunk.metadata_dict() or None for chunk in page]
    return result, ()


def finish_reembed(store: Store, body: Body, buffers: Buffers) -> dict[str, Any]:
    """Give the generation the collection's place if it has every chunk of it. If not, nothing is
    changed, and with ``hold`` writes to the collection are kept out for a while."""
    ledger, number = store.ledger, number_of(body)
    collection, generation = _pair(ledger, text_of(body, "collection"))
    if body.get("hold") is True:
        store.passes.hold(collection.id)
    begun = store.passes.get(generation.id)
    if begun is None:
        return {"finished": False, "missing": []}
    # What this transaction sees may come to nothing.
    known = begun.copy()
    known.follow()
    if not known.ended or len(known.doubtful) > LAST_ROWS:
        return {"finished": False, "missing": []}
    missing = known.left(LAST_ROWS)
    if missing:
        return {"finished": False, "missing": missing[:PAGE_ROWS]}
    removed = ledger_generations.remove(ledger, generation, sorted(known.gone))
    strays = ledger_generations.strays(ledger, collection.id, generation.id)
    removed += ledger_generations.remove(ledger, generation, strays)
    chunks = ledger_queries.count(ledger, collection.id)
    if ledger_queries.count(ledger, generation.id) != chunks:
        raise InternalError(
            f"the next generation of {collection.name!r} has not the chunks that it should have",
            fix=f"thoth collections reembed {collection.name} --abort",
        )
    ledger_generations.switch(ledger, collection, generation, number)
    return {"finished": True, "missing": [], "chunks": chunks, "removed": removed}


def abort_reembed(store: Store, body: Body, buffers: Buffers) -> dict[str, Any]:
    """Give up the generation of a collection that is not finished; whether there was one."""
    collection = ledger_collections.require(store.ledger, text_of(body, "collection"))
    generation = ledger_generations.unfinished(store.ledger, collection.id)
    if generation is None:
        return {"aborted": False}
    ledger_generations.abort(store.ledger, generation, number_of(body))
    return {"aborted": True}


def check_open(store: Store, kind: str, body: Body) -> None:
    """:class:`Overloaded` for a write to a collection that is kept still for its generation."""
    if not store.passes.holding or kind in GENERATIONS or "collection" not in body:
        return
    found, _ = ledger_collections.current(
        store.ledger, text_of(body, "collection"), number_of(body)
    )
    if found is not None and store.passes.held(found.id):
        raise Overloaded(
            f"the collection {found.name!r} is about to be replaced by its next generation",
            retry_after=RETRY_SECONDS,
        )


GENERATIONS: Mapping[str, Callable[[Store, Body, Buffers], dict[str, Any]]] = {
    "begin_reembed": begin_reembed,
    "finish_reembed": finish_reembed,
    "abort_reembed": abort_reembed,
}


def _pair(ledger: Ledger, name: str) -> tuple[Collection, Collection]:
    collection = ledger_collections.require(ledger, name)
    generation = ledger_generations.unfinished(ledger, collection.id)
    if generation is None:
        raise Conflict(
            f"no next generation of {name!r} is being made",
            cause="it was finished or given up meanwhile",
            fix="thoth collections",
            collection=name,
        )
    return collection, generation
