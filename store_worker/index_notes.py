"""What the ledger has noted about its index, for the next store."""

from __future__ import annotations

from collections.abc import Mapping

from store_worker import ledger_collections, ledger_queries
from store_worker.ledger import Ledger
from store_worker.recovery_steps import Fill


class IndexNotes:
    """``generation`` counts the indexes that were begun, ``why`` says what was wrong with the last
    one, ``fills`` are the rows that the present one has yet to be given. ``clean``: the last store
    ended in order, and nobody has opened the index since."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        notes = ledger.index_notes() or {}
        self.generation = int(notes.get("generation", 1))
        self.why = str(notes.get("why", ""))
        self.fills = {int(c): Fill(*fill) for c, fill in notes.get("fills", {}).items()}
        self.clean = bool(notes.get("clean"))

    def write(
        self,
        generation: int,
        fills: Mapping[int, Fill],
        *,
        clean: bool = False,
        settled: int | None = None,
        why: str | None = None,
    ) -> None:
        """Note it, on disk; with ``settled``, that the index has all changes up to that one on
        disk. :class:`~thoth_core.errors.StorageError`, and then nothing is changed."""
        why = self.why if why is None else why
        notes = {
            "generation": generation,
            "why": why,
            "fills": {str(c): [fill.after, fill.upto] for c, fill in fills.items()},
            "clean": clean,
        }
        self._ledger.note_index(notes, settled)
        self.generation, self.fills, self.clean, self.why = generation, dict(fills), clean, why

    def all_rows(self) -> dict[int, Fill]:
        """All rows of every collection that has some."""
        found = {
            each.id: Fill(0, ledger_queries.last_row(self._ledger, each.id))
            for each in ledger_collections.everything(self._ledger)
        }
        return {collection: fill for collection, fill in found.items() if fill.upto}
