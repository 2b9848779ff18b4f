"""Brings the index up to date with the ledger, in the index process."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from store_worker import ledger_collections
from store_worker.index import Entry, Index, IndexFailed, IndexRefused
from store_worker.ledger import Ledger
from store_worker.ledger_queries import (
    chunks_of,
    ids_between,
    one_moment,
    random_ids,
    unindexed,
    vectors_of,
)
from store_worker.replay import Create, changed_ids

T = TypeVar("T")

#: A hit counts for the one that was looked for if its vector differs by no more than this share of
#: its length: equal texts have equal vectors, and are found under either id.
_AS_NEAR = 1e-3

#: Changes beyond a step that are looked at.
AHEAD = 20_000

Skipped = Mapping[int, set[str]]


class Follower:
    """``abort_on``: a text that ends the process when the index takes it, for tests."""

    def __init__(self, ledger: Ledger, index: Index, abort_on: str = "") -> None:
        self._ledger = ledger
        self._index = index
        self._abort_on = abort_on

    # -- collections --------------------------------------------------------------------------

    def missing(self) -> list[int]:
        """The collections that the index lacks."""
        steps = twice(lambda: self._index.plan(_names(self._named())))
        return [step.owner for step in steps if isinstance(step, Create)]

    def reconcile(self) -> dict[int, str]:
        """Give the index the ledger's collections under their names; these, by id."""
        named = self._named()

        def take() -> None:
            for step in self._index.plan(_names(named)):
                space = named[step.owner].space if isinstance(step, Create) else ""
                self._index.take(step, space)
            self._index.attach(_names(named))

        twice(take)
        return _names(named)

    def _named(self) -> dict[int, ledger_collections.Collection]:
        return {each.id: each for each in ledger_collections.everything(self._ledger)}

    # -- records ------------------------------------------------------------------------------

    def apply(self, after: int, limit: int, skip: Skipped) -> tuple[int, int]:
        """Tell the index the changes after ``after``, ``limit`` at most; the last of them, and how
        many there were."""
        last = self._ledger.last_change()
        changes = self._ledger.pending(after, limit)
        # What is changed again is told then: a row that is written all the time would be told each
        # time that it was.
        end = changes[-1][0] if changes else after
        again = {(c, id) for _, c, id in self._ledger.pending(end, AHEAD)}
        for collection, ids in changed_ids(changes).items():
            skipped = skip.get(collection, ())
            self.write(
                collection,
                [id for id in ids if id not in skipped and (collection, id) not in again],
            )
        if len(changes) < limit:
            # The log has gaps: what was dropped is not told any more.
            return max(last, end), len(changes)
        return end, len(changes)

    def fill(
        self, collection: int, after: int, upto: int, limit: int, skip: Skipped
    ) -> tuple[int | None, int]:
        """Give the index the rows of a collection after the row ``after``; the last row that it
        got, None when there are no more, and how many they were."""
        found = ids_between(self._ledger, collection, after, upto, limit)
        skipped = skip.get(collection, ())
        self.write(collection, [id for _, id in found if id not in skipped])
        return (found[-1][0] if len(found) == limit else None), len(found)

    def write(self, collection: int, ids: Sequence[str]) -> None:
        """Give these ids their present state in the index."""
        if not ids or not self._index.has(collection):
            # A collection that it has not got is dropped since: nothing of it is left to tell.
            return
        refused = unindexed(self._ledger, collection)
        wanted = [id for id in ids if id not in refused]
        live = chunks_of(self._ledger, collection, wanted, vectors=True)
        entries = [Entry(c.id, c.vector, c.text, c.metadata) for c in live.values()]
        if self._abort_on and any(self._abort_on in (each.text or "") for each in entries):
            os.abort()
        gone = [id for id in ids if id not in live]
        twice(lambda: self._index.apply(collection, entries, gone))

    # -- whether it is found ------------------------------------------------------------------

    def sample(self, after: int, skip: Skipped, most: int, chance: random.Random) -> dict[str, Any]:
        """Search for stored vectors of each collection, ``most`` of them; those whose change comes
        after ``after`` the index need not have."""
        # Of one moment: a row that is written between two reads would be looked for in vain.
        with one_moment(self._ledger):
            return self._sample(after, skip, most, chance)

    def _sample(
        self, after: int, skip: Skipped, most: int, chance: random.Random
    ) -> dict[str, Any]:
        pending: dict[int, set[str]] = {c: set(ids) for c, ids in skip.items()}
        for collection, ids in changed_ids(self._ledger.pending(after, -1)).items():
            pending.setdefault(collection, set()).update(ids)
        asked = found = 0
        missed: list[list[Any]] = []
        for each in ledger_collections.everything(self._ledger):
            left_out = pending.get(each.id, set()) | unindexed(self._ledger, each.id)
            ids = [i for i in random_ids(self._ledger, each.id, most, chance) if i not in left_out]
            vectors = vectors_of(self._ledger, each.id, ids)
            for id in ids:
                asked += 1
                if self._finds(each.id, each.space, vectors[id]):
                    found += 1
                else:
                    missed.append([each.id, id])
        return {"asked": asked, "found": found, "missed": missed[:100]}

    def _finds(self, collection: int, space: str, raw: bytes) -> bool:
        vector = np.frombuffer(raw, "<f4").reshape(1, -1)
        first = self._index.nearest(collection, vector, 1, None, None)[0][:1]
        near = vectors_of(self._ledger, collection, first).get(first[0]) if first else None
        if near is None:
            return False
        if space == "ip":
            # There, another vector may well be nearer than the vector itself.
            mine, theirs = _doubles(raw), _doubles(near)
            return bool(mine @ theirs >= mine @ mine * (1 - _AS_NEAR))
        unit = space == "cosine"
        mine, theirs = _doubles(raw, unit=unit), _doubles(near, unit=unit)
        return bool(np.linalg.norm(mine - theirs) <= _AS_NEAR * np.linalg.norm(mine))


def _names(collections: Mapping[int, ledger_collections.Collection]) -> dict[int, str]:
    return {id: each.name for id, each in collections.items()}


def twice(work: Callable[[], T]) -> T:
    """What Chroma answers the first time may be a passing error (another program reads the file):
    everything that it is told may be told again."""
    try:
        return work()
    except (IndexFailed, IndexRefused):
        return work()


def _doubles(raw: bytes, *, unit: bool = False) -> np.ndarray[Any, np.dtype[np.float64]]:
    vector = np.frombuffer(raw, "<f4").astype(np.float64)
    return vector / np.linalg.norm(vector) if unit else vector
