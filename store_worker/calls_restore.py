"""The write calls of an import and of a rescue: rows as they were elsewhere, vectors and all.

A collection that is being brought in has a name of its own until it is whole; ``restore_finish``
then gives it the name that it is to have, in one transaction with all others of the same file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from store_worker import ledger_chunks, ledger_collections, ledger_queries
from store_worker.calls import (
    Body,
    Buffers,
    array_of,
    metadata_of,
    number_of,
    parallel,
    text_of,
    texts_of,
    whole,
)
from store_worker.ledger import Ledger
from store_worker.ledger_chunks import Row
from store_worker.ledger_collections import Collection
from store_worker.store import Store
from thoth_core.errors import Conflict, InvalidInput, ProtocolError
from thoth_core.ids import text_hash
from thoth_core.validation import check_ids
from thoth_core.vector_checks import check_vectors

SPACES = ("cosine", "l2", "ip")
#: The rows of one that runs must not be deleted: it would end so as well.
_ANOTHER = "another import of the same file may be running"


def restore(store: Store, body: Body, buffers: Buffers) -> dict[str, Any]:
    """Write rows, and make the collection with ``model`` and ``space`` if there is none; no rows
    only make it. ``computed`` says of all of them whether the model made their vectors.

    With ``make`` False it must be there: another call that brings in the same may have given it its
    name meanwhile, and the rest of its rows would be begun anew. :class:`CollectionNotFound`
    otherwise.

    With ``after``, the collection must end with the row of that id (be empty, or not be there, if
    it is empty): so rows come in the order of the file, and nothing else comes between.
    :class:`Conflict` otherwise.
    """
    ids = body.get("ids")
    if not isinstance(ids, list):
        raise ProtocolError("the call has no list of ids")
    check_ids(ids)
    model, computed = body.get("model"), body.get("computed")
    if not isinstance(computed, bool) or not (model is None or isinstance(model, dict)):
        raise ProtocolError("restored rows say whether they were computed, and by which model")
    if computed and model is None:
        raise ProtocolError("vectors that no model computed")
    _, dimension = ledger_collections.canonical(model)
    vectors = check_vectors(array_of(buffers, len(ids)), dimension)
    texts, metadatas = texts_of(body, len(ids)), parallel(body, "metadatas", len(ids))
    rows = []
    for index, id in enumerate(ids):
        metadata, source = metadata_of(metadatas[index], index)
        text = texts[index]
        rows.append(
            Row(
                id=id,
                text=text,
                metadata=metadata,
                source=source,
                text_hash=None if text is None else text_hash(text),
                vector=vectors[index].tobytes(),
                computed=computed,
            )
        )
    collection = _collection(store, body, int(vectors.shape[1]) or None)
    if collection is None:
        return {"written": 0, "unchanged": 0, "superseded": list(range(len(ids)))}
    after = body.get("after")
    if after is not None and after != (last := _last_id(store.ledger, collection)):
        raise Conflict(
            f"the collection {collection.name!r} is not as this import left it",
            cause=f"it ends with {last!r}, not with {after!r}: {_ANOTHER}",
            fix=_way_out(collection.name),
            collection=collection.name,
        )
    done = ledger_chunks.upsert(store.ledger, collection, number_of(body), rows)
    return {
        "written": done.written,
        "unchanged": done.unchanged,
        "superseded": done.superseded,
    }


def restore_documents(store: Store, body: Body, buffers: Buffers) -> dict[str, Any]:
    """Record documents, ``[source, content_hash, chunks]``, whose chunks are there already."""
    number = number_of(body)
    collection, dropped = ledger_collections.current(
        store.ledger, text_of(body, "collection"), number
    )
    if collection is None and not dropped:
        collection = ledger_collections.require(store.ledger, text_of(body, "collection"))
    if collection is None:
        return {"recorded": 0}
    documents = body.get("documents")
    if not isinstance(documents, list):
        raise ProtocolError("the call has no list of documents")
    values, now = [], store.now()
    for each in documents:
        if not isinstance(each, list) or len(each) != 3:
            raise ProtocolError("a document is [source, content_hash, chunks]")
        fields = {"source": each[0], "content_hash": each[1], "chunks": each[2]}
        source, content_hash = text_of(fields, "source"), text_of(fields, "content_hash")
        count = whole(fields, "chunks") or 0
        values.append((collection.id, source, content_hash, count, number, now))
    store.ledger.db.executemany(
        "INSERT INTO documents (collection, source, content_hash, chunks, number, begun, stored)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6) ON CONFLICT (collection, source) DO UPDATE SET"
        " content_hash = excluded.content_hash, chunks = excluded.chunks,"
        " number = excluded.number, begun = excluded.begun, stored = excluded.stored"
        " WHERE excluded.number >= documents.number",
        values,
    )
    return {"recorded": len(values)}


def restore_finish(store: Store, body: Body, buffers: Buffers) -> dict[str, Any]:
    """Give each of ``collections`` (``{collection, to, chunks, documents}``) its name, if it has so
    many chunks and documents; all of them, or none."""
    given = body.get("collections")
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        raise ProtocolError("the call has no list of collections")
    for each in given:
        name = text_of(each, "collection")
        collection = ledger_collections.require(store.ledger, name)
        found = {
            "chunks": ledger_queries.count(store.ledger, collection.id),
            "documents": ledger_queries.document_count(store.ledger, collection.id),
        }
        wanted = {what: whole(each, what) for what in found}
        if found != wanted:
            raise Conflict(
                f"the collection {name!r} is not as this import left it",
                cause=f"it has {found}, not {wanted}: {_ANOTHER}",
                fix=_way_out(name),
                collection=name,
            )
        ledger_collections.rename(store.ledger, name, text_of(each, "to"), number_of(body))
    return {"finished": len(given)}


RESTORES: Mapping[str, Callable[[Store, Body, Buffers], dict[str, Any]]] = {
    "restore": restore,
    "restore_documents": restore_documents,
    "restore_finish": restore_finish,
}


def _collection(store: Store, body: Body, dimension: int | None) -> Collection | None:
    name, number, space = text_of(body, "collection"), number_of(body), body.get("space", "cosine")
    if space not in SPACES:
        raise InvalidInput(f"the space is {space!r}", cause=f"it is one of {', '.join(SPACES)}")
    found, dropped = ledger_collections.current(store.ledger, name, number)
    if found is None and not dropped and body.get("make", True) is False:
        ledger_collections.require(store.ledger, name)
    made = ledger_collections.for_write(store.ledger, name, number, body.get("model"), dimension)
    if found is None and made is not None and made.space != space:
        store.ledger.db.execute("UPDATE collections SET space = ? WHERE id = ?", (space, made.id))
        return replace(made, space=space)
    if made is not None and made.space != space:
        raise InvalidInput(
            f"the collection {name!r} measures nearness by {made.space}, these rows by {space}",
            fix="bring them into another collection",
            collection=name,
        )
    return made


def _way_out(name: str) -> str:
    return (
        "wait for it, or end it, and import again; if none runs: "
        f"thoth collections delete {name}; then import again"
    )


def _last_id(ledger: Ledger, collection: Collection) -> str:
    found = ledger.db.execute(
        "SELECT id FROM chunks WHERE collection = ? ORDER BY row DESC LIMIT 1", (collection.id,)
    ).fetchone()
    return str(found[0]) if found else ""
