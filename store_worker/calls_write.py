"""The calls that write to the ledger, one function a kind, all inside a transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from store_worker import calls_documents, ledger_chunks, ledger_collections, ledger_staging
from store_worker.calls import (
    Body,
    Buffers,
    array_of,
    filters_of,
    metadata_of,
    number_of,
    parallel,
    strings,
    text_of,
    texts_of,
)
from store_worker.calls_reembed import GENERATIONS, check_open
from store_worker.calls_restore import RESTORES
from store_worker.ledger_chunks import Row, Wanted, Written
from store_worker.nearest import matching_now
from store_worker.store import Store
from thoth_core.errors import InvalidInput, ProtocolError
from thoth_core.ids import text_hash
from thoth_core.validation import check_ids
from thoth_core.vector_checks import check_vectors


def write(store: Store, kind: str, body: Body, buffers: Buffers) -> dict[str, Any]:
    """Carry out one write in the open transaction, wholly or not at all. A request that was
    answered before gets the same answer and changes nothing."""
    request = body.get("request")
    if kind == "remember":
        return _remember(store, body)
    if isinstance(request, str) and request:
        outcome = store.ledger.outcome(request, store.now())
        if outcome is not None:
            return {"outcome": outcome} if kind == "have" else dict(outcome)
    check_open(store, kind, body)
    with store.ledger.savepoint():
        result = WRITES[kind](store, body, buffers)
        if isinstance(request, str) and request and kind != "have":
            store.ledger.remember(request, result, store.now())
    return result


def rows_of(body: Body) -> int:
    """About how many rows a write concerns."""
    ids = body.get("ids")
    return len(ids) if isinstance(ids, list) else 1


def _remember(store: Store, body: Body) -> dict[str, Any]:
    store.ledger.remember(text_of(body, "request"), body.get("outcome"), store.now())
    return {}


def _upsert(store: Store, body: Body, buffers: Buffers) -> dict[str, Any]:
    ids = _ids(body)
    model = body.get("model")
    vectors = check_vectors(array_of(buffers, len(ids)), _dimension(model))
    texts = texts_of(body, len(ids))
    hashes = parallel(body, "hashes", len(ids))
    metadatas = parallel(body, "metadatas", len(ids))
    rows = []
    for index, id in enumerate(ids):
        metadata, source = metadata_of(metadatas[index], index)
        text, digest = texts[index], hashes[index]
        if not isinstance(digest, str):
            digest = None if text is None else text_hash(text)
        rows.append(
            Row(
                id=id,
                text=text,
                metadata=metadata,
                source=source,
                text_hash=digest,
                vector=vectors[index].tobytes(),
                computed=model is not None,
            )
        )
    done = _written(store, body, rows, int(vectors.shape[1]) if rows else None)
    result: dict[str, Any] = {
        "written": done.written,
        "unchanged": done.unchanged,
        "superseded": done.superseded,
    }
    if "indices" in body:
        result["indices"] = body["indices"]
    return result


def _written(store: Store, body: Body, rows: list[Row], dimension: int | None) -> Written:
    stage, number, model = calls_documents.stage_of(body), number_of(body), body.get("model")
    late = Written(superseded=list(range(len(rows))))
    if stage is not None:
        if model is None:
            raise InvalidInput("only texts that are embedded can be staged")
        calls_documents.check_sources(rows)
        if not ledger_staging.is_open(store.ledger, stage):
            return late
    collection = ledger_collections.for_write(
        store.ledger, text_of(body, "collection"), number, model, dimension
    )
    if collection is None:
        return late
    if stage is None:
        return ledger_chunks.upsert(store.ledger, collection, number, rows)
    return ledger_staging.stage_rows(store.ledger, collection, number, stage, rows, store.now())


def _have(store: Store, body: Body, buffers: Buffers) -> dict[str, Any]:
    ids = _ids(body)
    model = body.get("model")
    if model is None:
        raise ProtocolError("have without a model")
    texts = texts_of(body, len(ids))
    hashes = strings(body, "hashes")
    metadatas = parallel(body, "metadatas", len(ids))
    if hashes is None or len(hashes) != len(ids):
        raise ProtocolError("hashes has not one element for each id")
    wanted = []
    for index, id in enumerate(ids):
        metadata, source = metadata_of(metadatas[index], index)
        wanted.append(Wanted(id, texts[index], metadata, source, hashes[index]))
    number, stage = number_of(body), calls_documents.stage_of(body)
    if stage is not None:
        calls_documents.check_sources(wanted)
    if _nothing_there(store, body, number, hashes):
        # No collection is made for texts that may yet be refused, all of them, as where there is no
        # key: it would be of a model that it has no vector of.
        if stage is not None:
            ledger_staging.reopen(store.ledger, stage, store.now())
        return {"unchanged": [], "superseded": [], "reused": [], "missing": list(range(len(ids)))}
    collection = ledger_collections.for_write(
        store.ledger, text_of(body, "collection"), number, model
    )
    if collection is None:
        everything = list(range(len(ids)))
        return {"unchanged": [], "superseded": everything, "reused": [], "missing": []}
    if stage is None:
        had = ledger_chunks.have(store.ledger, collection, number, wanted)
    else:
        had = ledger_staging.have(store.ledger, collection, number, stage, wanted, store.now())
    return {
        "unchanged": had.unchanged,
        "superseded": had.superseded,
        "reused": had.reused,
        "missing": had.missing,
    }


def _nothing_there(store: Store, body: Body, number: int, hashes: list[str]) -> bool:
    """Whether there is no such collection, and no vector that could be put into it."""
    name = text_of(body, "collection")
    found, dropped = ledger_collections.current(store.ledger, name, number)
    if found is not None or dropped:
        return False
    ledger_collections.check_new_name(name)
    _dimension(body["model"])
    identity, _ = ledger_collections.canonical(body["model"])
    return not ledger_chunks.embedded(store.ledger, [identity or ""], hashes)


def _delete(store: Store, body: Body, buffers: Buffers) -> dict[str, Any]:
    ids = strings(body, "ids")
    where, where_document = filters_of(body)
    if ids is None and where is None and where_document is None:
        raise InvalidInput(
            "delete needs ids, where or where_document",
            fix="to delete everything: thoth collections delete NAME",
        )
    name, number = text_of(body, "collection"), number_of(body)
    collection, dropped = ledger_collections.current(store.ledger, name, number)
    if dropped:
        return {"deleted": 0}
    if collection is None:
        collection = ledger_collections.require(store.ledger, name)
    chosen = list(dict.fromkeys(ids)) if ids is not None else None
    if where is not None or where_document is not None:
        # Not from the index: what this group of writes has done so far counts too.
        chosen = matching_now(store, collection, chosen, where, where_document)
    return {"deleted": ledger_chunks.delete(store.ledger, collection, number, chosen or [])}


def _create_collection(store: Store, body: Body, buffers: Buffers) -> dict[str, Any]:
    name, number = text_of(body, "collection"), number_of(body)
    found, dropped = ledger_collections.current(store.ledger, name, number)
    made = ledger_collections.for_write(store.ledger, name, number, body.get("model"))
    return {"created": found is None and not dropped and made is not None}


def _rename_collection(store: Store, body: Body, buffers: Buffers) -> dict[str, Any]:
    name, to = text_of(body, "collection"), text_of(body, "to")
    ledger_collections.rename(store.ledger, name, to, number_of(body))
    return {}


def _delete_collection(store: Store, body: Body, buffers: Buffers) -> dict[str, Any]:
    name = text_of(body, "collection")
    return {"deleted": ledger_collections.drop(store.ledger, name, number_of(body))}


WRITES: Mapping[str, Callable[[Store, Body, Buffers], dict[str, Any]]] = {
    "upsert": _upsert,
    "have": _have,
    "delete": _delete,
    "create_collection": _create_collection,
    "rename_collection": _rename_collection,
    "delete_collection": _delete_collection,
    "begin_ingest": calls_documents.begin_ingest,
    "replace_document": calls_documents.replace_document,
    **RESTORES,
    **GENERATIONS,
}
#: All kinds that go through a transaction.
KINDS = frozenset(WRITES) | {"remember"}


def _ids(body: Body) -> list[str]:
    ids = body.get("ids")
    if not isinstance(ids, list):
        raise ProtocolError("the call has no list of ids")
    check_ids(ids)
    return ids


def _dimension(model: Any) -> int | None:
    if model is None:
        return None
    if not isinstance(model, dict):
        raise ProtocolError("model is an identity or nothing")
    return ledger_collections.canonical(model)[1]
