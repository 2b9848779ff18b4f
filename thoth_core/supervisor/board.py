"""The books of dispatch: what is open, where it waits, and how it is answered. Pure.

``dispatch`` changes these books on events, ``assign`` gives out work from them, ``outcomes`` enters
what comes back, ``suspects`` what the death of a worker says of a text. Each request leaves them by
exactly one of :meth:`Board.finish`, :meth:`Board.fail` and :meth:`Board.forget`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from thoth_core.errors import ThothError
from thoth_core.supervisor.counters import Counters
from thoth_core.supervisor.pool import Worker
from thoth_core.supervisor.quarantine import Entry, Quarantine
from thoth_core.supervisor.requests import (
    MODELLED,
    READS,
    WRITES,
    Call,
    Phase,
    Request,
    Unit,
    plain_name,
)
from thoth_core.supervisor.store_line import StoreLine
from thoth_core.supervisor.team import Team
from thoth_core.supervisor.units import estimate_tokens, form_units
from thoth_core.wire import Buffer, Message, error_message

#: A write number is ``(epoch << EPOCH_SHIFT) + counter``.
EPOCH_SHIFT = 40


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


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A text is not tried any more; the list is to be written."""

    entry: Entry

    def __str__(self) -> str:
        entry = self.entry
        return (
            f"a text of {entry.characters} characters is in quarantine as {entry.key}: it ended "
            f"its worker {entry.deaths} times while it ran alone ({entry.signal or entry.reason})"
        )


Action = ToClient | ToWorker | ToStore | Useful | Stalled | Quarantined


class Board:
    """``model`` is the name of the service's own model."""

    def __init__(self, quarantine: Quarantine | None = None, model: str = "") -> None:
        self.own = Team(model)
        #: By the name that they are asked for by, in the order in which they have their turn.
        self.teams: dict[str, Team] = {model: self.own}
        self.store = StoreLine()
        self.requests: dict[str, Request] = {}
        self.units: dict[str, Unit] = {}
        self.counters = Counters()
        self.out: list[Action] = []
        self.quarantine = Quarantine() if quarantine is None else quarantine
        #: How many texts were found to be poison.
        self.verdicts = 0
        #: Units whose vectors are with the store.
        self.handed: set[Unit] = set()
        self.bytes = 0
        self._serial = 0

    # -- teams --------------------------------------------------------------------------------

    def team(self, name: str) -> Team:
        """The team that is asked for by this name, made if there is none; the service's own for ""
        and for what that calls itself. What others call themselves says nothing: one in a folder
        may have the name of another model."""
        team = self.team_there(name)
        if team is None:
            team = self.teams[name] = Team(name)
        return team

    def team_there(self, name: str) -> Team | None:
        """As :meth:`team`; None if there is none, and none is made."""
        if not name or self.own.is_called(name):
            return self.own
        called = (t for t in self.teams.values() if plain_name(t.name) == plain_name(name))
        return next(called, None)

    def team_of(self, model: Mapping[str, Any]) -> Team | None:
        """The team whose model has this identity; None if none is known to."""
        return next((team for team in self.teams.values() if team.model == model), None)

    def find_worker(self, slot: str, incarnation: str) -> tuple[Team, Worker] | None:
        """The worker, if it is still that incarnation, and the team that it is in."""
        for team in self.teams.values():
            if (worker := team.pool.get(slot, incarnation)) is not None:
                return team, worker
        return None

    def workers(self) -> Iterator[Worker]:
        for team in self.teams.values():
            yield from team.pool.workers.values()

    # -- what is asked ------------------------------------------------------------------------

    def enter(self, request: Request) -> None:
        """Put a request on the books."""
        self.requests[request.id] = request
        self.bytes += request.size
        if request.kind in MODELLED:
            request.team.open[request.interactive] += 1

    def move(self, request: Request, team: Team) -> None:
        """Have another team embed the texts of the request, all of them anew."""
        for unit in list(request.units):
            self.drop_unit(unit)
        for call in request.calls:
            self.store.drop(call)
        request.calls.clear()
        request.team.bulk.discard(request)
        request.pending.clear()
        request.team.open[request.interactive] -= 1
        team.open[request.interactive] += 1
        request.team, request.compared = team, -1
        request.errors = list(request.refused)
        request.left = request.total - len(request.errors)
        request.superseded = []
        for count in ("embedded", "reused", "unchanged", "windowed", "tokens"):
            setattr(request, count, 0)

    def number(self, request: Request) -> int:
        """The request's write number; the same on all its attempts."""
        return (self.store.epoch << EPOCH_SHIFT) + request.number

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
            groups = form_units(
                [estimate_tokens(texts[i]) for i in items], *request.team.pool.bounds()
            )
        for group in groups:
            self.queue(self.new_unit(request, [items[g] for g in group]))

    def new_unit(self, request: Request, items: list[int], deaths: int = 0) -> Unit:
        """A unit that is in no line yet."""
        self._serial += 1
        unit = Unit(f"u{self._serial}", request, items, request.team, deaths=deaths)
        self.units[unit.id] = unit
        request.units.add(unit)
        return unit

    def queue(self, unit: Unit, *, front: bool = False) -> None:
        """Where a unit waits for a worker, or for the verdict about a text in it."""
        request = unit.request
        unit.phase, unit.slot, unit.early, unit.alone = Phase.QUEUED, "", None, False
        if unit.cases:
            return
        if request.interactive:
            unit.team.interactive.add(unit, front=front)
            return
        if front:
            request.pending.appendleft(unit)
        else:
            request.pending.append(unit)
        if request not in unit.team.bulk:
            self.take_turn(request)

    def take_turn(self, request: Request) -> None:
        """Put a bulk request behind all others."""
        self._serial += 1
        request.turn = self._serial
        request.team.bulk.add(request)

    # -- what goes wrong ----------------------------------------------------------------------

    def requeue(self, unit: Unit) -> None:
        """The unit is to be embedded again, through no fault of its own."""
        self.handed.discard(unit)
        if unit is unit.team.alone:
            unit.team.alone = unit.team.tried = None
        if unit.request.own:
            self.drop_unit(unit)
            return
        self.counters["units_retried"] += 1
        self.queue(unit, front=True)

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
        if request.kind in MODELLED:
            request.team.open[request.interactive] -= 1
        request.team.bulk.discard(request)
        request.pending.clear()
        for unit in list(request.units):
            self.drop_unit(unit)
        for call in request.calls:
            self.store.drop(call)

    def drop_unit(self, unit: Unit) -> None:
        """Forget a unit. A worker that has it is told so, and keeps it in its credit until it
        answers or dies, because it may be running it. If it runs alone, that goes on until then,
        and is a verdict all the same."""
        self.units.pop(unit.id, None)
        unit.request.units.discard(unit)
        self.handed.discard(unit)
        for case in unit.cases:
            case.waiting.pop(unit, None)
        unit.cases.clear()
        if unit.phase is Phase.QUEUED:
            # One in the line of its own request goes with that line.
            unit.team.interactive.discard(unit)
        elif unit.slot:
            self.release(unit)
        unit.phase = Phase.DONE

    def release(self, unit: Unit) -> None:
        """Tell the unit's worker to forget its vectors, or not to begin with it."""
        worker = unit.team.pool.workers.get(unit.slot)
        if worker is None or (unit not in worker.units and unit not in worker.kept):
            return
        worker.kept.discard(unit)
        message = Message("release", incarnation=worker.incarnation, body={"units": [unit.id]})
        self.out.append(ToWorker(worker.slot, worker.incarnation, message))
