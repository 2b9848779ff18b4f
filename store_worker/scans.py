"""The exact scans of an open store, one for each collection that somebody searches while its index
cannot answer."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from store_worker.ledger import Ledger
from store_worker.ledger_collections import Collection
from store_worker.nearness import Rows
from store_worker.scan import Scan
from thoth_core.vectors import Vectors


class Scans:
    """``folder`` is theirs alone, and what it has is of no use to a later process."""

    def __init__(self, ledger: Ledger, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        self._ledger = ledger
        self._folder = folder
        self._open: dict[int, tuple[Scan, int]] = {}

    def nearest(
        self, collection: Collection, queries: Vectors, k: int, allowed: Rows | None
    ) -> list[list[int]]:
        """Rows of the ledger for each of ``queries`` (m, dimension), among which are its ``k``
        nearest of those in ``allowed`` (None: of all)."""
        if collection.id not in self._open:
            scan = Scan(self._ledger, collection, self._folder)
            last = self._ledger.last_change()
            scan.build()
            self._open[collection.id] = scan, last
        self._follow(collection.id)
        return self._open[collection.id][0].nearest(queries, k, allowed)

    def follow(self) -> None:
        """Bring all up to date, before the log that they follow is cut."""
        for collection in list(self._open):
            self._follow(collection)

    def _follow(self, collection: int) -> None:
        scan, seen = self._open[collection]
        last = self._ledger.last_change()
        if seen < last:
            scan.follow(self._ledger.changes_of(collection, seen))
            self._open[collection] = scan, last

    def keep(self, collections: Sequence[int]) -> None:
        """Close those of other collections."""
        for collection in set(self._open) - set(collections):
            self._open.pop(collection)[0].close()

    def close(self) -> None:
        self.keep(())
        shutil.rmtree(self._folder, ignore_errors=True)
