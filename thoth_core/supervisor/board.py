"""The books of dispatch: what is open, where it waits, and how it is answered. Pure.

``dispatch`` changes these books on events, ``assign`` gives out work from them, ``outcomes`` enters
what comes back. Each request leaves them by exactly one of :meth:`Board.finish`,
:meth:`Board.fail` and :meth:`Board.forget`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from thoth_core.errors import PoisonInput, ThothError
from thoth_core.supervisor.counters import Counters
from thoth_core.supervisor.pool import Pool
from thoth_core.supervisor.requests import READS, WRITES, Call, Phase, Request, Unit
from thoth_core.supervisor.store_line import StoreLine
from thoth_core.supervisor.units import estimate_tokens, form_units
from thoth_core.supervisor.waiting import Waiting
from thoth_core.wire import Buffer, Message, error_message

#: A write number is ``(epoch << EPOCH_SHIFT) + counter``.
EPOCH_SHIFT = 40
#: An item that ends its worker so often while it runs alone is not tried again.
POISON_DEATHS = 2


@dataclass(frozen=True, slots=True)
class ToClient:
    client: bytes
    message: Message


@dataclass(frozen=True, slots=True)
class ToWorker:
    """For the slot's worker of just that incarnation; dropped if it is another by now."""

    slot: str
    incarnation: str
    message: Message


@dataclass(frozen=True, slots=True)
class ToStore:
    incarnation: str
    message: Message


@dataclass(frozen=True, slots=True)
class Useful:
    """The slot's worker did useful work; ``store`` for the store's slot."""

    slot: str


@dataclass(frozen=True, slots=True)
class Stalled:
    """The slot's worker has work and makes no progress: it is to be ended."""

    slot: str
    incarnation: str


Action = ToClient | ToWorker | ToStore | Useful | Stalled


class Board:
    def __init__(self) -> None:
        self.pool = Pool()
        self.store = StoreLine()
        self.requests: dict[str, Request] = {}
        self.units: dict[str, Unit] = {}
        self.counters = Counters()
        #: The identity of the running model, from the first READY on.
        self.model: Mapping[str, Any] | None = None
        self.out: list[Action] = []
        #: Units that somebody waits for, units that run alone, and the one that does now.
        self.interactive: Waiting[Unit] = Waiting(_admitted, _needs_store)
        self.suspects: Waiting[Unit] = Waiting(_admitted, _needs_store)
        self.alone: Unit | None = None
        #: Requests with units that wait, in turn.
        self.bulk: Waiting[Request] = Waiting(lambda r: r.turn, lambda r: r.needs_store)
        #: Units whose vectors are with the store.
        self.handed: set[Unit] = set()
        self.bytes = 0
        self._serial = 0

    def number(self, request: Request) -> int:
        """The request's write number; the same on all its attempts."""
        return (self.store.epoch << EPOCH_SHIFT) + request.number

    # -- what is asked ------------------------------------------------------------------------

    def ask(
        self,
        request: Request,
        kind: str,
        body: dict[str, Any],
        buffers: tuple[Buffer, ...] = (),
    ) -> None:
        """Put a call to the store in line."""
        self._serial += 1
        size = request.size if kind in READS | WRITES else 256 * max(1, request.total)
        call = Call(f"c{self._serial}", request, kind, body, buffers, size, request.interactive)
        request.calls.add(call)
        self.store.push(call)

    def make_units(self, request: Request, items: list[int]) -> None:
        """Turn these items of the request into units that wait."""
        texts = request.body["texts"]
        if request.kind == "query":
            groups = [list(range(len(items)))]
        else:
            groups = form_units([estimate_tokens(texts[i]) for i in items], *self.pool.bounds())
        for group in groups:
            self._add_unit(request, [items[g] for g in group])

    def _add_unit(self, request: Request, items: list[int], *, alone: bool = False) -> None:
        self._serial += 1
        unit = Unit(f"u{self._serial}", request, items, alone=alone)
        self.units[unit.id] = unit
        request.units.add(unit)
        self.queue(unit)

    def queue(self, unit: Unit, *, front: bool = False) -> None:
        """Where a unit waits for a worker."""
        request = unit.request
        unit.phase, unit.slot, unit.early = Phase.QUEUED, "", None
        if unit.alone or request.interactive:
            (self.suspects if unit.alone else self.interactive).add(unit, front=front)
            return
        if front:
            request.pending.appendleft(unit)
        else:
            request.pending.append(unit)
        if request not in self.bulk:
            self.take_turn(request)

    def take_turn(self, request: Request) -> None:
        """Put a bulk request behind all others."""
        self._serial += 1
        request.turn = self._serial
        self.bulk.add(request)

    # -- what goes wrong ----------------------------------------------------------------------

    def requeue(self, unit: Unit) -> None:
        """The unit is to be embedded again, through no fault of its own."""
        self.handed.discard(unit)
        if unit is self.alone:
            self.alone = None
        self.counters["units_retried"] += 1
        self.queue(unit, front=True)

    def suspect(self, unit: Unit) -> None:
        """The unit's worker died while it ran: from now on its items run alone, one by one, and
        one that ends its worker again and again is given up."""
        if unit.alone:
            unit.deaths += 1
            if unit.deaths >= POISON_DEATHS:
                self._poisoned(unit)
            else:
                self.requeue(unit)
            return
        if len(unit.items) == 1 or unit.request.kind == "query":
            unit.alone = True
            self.requeue(unit)
            return
        self.counters["units_retried"] += 1
        self.drop_unit(unit)
        for item in unit.items:
            self._add_unit(unit.request, [item], alone=True)

    def _poisoned(self, unit: Unit) -> None:
        self.counters["texts_poisoned"] += 1
        request = unit.request
        self.drop_unit(unit)
        for item in unit.items:
            problem = PoisonInput(
                f"text {item} ended the process that embeds it {unit.deaths} times while it ran "
                "alone",
                fix="leave this text out; thoth-supervisor logs shows how the process ended",
                indices=[item],
            )
            request.errors.append((item, problem.to_dict()))
        request.left -= len(unit.items)

    # -- how it ends --------------------------------------------------------------------------

    def finish(
        self, request: Request, body: Mapping[str, Any], buffers: tuple[Buffer, ...] = ()
    ) -> None:
        """The one answer of a request that went well."""
        self.counters["requests_answered"] += 1
        self.out.append(
            ToClient(request.client, Message("result", request.id, body=body, buffers=buffers))
        )
        self.forget(request)

    def fail(self, request: Request, problem: ThothError) -> None:
        """The one answer of a request that did not."""
        if self.requests.get(request.id) is not request:
            return
        self.counters["requests_failed"] += 1
        self.out.append(ToClient(request.client, error_message(problem, request.id)))
        self.forget(request)

    def forget(self, request: Request) -> None:
        """Take the request and all that belongs to it off the books."""
        if self.requests.get(request.id) is not request:
            return
        del self.requests[request.id]
        self.bytes -= request.size
        self.bulk.discard(request)
        request.pending.clear()
        for unit in list(request.units):
            self.drop_unit(unit)
        for call in request.calls:
            self.store.drop(call)

    def drop_unit(self, unit: Unit) -> None:
        """Forget a unit. A worker that has it is told so, and keeps it in its credit until it
        answers or dies, because it may be running it."""
        self.units.pop(unit.id, None)
        unit.request.units.discard(unit)
        self.handed.discard(unit)
        if unit is self.alone:
            self.alone = None
        if unit.phase is Phase.QUEUED:
            # One in the line of its own request goes with that line.
            self.suspects.discard(unit)
            self.interactive.discard(unit)
        elif unit.slot:
            self.release(unit)
        unit.phase = Phase.DONE

    def release(self, unit: Unit) -> None:
        """Tell the unit's worker to forget its vectors, or not to begin with it."""
        worker = self.pool.workers.get(unit.slot)
        if worker is None or (unit not in worker.units and unit not in worker.kept):
            return
        worker.kept.discard(unit)
        message = Message("release", incarnation=worker.incarnation, body={"units": [unit.id]})
        self.out.append(ToWorker(worker.slot, worker.incarnation, message))


def _admitted(unit: Unit) -> int:
    return unit.request.number


def _needs_store(unit: Unit) -> bool:
    return unit.request.needs_store
