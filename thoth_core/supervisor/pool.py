"""The embed workers as dispatch sees them, and which of them a unit goes to. Pure.

Interactive work never waits behind bulk: it has a worker of its own, and takes a bulk worker while
that one is away, or an idle one while it is full. Bulk work takes the interactive worker only when
no bulk worker can come back. A unit whose worker died runs alone: in a bulk worker that holds
nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from thoth_core.errors import ThothError
from thoth_core.supervisor.requests import Unit


@dataclass(slots=True, eq=False)
class Worker:
    """A READY embed worker. ``units`` are in the order in which they were sent; the worker takes
    them in that order, so the first is the one that runs."""

    slot: str
    incarnation: str
    lane: str
    credit: int
    max_items: int
    max_tokens: int
    #: Units beyond its credit that it takes for somebody who waits.
    spare: int = 1
    units: list[Unit] = field(default_factory=list)
    #: Handed to the store and kept by the worker until they are released.
    kept: set[Unit] = field(default_factory=set)
    #: When its work last moved on; None while it has none, or since it has some again.
    moved: float | None = None
    #: The progress counter of its last beat.
    steps: int = 0
    #: It made no progress for so long that its end was asked for.
    stalled: bool = False

    @property
    def free(self) -> int:
        return self.credit - len(self.units)


@dataclass(frozen=True, slots=True)
class Staff:
    """Who of a model's workers can be had: ``problem`` is why none can be at all; ``hopeless`` are
    the lanes without a worker to come, ``failed`` the slots that will have none for long, and
    ``slots`` all that there are; none if that is not known."""

    problem: ThothError | None = None
    hopeless: frozenset[str] = frozenset()
    failed: frozenset[str] = frozenset()
    slots: frozenset[str] = frozenset()


class Pool:
    def __init__(self) -> None:
        self.workers: dict[str, Worker] = {}
        #: Slots whose worker was told to end: it finishes what it has and gets nothing new.
        self.leaving: frozenset[str] = frozenset()
        #: Lanes whose slots have all failed or were stopped.
        self.hopeless: frozenset[str] = frozenset()
        #: All slots of the model; none if that is not known.
        self.slots: frozenset[str] = frozenset()
        #: Slots whose worker cannot be kept running, or was stopped.
        self.failed: frozenset[str] = frozenset()
        #: The bulk slot that is kept for units which run alone, while there are any.
        self._host = ""

    def add(self, slot: str, incarnation: str, lane: str, info: Mapping[str, Any]) -> Worker:
        credit = info.get("credit")
        credit = credit if isinstance(credit, Mapping) else {}
        worker = Worker(
            slot,
            incarnation,
            lane,
            credit=max(1, int(credit.get("units", 1))),
            max_items=max(1, int(credit.get("items", 32))),
            max_tokens=max(1, int(credit.get("tokens", 4096))),
            spare=max(1, int(credit.get("spare", 1))),
        )
        self.workers[slot] = worker
        return worker

    def remove(self, slot: str) -> Worker | None:
        return self.workers.pop(slot, None)

    def get(self, slot: str, incarnation: str) -> Worker | None:
        """The worker, if it is still that incarnation."""
        worker = self.workers.get(slot)
        return worker if worker is not None and worker.incarnation == incarnation else None

    def bounds(self) -> tuple[int, int]:
        """Items and tokens that a unit may have: what every worker here can take."""
        if not self.workers:
            return 32, 4096
        return (
            min(w.max_items for w in self.workers.values()),
            min(w.max_tokens for w in self.workers.values()),
        )

    def for_interactive(self) -> Worker | None:
        own = [w for w in self._there() if w.lane == "interactive" and w.slot != self._host]
        if free := [w for w in own if w.free > 0]:
            return _freest(free)
        bulk = [w for w in self._bulk() if w.slot != self._host]
        if own:
            # It is full, or hangs; nobody has to wait for it while another does nothing.
            return _freest([w for w in bulk if not w.units])
        # Beyond the credit: a full bulk worker takes it after those that it holds.
        return _freest([w for w in bulk if w.free > -w.spare])

    def for_bulk(self) -> Worker | None:
        return _freest([w for w in self._bulk() if w.free > 0 and w.slot != self._host])

    def serves_bulk(self, worker: Worker) -> bool:
        """Whether bulk work that is not to run alone goes to this worker too."""
        return worker.slot != self._host and worker in self._bulk()

    def host(self, wanted: bool) -> Worker | None:
        """The worker that a unit can run alone in, once it is empty. ``wanted`` says whether
        there is such a unit; when not, the slot goes back to the others. It stays the host while
        its worker is started again: a second one is not taken from the bulk work for that."""
        if not wanted:
            self._host = ""
            return None
        if not self._keeps_host():
            bulk = self._bulk()
            if not bulk:
                return None
            self._host = max(bulk, key=lambda w: w.free).slot
        if self._host in self.leaving:
            return None
        worker = self.workers.get(self._host)
        return worker if worker is not None and not worker.units else None

    def is_only(self, worker: Worker) -> bool:
        """Whether no other bulk worker is here."""
        return all(each is worker for each in self._bulk())

    def is_alone(self, worker: Worker) -> bool:
        """Whether no other worker at all is here."""
        return all(each is worker for each in self._there())

    @property
    def host_is_away(self) -> bool:
        """The slot that is kept for units which run alone has no worker at the moment."""
        return bool(self._host) and self._host not in self.workers

    def serves(self, *, interactive: bool) -> bool:
        """Whether a worker for such work is here, busy or not."""
        return bool(self.workers if interactive else self._bulk())

    def _keeps_host(self) -> bool:
        if not self._host or self._host in self.failed:
            return False
        if self.slots and self._host not in self.slots:
            # That of another model was ended for good: nobody comes there again.
            return False
        worker = self.workers.get(self._host)
        # One of another lane, which stood in, is let go when it need not any more.
        return worker is None or self._host in self.leaving or worker in self._bulk()

    def _there(self) -> list[Worker]:
        return [w for w in self.workers.values() if w.slot not in self.leaving]

    def _bulk(self) -> list[Worker]:
        bulk = [w for w in self._there() if w.lane == "bulk"]
        if not bulk and "bulk" in self.hopeless:
            return self._there()
        return bulk


def _freest(workers: list[Worker]) -> Worker | None:
    return max(workers, key=lambda w: w.free, default=None)
