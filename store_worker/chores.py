"""What the store does by slices between the calls, so that nobody waits long for it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from store_worker import ledger_generations
from store_worker.compaction import Compaction
from store_worker.ledger import Ledger
from thoth_core.errors import LedgerDamaged, StorageError

#: Rows deleted in one slice.
SWEPT_ROWS = 200
#: Seconds until a slice that failed is tried again, and between two slices under load.
RETRY_SECONDS, PACE_SECONDS = 2.0, 0.2


class Chores:
    """For one thread. ``clock`` is monotonic."""

    def __init__(
        self,
        ledger: Ledger,
        compaction: Compaction,
        log: logging.Logger,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._compaction = compaction
        self._log = log
        self._clock = clock
        self._next_at = float("-inf")

    def turn(self, *, busy: bool, paused: bool) -> float | None:
        """Do one slice if it is time for one; the seconds until there may be another, None if there
        is nothing to do. ``busy``: somebody waits. ``paused``: somebody reads an old state of the
        ledger, whose write-ahead log would grow with all that is done."""
        now = self._clock()
        if now < self._next_at:
            return self._next_at - now
        if not paused and self._sweep():
            waits: float | None = 0.0
        elif self._next_at > now:
            return self._next_at - now
        else:
            waits = self._compaction.turn(paused=paused)
        if busy and waits is not None and waits < PACE_SECONDS:
            self._next_at = self._clock() + PACE_SECONDS
            return PACE_SECONDS
        return waits

    def _sweep(self) -> bool:
        try:
            return ledger_generations.sweep(self._ledger, SWEPT_ROWS)
        except LedgerDamaged:
            raise
        except StorageError as problem:
            self._log.warning("rows that are gone were not deleted: %s", problem)
            self._next_at = self._clock() + RETRY_SECONDS
            return False
