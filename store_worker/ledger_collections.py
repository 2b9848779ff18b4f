"""Collections in the ledger: their names, their model, and the order of writes to them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from store_worker.ledger import Ledger
from store_worker.ledger_errors import translated
from thoth_core.errors import (
    CollectionExists,
    CollectionNotFound,
    InvalidInput,
    ModelMismatch,
    ProtocolError,
)
from thoth_core.validation import check_collection_name

#: Begins the names of collections that users do not see.
HIDDEN_PREFIX = "thoth-reembed-"
#: What one ``replaces`` whose rows are only there to be deleted.
GONE = 0
#: Names listed in an error.
_NAMED = 20


@dataclass(frozen=True, slots=True)
class Collection:
    """``model`` is the identity of the model of its vectors as canonical JSON, None as long as it
    has only the caller's own; ``number`` that of the write that made it, or of a drop that spared
    what was written after it; ``named`` that of the rename to its present name. ``space`` is how
    nearness is measured (cosine, l2 or ip); ``replaces`` the collection whose place this one is to
    take when it is complete."""

    id: int
    name: str
    model: str | None
    dimension: int | None
    number: int
    named: int = 0
    space: str = "cosine"
    replaces: int | None = None

    def identity(self) -> dict[str, Any] | None:
        return json.loads(self.model) if self.model else None


_COLUMNS = "SELECT id, name, model, dimension, number, named, space, replaces FROM collections"


def find(ledger: Ledger, name: str) -> Collection | None:
    with translated(ledger.path):
        row = ledger.db.execute(
            f"{_COLUMNS} WHERE name = ? AND replaces IS NOT ?", (name, GONE)
        ).fetchone()
    return Collection(*row) if row else None


def by_id(ledger: Ledger, id: int | None) -> Collection | None:
    with translated(ledger.path):
        row = ledger.db.execute(f"{_COLUMNS} WHERE id = ?", (id,)).fetchone()
    return Collection(*row) if row else None


def everything(ledger: Ledger) -> list[Collection]:
    """All collections by name, those that are still being made included: what the index has."""
    with translated(ledger.path):
        found = ledger.db.execute(f"{_COLUMNS} WHERE replaces IS NOT ? ORDER BY name", (GONE,))
        return [Collection(*row) for row in found]


def listed(ledger: Ledger) -> list[Collection]:
    """The collections that users see, by name."""
    return [each for each in everything(ledger) if each.replaces is None]


def require(ledger: Ledger, name: str) -> Collection:
    """The collection ``name``; :class:`CollectionNotFound` that lists those there are."""
    found = find(ledger, name)
    if found is not None:
        return found
    names = [each.name for each in listed(ledger)]
    there = ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")
    raise CollectionNotFound(
        f"there is no collection {name!r}",
        cause=f"the collections are: {there}" if names else "there is no collection yet",
        fix=f"thoth ingest PATH --collection {shlex.quote(name)} makes it",
        collection=name,
        collections=names,
    )


def canonical(model: Mapping[str, Any] | None) -> tuple[str | None, int | None]:
    """A model's identity as JSON that equals for equal identities, and its dimension."""
    if model is None:
        return None, None
    dimension = model.get("dimension")
    if not isinstance(dimension, int) or isinstance(dimension, bool) or dimension < 1:
        raise ProtocolError("a model's identity without its dimension")
    return json.dumps(model, sort_keys=True, ensure_ascii=False), dimension


def current(ledger: Ledger, name: str, number: int) -> tuple[Collection | None, bool]:
    """What the write ``number`` to ``name`` is for: the collection that has, or then had, the name;
    and whether a later write dropped it."""
    with translated(ledger.path):
        left = ledger.db.execute(
            "SELECT number, successor FROM departed WHERE name = ?", (name,)
        ).fetchone()
        if left is None or number >= left[0]:
            return find(ledger, name), False
    # Accepted before the rename or the drop.
    found = by_id(ledger, left[1])
    # Dropped under its later name, and there only for what was written to it after that.
    emptied = found is None or found.number > left[0]
    return (None, True) if emptied else (found, False)


def for_write(
    ledger: Ledger,
    name: str,
    number: int,
    model: Mapping[str, Any] | None,
    dimension: int | None = None,
) -> Collection | None:
    """The collection that the write ``number`` to ``name`` is for, made if there is none; None when
    it was dropped by a later write. In a transaction.

    ``model`` None means the caller's own vectors, of ``dimension``. The first model of its
    dimension claims a collection that has none. :class:`ModelMismatch`, :class:`InvalidInput`.
    """
    found, dropped = current(ledger, name, number)
    if dropped:
        return None
    if found is not None:
        return claim(ledger, found, model, dimension)
    check_new_name(name)
    identity, modelled = canonical(model)
    dimension = modelled or dimension
    made = ledger.db.execute(
        "INSERT INTO collections (name, model, dimension, number) VALUES (?, ?, ?, ?)",
        (name, identity, dimension, number),
    )
    return Collection(int(made.lastrowid or 0), name, identity, dimension, number)


def fits(
    collection: Collection, model: Mapping[str, Any] | None, dimension: int | None = None
) -> bool:
    """Whether vectors of ``model`` (None: the caller's own, of ``dimension``) fit the collection as
    it is; False when the collection must record the model or the dimension first.

    Raises :class:`ModelMismatch`, or :class:`InvalidInput` for a caller's vector.
    """
    identity, modelled = canonical(model)
    if identity is not None and collection.model not in (None, identity):
        raise _mismatch(collection, model or {})
    if collection.dimension is None:
        return (modelled or dimension) is None
    if modelled is not None and modelled != collection.dimension:
        raise _mismatch(collection, model or {})
    if modelled is None and dimension not in (None, collection.dimension):
        raise InvalidInput(
            f"the vectors have {dimension} dimensions, those of the collection "
            f"{collection.name!r} have {collection.dimension}",
            fix="use vectors of the collection's model, or another collection",
            collection=collection.name,
            dimension=collection.dimension,
        )
    return identity is None or collection.model is not None


def claim(
    ledger: Ledger,
    collection: Collection,
    model: Mapping[str, Any] | None,
    dimension: int | None = None,
) -> Collection:
    """``collection`` with the model or the dimension recorded, if it had none; in a transaction."""
    if fits(collection, model, dimension):
        return collection
    identity, modelled = canonical(model)
    identity, dimension = identity or collection.model, modelled or dimension
    ledger.db.execute(
        "UPDATE collections SET model = ?, dimension = ? WHERE id = ?",
        (identity, dimension, collection.id),
    )
    return replace(collection, model=identity, dimension=dimension)


def rename(ledger: Ledger, name: str, to: str, number: int) -> None:
    """Rename what had the name ``name`` at the write ``number``; in a transaction. One that was
    made or renamed later is not meant. :class:`CollectionNotFound`, :class:`CollectionExists`."""
    collection = require(ledger, name)
    if max(collection.number, collection.named) > number:
        raise CollectionNotFound(
            f"there was no collection {name!r} to rename",
            cause="the one of that name was made after this call",
            fix="thoth collections",
            collection=name,
        )
    check_new_name(to)
    if collection.replaces is not None:
        raise _reserved(name)
    if to == name:
        return
    if find(ledger, to) is not None:
        raise CollectionExists(
            f"there is a collection {to!r} already",
            fix=f"choose another name, or first: thoth collections delete {to}",
            collection=to,
        )
    ledger.db.execute(
        "UPDATE collections SET name = ?, named = ? WHERE id = ?", (to, number, collection.id)
    )
    depart(ledger, name, number, collection.id)


def retire(ledger: Ledger, id: int) -> None:
    """Nobody sees the collection from now on, the index neither; its rows are there until they are
    swept. In a transaction."""
    ledger.db.execute(
        "UPDATE collections SET name = ?, replaces = ? WHERE id = ?",
        (f"{HIDDEN_PREFIX}gone-{id}", GONE, id),
    )
    for table in ("changes", "unindexed"):
        ledger.db.execute(f"DELETE FROM {table} WHERE collection = ?", (id,))


def drop(ledger: Ledger, name: str, number: int) -> bool:
    """Drop what ``name`` had before the write ``number``; whether there was such a collection. In a
    transaction. What later writes put there stays."""
    depart(ledger, name, number, None)
    collection = find(ledger, name)
    if collection is None or max(collection.number, collection.named) > number:
        return False
    bound = (collection.id, number)
    later = ledger.db.execute(
        "SELECT EXISTS (SELECT 1 FROM chunks WHERE collection = ?1 AND number > ?2)"
        " OR EXISTS (SELECT 1 FROM tombstones WHERE collection = ?1 AND number > ?2)"
        " OR EXISTS (SELECT 1 FROM staged WHERE collection = ?1 AND number > ?2)",
        bound,
    ).fetchone()[0]
    if later:
        ledger.db.execute(
            "INSERT INTO changes (collection, id, op, row) SELECT collection, id, 'delete', row"
            " FROM chunks WHERE collection = ? AND number <= ?",
            bound,
        )
    else:
        ledger.db.execute("DELETE FROM changes WHERE collection = ?", (collection.id,))
    ledger.db.execute(
        "DELETE FROM unindexed WHERE collection = ?1 AND id IN"
        " (SELECT id FROM chunks WHERE collection = ?1 AND number <= ?2)",
        bound,
    )
    for table in ("chunks", "tombstones", "staged"):
        ledger.db.execute(f"DELETE FROM {table} WHERE collection = ? AND number <= ?", bound)
    if later:
        ledger.db.execute("DELETE FROM documents WHERE collection = ? AND number <= ?", bound)
        ledger.db.execute("UPDATE collections SET number = ? WHERE id = ?", (number, collection.id))
    else:
        ledger.db.execute("DELETE FROM documents WHERE collection = ?", (collection.id,))
        ledger.db.execute("DELETE FROM collections WHERE id = ?", (collection.id,))
        for each in everything(ledger):
            if each.replaces == collection.id:
                depart(ledger, each.name, number, None)
                retire(ledger, each.id)
    return True


def depart(ledger: Ledger, name: str, number: int, successor: int | None) -> None:
    """Note that a collection left the name by the write ``number``; in a transaction."""
    ledger.db.execute(
        "INSERT INTO departed VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE"
        " SET number = excluded.number, successor = excluded.successor"
        " WHERE excluded.number > departed.number",
        (name, number, successor),
    )


def check_new_name(name: str) -> None:
    check_collection_name(name)
    if name.startswith(HIDDEN_PREFIX):
        raise _reserved(name)


def _reserved(name: str) -> InvalidInput:
    return InvalidInput(
        f"the name {name!r} is not for a collection of yours",
        cause=f"{HIDDEN_PREFIX}… are generations that are being made, until they are finished or"
        " given up",
        fix="choose another name",
        collection=name,
    )


def _mismatch(collection: Collection, model: Mapping[str, Any]) -> ModelMismatch:
    mine = collection.identity()
    theirs = dict(model)
    if mine is None:
        made = f"the caller's own vectors of {collection.dimension} dimensions"
        cause = f"{theirs.get('name')} makes {theirs.get('dimension')} dimensions"
    else:
        made = f"the model {mine.get('name')}"
        differing = sorted(k for k in mine.keys() | theirs.keys() if mine.get(k) != theirs.get(k))
        cause = "; ".join(f"{k}: {mine.get(k)!r}, now {theirs.get(k)!r}" for k in differing)
    wants = str(theirs.get("name"))
    if mine is not None and mine.get("name") == wants:
        wants = f"the same with another {' and '.join(differing)}"
    wanted = shlex.quote(str(theirs.get("name")))
    return ModelMismatch(
        f"the collection {collection.name!r} was made with {made}, the call is for {wants}",
        cause=cause,
        fix="use another collection (--collection NAME), or embed this one anew: "
        f"thoth collections reembed {collection.name} --model {wanted}",
        collection=collection.name,
        expected=mine,
        found=theirs,
    )
