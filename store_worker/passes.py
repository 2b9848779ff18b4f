"""What is known of how complete a collection's next generation is: read by slices, kept in memory.

A pass goes over the collection once, row by row, and keeps the ids that its generation lacks. What
changes in either of the two after that is known from the change log. So the switch has to look at a
few rows only, and still knows of every one. A store that ends forgets its passes; the next one goes
over the rows again, which embeds nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from store_worker import ledger_generations
from store_worker.ledger import Ledger
from store_worker.ledger_collections import Collection, everything

#: Rows that one call compares, and ids that it compares once more.
COMPARED_ROWS = 2000
COMPARED_AGAIN = 1000
#: Seconds that writes to a collection are kept out so that its generation can catch up.
HOLD_SECONDS = 5.0


@dataclass(slots=True)
class Found:
    """Ids that the generation lacks, in order; ``after`` is the last row that was compared, and
    ``end`` says that it was the last of all."""

    lacking: list[str]
    after: int
    end: bool = False


@dataclass(slots=True)
class Pass:
    """``doubtful`` are ids that have to be compared once more, oldest first."""

    ledger: Ledger
    collection: Collection
    generation: Collection
    cursor: int = 0
    ended: bool = False
    doubtful: dict[str, None] = field(default_factory=dict)
    #: Not in the collection any more; whether in the generation is looked at in the end.
    gone: set[str] = field(default_factory=set)
    seen: int = -1

    def __post_init__(self) -> None:
        if self.seen < 0:
            self.seen = self.ledger.last_change()

    def copy(self) -> Pass:
        """The same, to be used inside a transaction that may come to nothing."""
        return Pass(
            self.ledger,
            self.collection,
            self.generation,
            self.cursor,
            self.ended,
            dict(self.doubtful),
            set(self.gone),
            self.seen,
        )

    def follow(self) -> None:
        """Read the change log, before it is cut too."""
        last = self.ledger.last_change()
        if last == self.seen:
            return
        for each in (self.collection, self.generation):
            changes = self.ledger.changes_of(each.id, self.seen)
            self.doubtful.update((id, None) for id, _, _ in changes)
        self.seen = last

    def go_on(self, after: int, most: int) -> Found:
        """Compare the rows after ``after`` until ``most`` are lacking."""
        self.follow()
        self._again(COMPARED_AGAIN)
        pairs = ledger_generations.compare_after(
            self.ledger, self.collection.id, self.generation.id, after, COMPARED_ROWS
        )
        found = Found([], after, end=len(pairs) < COMPARED_ROWS)
        for row, id, lacks in pairs:
            if lacks and len(found.lacking) == most:
                found.end = False
                break
            if lacks:
                found.lacking.append(id)
            found.after = row
        self.doubtful.update((id, None) for id in found.lacking)
        if after <= self.cursor:
            self.cursor = max(self.cursor, found.after)
            self.ended = self.ended or found.end
        return found

    def left(self, most: int) -> list[str]:
        """Up to ``most`` of the doubtful ids that are lacking still; so many are compared once more
        at least."""
        self.follow()
        return self._again(max(most, COMPARED_ROWS))[:most]

    def _again(self, limit: int) -> list[str]:
        ids = list(self.doubtful)[:limit]
        found = ledger_generations.compare(self.ledger, self.collection.id, self.generation.id, ids)
        for id in ids:
            if not found.get(id, False):
                del self.doubtful[id]
            if id in found:
                self.gone.discard(id)
            else:
                self.gone.add(id)
        return [id for id in ids if id in self.doubtful]


class Passes:
    """The passes of an open store, by the generation's id. ``clock`` is monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._open: dict[int, Pass] = {}
        self._held: dict[int, float] = {}

    def of(self, ledger: Ledger, collection: Collection, generation: Collection) -> Pass:
        """The pass over ``collection``; one that is begun if there is none."""
        known = self._open.get(generation.id)
        if known is None:
            self._keep(ledger)
            known = self._open[generation.id] = Pass(ledger, collection, generation)
        return known

    def get(self, generation: int) -> Pass | None:
        """The pass that was begun for a generation, if this store has one."""
        return self._open.get(generation)

    def follow(self) -> None:
        """Read the change log before it is cut."""
        for each in self._open.values():
            each.follow()

    def hold(self, collection: int) -> None:
        """Keep writes to a collection out for a while."""
        self._held[collection] = self._clock() + HOLD_SECONDS

    def held(self, collection: int) -> bool:
        return self._clock() < self._held.get(collection, float("-inf"))

    @property
    def holding(self) -> bool:
        """Whether writes to some collection may have to be kept out."""
        return bool(self._held)

    def _keep(self, ledger: Ledger) -> None:
        there = {each.id for each in everything(ledger) if each.replaces is not None}
        self._open = {id: each for id, each in self._open.items() if id in there}
        self._held = {id: end for id, end in self._held.items() if self.held(id)}
