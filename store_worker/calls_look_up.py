"""What an ingest would find of its texts, looked up without writing anything."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from store_worker import ledger_chunks, ledger_collections
from store_worker.calls import Body, Buffers, strings, text_of
from store_worker.ledger_collections import Collection
from store_worker.store import Store
from thoth_core.errors import ProtocolError

#: What a name without an organisation belongs to.
_PREFIX = "sentence-transformers/"


def look_up(store: Store, body: Body, buffers: Buffers) -> tuple[dict[str, Any], Buffers]:
    """Which of the texts, known by ``hashes``, have a vector already by the model that would embed
    them, and what that is called. Raises :class:`ModelMismatch` as the ingest would."""
    hashes = strings(body, "hashes") or []
    name, identities = _model(store, body)
    found = ledger_chunks.embedded(store.ledger, identities, hashes)
    return {"model": name, "embedded": [i for i, h in enumerate(hashes) if h in found]}, ()


def _model(store: Store, body: Body) -> tuple[str, list[str]]:
    """The model's name, and the identities that count as it: one, unless it never ran here."""
    name, identity = text_of(body, "model"), body.get("identity")
    if identity is not None and not isinstance(identity, dict):
        raise ProtocolError("identity is that of a model, or nothing")
    collection = ledger_collections.find(store.ledger, text_of(body, "collection"))
    if collection is not None:
        if body.get("asked"):
            _check(collection, name, identity)
        if collection.model is not None:
            made = collection.identity() or {}
            return str(made.get("name")), [collection.model]
    if identity is not None:
        return name, [ledger_collections.canonical(identity)[0] or ""]
    # It has no worker that could tell what it is exactly; its vectors say what it was.
    there = ledger_collections.everything(store.ledger)
    named = {c.model for c in there if c.model and _same(str((c.identity() or {})["name"]), name)}
    return name, sorted(named)


def _check(collection: Collection, name: str, identity: dict[str, Any] | None) -> None:
    made = collection.identity()
    if identity is not None:
        ledger_collections.fits(collection, identity)
    elif made is not None and not _same(str(made.get("name")), name):
        ledger_collections.fits(collection, {**made, "name": name})


def _same(one: str, other: str) -> bool:
    """Whether two names may be of one model. One in a folder is called by its path too."""
    one, other = one.removeprefix(_PREFIX), other.removeprefix(_PREFIX)
    return one == other or PurePath(other).is_absolute()
