"""The write calls of an ingest run: it begins, and replaces documents by what it has stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from store_worker import ledger_chunks, ledger_collections, ledger_documents, ledger_staging
from store_worker.calls import Body, Buffers, number_of, strings, text_of
from store_worker.ledger_chunks import Row, Wanted
from store_worker.store import Store
from thoth_core.errors import Conflict, InvalidInput

#: Ids named in an error.
_NAMED = 20


def begin_ingest(store: Store, body: Body, buffers: Buffers) -> dict[str, Any]:
    number = number_of(body)
    ledger_staging.begin(store.ledger, number, store.now())
    return {"stage": number}


def replace_document(store: Store, body: Body, buffers: Buffers) -> dict[str, Any]:
    """Make a document of what was stored of it: of the stage that is named, or of live chunks. The
    one that it is ``instead_of`` goes with the same step."""
    ids = strings(body, "ids") or []
    content_hash = body.get("content_hash")
    if content_hash is not None:
        content_hash = text_of(body, "content_hash")
    name, number, source = text_of(body, "collection"), number_of(body), text_of(body, "source")
    stage = stage_of(body)
    collection = ledger_collections.for_write(store.ledger, name, number, None)
    if collection is None:
        # Dropped since, with what the run had staged.
        return {"removed": 0} if stage is None else {"removed": 0, "superseded": True}
    if stage is None:
        removed = ledger_chunks.replace_document(
            store.ledger, collection, number, source, content_hash, ids, now=store.now()
        )
        return {"removed": removed}
    done = ledger_staging.commit(
        store.ledger, collection, number, stage, source, content_hash, ids, store.now()
    )
    if done.missing:
        raise Conflict(
            f"{len(done.missing)} of {len(ids)} chunks of the new document are not there any more",
            cause="the run stood still for over an hour, or the collection was deleted under it",
            fix="run the same ingest again; what is stored already is not embedded again",
            source=source,
            missing=done.missing[:_NAMED],
        )
    answer: dict[str, Any] = {"removed": done.removed, "superseded": done.superseded}
    if body.get("instead_of") is not None:
        old = text_of(body, "instead_of")
        whole = content_hash is not None and not done.superseded and old != source
        answer["moved"] = whole and ledger_documents.give_way(
            store.ledger, collection, number, stage, old, content_hash or ""
        )
    return answer


def stage_of(body: Body) -> int | None:
    """The stage that a write belongs to, None if to none."""
    stage = body.get("stage")
    if stage is None:
        return None
    # It is the number of an earlier write; a later one would shut out all runs that begin until
    # then.
    if isinstance(stage, bool) or not isinstance(stage, int) or not 0 < stage < number_of(body):
        raise InvalidInput(f"the stage {stage!r} is none that begin_ingest gave")
    return stage


def check_sources(items: Sequence[Row | Wanted]) -> None:
    """Every chunk of a stage belongs to a document: :class:`InvalidInput` names any other."""
    bad = [index for index, item in enumerate(items) if item.source is None]
    if bad:
        raise InvalidInput(
            "a chunk that is staged needs its document's name as source in its metadata",
            indices=bad,
        )
