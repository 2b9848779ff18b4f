"""Read transactions for exports: the ledger as it was at one moment, while others write on.

SQLite keeps what a reader may still want in the write-ahead log, which cannot be folded in as long
as one reads. So there are two at most, and one that nobody asks for a while ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from store_worker.ledger import Ledger
from store_worker.ledger_errors import translated
from thoth_core.errors import Overloaded, SnapshotLost

MOST = 2
#: Seconds without a call after which a snapshot ends.
IDLE_SECONDS = 120.0
#: Seconds after which a third one may be asked for again.
RETRY_SECONDS = 2.0
_CACHE_KIB = 4 * 1024


@dataclass(slots=True)
class Snapshot:
    """``ledger`` is for reading; all that is read from it is of one moment. ``used`` is when it was
    asked last."""

    ledger: Ledger
    used: float


class Snapshots:
    """The open ones by the names that clients gave them. For one thread; ``clock`` is monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._open: dict[str, Snapshot] = {}

    def __len__(self) -> int:
        return len(self._open)

    def open(self, name: str, path: Path) -> Snapshot:
        """A snapshot of the ledger at ``path``. Under a name that is open already it is that one,
        so that a repeated call takes no second place. :class:`Overloaded`."""
        self.expire()
        found = self._open.get(name)
        if found is not None:
            found.used = self._clock()
            return found
        if len(self._open) >= MOST:
            raise Overloaded(
                f"{MOST} exports read the ledger already",
                cause="as long as one does, the ledger's write-ahead log can only grow",
                fix="wait until one is done",
                retry_after=RETRY_SECONDS,
            )
        ledger = Ledger.reader(path)
        try:
            with translated(path):
                ledger.db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
                ledger.db.execute("BEGIN")
                # The moment is that of the first read.
                ledger.db.execute("SELECT count(*) FROM meta").fetchone()
        except BaseException:
            ledger.db.close()
            raise
        self._open[name] = Snapshot(ledger, self._clock())
        return self._open[name]

    def get(self, name: str) -> Snapshot:
        """The open snapshot; :class:`SnapshotLost`."""
        found = self._open.get(name)
        if found is None:
            raise SnapshotLost(
                "the state of the store that was being read is not kept any more",
                cause="the store was started again, or nobody asked for "
                f"{IDLE_SECONDS:.0f} seconds",
                fix="begin anew",
            )
        found.used = self._clock()
        return found

    def close(self, name: str) -> bool:
        """Let one go; whether it was there."""
        found = self._open.pop(name, None)
        if found is not None:
            found.ledger.db.close()
        return found is not None

    def expire(self) -> None:
        """Let go those that nobody asks any more."""
        horizon = self._clock() - IDLE_SECONDS
        for name in [name for name, each in self._open.items() if each.used <= horizon]:
            self.close(name)

    def close_all(self) -> None:
        for name in list(self._open):
            self.close(name)
