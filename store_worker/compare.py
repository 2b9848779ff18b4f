"""Which records of the index's files are not as in the ledger: ids and vectors, all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from store_worker import ledger_collections, ledger_queries
from store_worker.index import LEDGER_KEY, OWNER_KEY
from store_worker.ledger import Ledger
from store_worker.replay import changed_ids
from thoth_core.chroma_dir import catalog, database, hnsw_files
from thoth_core.vectors import Vectors

#: Rows compared at a time.
_ROWS = 2048
#: Chroma stores unit vectors in single precision.
_TOLERANCE = 1e-4


def differing(
    folder: Path, ledger: Ledger, after: int, skip: Mapping[int, set[str]]
) -> tuple[list[list[Any]], int]:
    """``[collection, ids]`` that the index lacks, has too much, or has with another vector; and how
    many rows the ledger has. Not among them: collections that the index has not got at all, rows
    that no index takes, those in ``skip``, and what the log says after ``after``: it is yet to be
    told both.
    Raises :class:`thoth_core.chroma_dir.files.Damaged`."""
    # What is written while this reads would be neither excused nor as it was.
    with ledger_queries.one_moment(ledger):
        return _all_differing(folder, ledger, after, skip)


def _all_differing(
    folder: Path, ledger: Ledger, after: int, skip: Mapping[int, set[str]]
) -> tuple[list[list[Any]], int]:
    found: list[list[Any]] = []
    rows = 0
    pending = changed_ids(ledger.pending(after, -1))
    ours = {each.id: each for each in ledger_collections.everything(ledger)}
    with database.opened(folder, ours=True) as db:
        contents = catalog.Catalog(db)
        for each in contents.collections():
            owner = each.metadata.get(OWNER_KEY)
            if each.metadata.get(LEDGER_KEY) != ledger.ident or owner not in ours:
                continue
            rows += ledger_queries.count(ledger, owner)
            excused = ledger_queries.unindexed(ledger, owner) | set(pending.get(owner, ()))
            excused |= skip.get(owner, set())
            wrong = _differing(folder, contents, each, ledger, ours[owner])
            ids = [id for id in wrong if id not in excused]
            if ids:
                found.append([owner, ids])
    return found, rows


def _differing(
    folder: Path,
    contents: catalog.Catalog,
    theirs: catalog.Collection,
    ledger: Ledger,
    mine: ledger_collections.Collection,
) -> list[str]:
    listed = set(contents.ids(theirs))
    places, flushed = _flushed(folder, theirs)
    late: dict[str, Vectors | None] = {}
    for entry in contents.log(theirs, theirs.flushed):
        if entry.operation == catalog.DELETE:
            late[entry.id] = None
        elif entry.vector is not None:
            late[entry.id] = entry.vector
    wrong: list[str] = []
    seen: set[str] = set()
    for ids, vectors in _rows(ledger, mine.id):
        seen.update(ids)
        stored = np.zeros_like(vectors)
        for row, id in enumerate(ids):
            if id in late:
                vector = late[id]
                if vector is not None and vector.shape == stored[row].shape:
                    stored[row] = vector
            elif id in places and flushed is not None:
                stored[row] = flushed[places[id]]
        bad = _far(vectors, stored, mine.space)
        wrong += [id for id, is_bad in zip(ids, bad, strict=True) if is_bad or id not in listed]
    return wrong + sorted((listed | places.keys() | late.keys()) - seen - _gone(late, listed))


def _gone(late: dict[str, Vectors | None], listed: set[str]) -> set[str]:
    """Deleted in the log, and listed no more."""
    return {id for id, vector in late.items() if vector is None} - listed


def _flushed(folder: Path, theirs: catalog.Collection) -> tuple[dict[str, int], Vectors | None]:
    """The place of each id in the vector segment, and the vectors there."""
    place = folder / str(theirs.vector_segment)
    if theirs.vector_segment is None or not (place / hnsw_files.HEADER).exists():
        return {}, None
    segment = hnsw_files.read(place)
    if segment.ids is None:
        return {}, None
    at = {int(label): row for row, label in enumerate(segment.labels.tolist())}
    places = {id: at[label] for id, label in segment.ids.labels.items() if label in at}
    return places, segment.vectors


def _rows(ledger: Ledger, collection: int) -> Iterator[tuple[list[str], Vectors]]:
    cursor = ledger.db.execute(
        "SELECT id, vector FROM chunks WHERE collection = ? ORDER BY row", (collection,)
    )
    while found := cursor.fetchmany(_ROWS):
        joined = np.frombuffer(b"".join(vector for _, vector in found), "<f4")
        yield [id for id, _ in found], joined.reshape(len(found), -1)


def _far(mine: Vectors, theirs: Vectors, space: str) -> list[bool]:
    if space == "cosine":
        mine, theirs = _unit(mine), _unit(theirs)
    size = np.maximum(np.linalg.norm(mine, axis=1), 1e-30)
    far: list[bool] = (np.linalg.norm(mine - theirs, axis=1) > _TOLERANCE * size).tolist()
    return far


def _unit(vectors: Vectors) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Vectors = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return unit
