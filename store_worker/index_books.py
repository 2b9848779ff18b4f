"""What is known of the index: how far it is in the ledger's log, which collections it was given,
and what the ledger has noted for the next store."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from store_worker import ledger_collections, ledger_queries
from store_worker.hindered import Hindered
from store_worker.index_notes import IndexNotes
from store_worker.index_requests import IndexRequests
from store_worker.lag import Lag
from store_worker.ledger import Ledger
from store_worker.recovery import Recovery
from store_worker.recovery_steps import Policy

#: Rows that are compared with the ledger at every start; more, only after an end that was no good
#: one: a second for each hundred thousand.
COMPARED_ROWS = 200_000
#: Changes that the index may lack when it is asked: each is looked up in the ledger besides.
LACKING = 256


class IndexBooks:
    """The keeper asks by them, and ``index_answers`` enters what comes back."""

    def __init__(
        self, ledger: Ledger, log: logging.Logger, lag: Lag, policy: Policy | None
    ) -> None:
        self.ledger = ledger
        self.notes = IndexNotes(ledger)
        # Whoever opened the index meanwhile may have changed it; only a long look is spared.
        spared = self.notes.clean and ledger_queries.total(ledger) > COMPARED_ROWS
        self.recovery = Recovery(
            self.notes.generation, self.notes.fills, clean=spared, policy=policy
        )
        #: How far the index is in the log; the ledger knows how far it is on disk.
        self.applied = ledger.watermark
        self.lag = lag
        #: The collections that the index was given, id to name.
        self.given: dict[int, str] = {}
        self.last_exit: dict[str, Any] | None = None
        #: Called before the changes that the index has are forgotten: whoever reads the log must
        #: have read them.
        self.before_log_is_cut: list[Callable[[], None]] = []
        self.requests = IndexRequests()
        self.hindered = Hindered(log)

    @property
    def behind(self) -> int:
        """Changes that the index has yet to be told, the rows of a rebuild not counted."""
        return self.ledger.last_change() - self.applied

    @property
    def nearly_up_to_date(self) -> bool:
        """Whether the index serves, and lacks so few changes that whoever asks it can look these up
        beside it."""
        return self.recovery.serves and self.behind <= LACKING

    def lacks(self, collection: int) -> set[str]:
        """The ids of a collection that changed since the index was told of changes."""
        if not self.behind:
            return set()
        return {id for id, _, _ in self.ledger.changes_of(collection, self.applied)}

    @property
    def renamed(self) -> bool:
        """Whether the ledger's collections are others than those that the index was given."""
        names = {each.id: each.name for each in ledger_collections.everything(self.ledger)}
        return names != self.given

    @property
    def rows_left(self) -> int:
        """Rows that the index has yet to be given in a rebuild."""
        fills = self.recovery.fills.items()
        return ledger_queries.rows_left(self.ledger, {c: (f.after, f.upto) for c, f in fills})

    def read_log(self) -> None:
        """Have everybody read the log who must have, before it is cut."""
        for read in self.before_log_is_cut:
            read()

    def note(self, *, clean: bool = False, settled: int | None = None) -> None:
        """Note how the index is, on disk. :class:`~thoth_core.errors.StorageError`."""
        recovery = self.recovery
        self.notes.write(recovery.generation, recovery.fills, clean=clean, settled=settled)
