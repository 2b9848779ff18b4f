"""The exact scans of an open store, one for each collection that somebody searches while its index
cannot answer.

Their files are made a little at a time: the store has one thread, and a million vectors take it
seconds. What a file has not got yet a search reads from the ledger.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from store_worker.ledger import Ledger
from store_worker.ledger_collections import Collection
from store_worker.nearness import Rows
from store_worker.scan import Scan
from thoth_core.vectors import Vectors

#: Seconds that a search first spends on its file, and those of a turn in which nobody searches.
SEARCH_SECONDS, TURN_SECONDS = 0.25, 0.05


class Scans:
    """``folder`` is theirs alone, and what it has is of no use to a later process."""

    def __init__(self, ledger: Ledger, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        self._ledger = ledger
        self._folder = folder
        self._open: dict[int, tuple[Scan, int]] = {}
        #: The collections whose file is not complete, though one searched them.
        self._unfinished: dict[int, None] = {}

    def nearest(
        self, collection: Collection, queries: Vectors, k: int, allowed: Rows | None
    ) -> list[list[int]]:
        """Rows of the ledger for each of ``queries`` (m, dimension), among which are its ``k``
        nearest of those in ``allowed`` (None: of all)."""
        if collection.id not in self._open:
            # What is logged from now on is told to it, also of rows that it has yet to read.
            scan = Scan(self._ledger, collection, self._folder)
            self._open[collection.id] = scan, self._ledger.last_change()
        self._follow(collection.id)
        self._unfinished[collection.id] = None
        self._build(collection.id, SEARCH_SECONDS)
        return self._open[collection.id][0].nearest(queries, k, allowed)

    def among(
        self, collection: Collection, queries: Vectors, k: int, rows: Rows
    ) -> list[list[int]]:
        """As :meth:`nearest` among so few ``rows`` that no file is made for them."""
        if collection.id in self._open:
            return self.nearest(collection, queries, k, rows)
        return Scan(self._ledger, collection, self._folder).nearest(queries, k, rows)

    def turn(self) -> bool:
        """Go on with a file that is not complete; whether there is more to do."""
        for collection in self._unfinished:
            self._build(collection, TURN_SECONDS)
            break
        return bool(self._unfinished)

    def _build(self, collection: int, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._open[collection][0].step():
            if time.monotonic() >= end:
                return
        del self._unfinished[collection]

    def follow(self) -> None:
        """Tell all what was logged, before the log is cut."""
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
            self._unfinished.pop(collection, None)
            self._open.pop(collection)[0].close()

    def close(self) -> None:
        self.keep(())
        shutil.rmtree(self._folder, ignore_errors=True)
