"""Brings the index up to date with the ledger: after each commit, and when the store opens."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from store_worker import ledger_collections
from store_worker.index import Entry, Index, IndexFailed, IndexRefused
from store_worker.ledger import Ledger
from store_worker.ledger_queries import chunks_of
from store_worker.replay import Create, changed_ids
from thoth_core.errors import StorageError

T = TypeVar("T")

#: Changes told to the index in one step; searches are answered between steps.
STEP_CHANGES = 500


class IndexBroken(Exception):
    """The index cannot be used by this process any more. The ledger has everything that was
    committed, so the process ends, and its successor tells a newly opened index the rest."""


class Applier:
    def __init__(self, ledger: Ledger, index: Index, log: logging.Logger) -> None:
        self._ledger = ledger
        self._index = index
        self._log = log
        #: The collections that the index is known to have, id to name.
        self._names: dict[int, str] | None = None
        #: Why the index lacks changes that are committed: no space, or a ledger held by another
        #: program. They are not acknowledged before it has them.
        self.behind: StorageError | None = None

    def catch_up(self, between: Callable[[], object]) -> None:
        """Bring the index up to date, calling ``between`` after each step. :class:`StorageError`,
        which leaves the rest for the next time; :class:`IndexBroken`."""
        try:
            self.reconcile()
            while self.step():
                between()
        except StorageError as problem:
            self.behind = problem
            raise
        self.behind = None

    def reconcile(self) -> None:
        """Give the index the ledger's collections under their names. One that it lacks is made, and
        every row of it is logged to be told again."""
        names = {each.id: each.name for each in ledger_collections.listed(self._ledger)}
        if names != self._names:
            self._twice(lambda: self._reconcile(names))
            self._names = names

    def step(self) -> bool:
        """Tell the index the next changes; whether there may be more."""
        return self._twice(self._step)

    def _reconcile(self, names: dict[int, str]) -> None:
        for step in self._index.plan(names):
            if isinstance(step, Create):
                # First the log: if the process ends in between, the collection is still missing.
                self._ledger.log_collection(step.owner)
            self._index.take(step)
        self._index.attach(names)

    def _step(self) -> bool:
        changes = self._ledger.pending(STEP_CHANGES)
        for collection, ids in changed_ids(changes).items():
            if not self._index.has(collection):
                # Dropped since: nothing of it is left to tell.
                continue
            live = chunks_of(self._ledger, collection, ids, vectors=True)
            upserts = [
                Entry(chunk.id, chunk.vector, chunk.text, chunk.metadata) for chunk in live.values()
            ]
            self._index.apply(collection, upserts, [id for id in ids if id not in live])
        if changes:
            self._ledger.applied(changes[-1][0])
        return len(changes) == STEP_CHANGES

    def _twice(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except (IndexFailed, IndexRefused) as problem:
            self._log.warning("the index failed and is asked once more: %s", problem)
        try:
            return work()
        except (IndexFailed, IndexRefused) as problem:
            raise IndexBroken(f"the index failed twice: {problem}") from problem
