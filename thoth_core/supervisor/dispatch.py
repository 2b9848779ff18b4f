"""The one authority on delivery: admission, order, retries, deadlines, answers. Pure.

Events go in with the monotonic time; actions come out of :meth:`Dispatch.actions`. No socket, no
clock, no thread. Every accepted request has exactly one final answer, ``result`` or ``error``,
whatever dies. A write keeps the number that it got when it was accepted on all its attempts, so
that a frame which arrives late can never undo a newer write.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from thoth_core.errors import (
    Cancelled,
    DeadlineExceeded,
    Overloaded,
    ThothError,
    WorkerFailed,
    from_dict,
)
from thoth_core.supervisor import outcomes, suspects
from thoth_core.supervisor.admission import Admission
from thoth_core.supervisor.assign import pump, send_again
from thoth_core.supervisor.begin import begin, with_reason
from thoth_core.supervisor.board import Action, Board, Stalled, ToClient, Useful
from thoth_core.supervisor.pool import Staff
from thoth_core.supervisor.quarantine import Ending, Quarantine, Runtime
from thoth_core.supervisor.requests import LONG, MODELLED, WRITES, Phase, Request, size_of
from thoth_core.supervisor.team import Team
from thoth_core.wire import Message, error_message

#: A call or hand-over that the store died of so often is given up.
STORE_DEATHS = 5
#: The store is not ended before so many seconds without progress: it may wait for others that have
#: the ledger, up to five seconds at a time.
STORE_PATIENCE = 15.0


@dataclass(frozen=True, slots=True)
class Limits:
    """``queue_bytes`` admitted at once; ``silence`` in seconds without progress, in which no embed
    worker is at work for the call either: those are judged by ``unit_timeout``."""

    queue_bytes: int = 256 * 1024 * 1024
    queue_requests: int = 20_000
    silence: float = 60.0
    #: Seconds without progress after which a worker that has work is ended.
    unit_timeout: float = 120.0
    max_text_chars: int = 1_000_000
    #: Whether workers can be had for other models than the service's own.
    other_models: bool = True

    @property
    def store_timeout(self) -> float:
        """Seconds without progress after which a store that has work is ended: early enough for its
        calls to be answered by the next one before they are given up as silent."""
        return min(max(self.unit_timeout, STORE_PATIENCE), max(self.silence / 2, STORE_PATIENCE))


class Dispatch:
    """``quarantine`` holds the texts that are refused at once; ``model`` is the name of the
    service's own model."""

    def __init__(
        self,
        limits: Limits | None = None,
        quarantine: Quarantine | None = None,
        model: str = "",
    ) -> None:
        self.limits = limits or Limits()
        self.board = Board(quarantine, model)
        self.admission = Admission(self.board, self.limits)

    def actions(self) -> list[Action]:
        """What is to be done since the last call, in order."""
        out, self.board.out = self.board.out, []
        return out

    @property
    def idle(self) -> bool:
        return not self.board.requests

    def queue(self) -> dict[str, int]:
        """Figures for ``status``."""
        board = self.board
        phases = [unit.phase for unit in board.units.values()]
        return {
            "requests": len(board.requests),
            "bytes": board.bytes,
            "items": sum(r.left for r in board.requests.values()),
            "units_waiting": phases.count(Phase.QUEUED),
            "units_embedding": phases.count(Phase.EMBEDDING),
            "units_handed": len(board.handed),
            "calls_waiting": board.store.waiting,
            "calls_in_flight": board.store.in_flight,
        }

    # -- clients ------------------------------------------------------------------------------

    def request(self, now: float, client: bytes, message: Message, size: int = 0) -> None:
        """A request arrived. ``size`` is that of its frames, in bytes."""
        board = self.board
        board.counters["requests_received"] += 1
        known = board.requests.get(message.id)
        if known is not None:
            if message.attempt < known.attempt:
                # It was sent over a connection that the client lost before it asked again.
                board.counters["frames_late"] += 1
                return
            # The client lost its connection and asks again: same request, new address.
            known.attempt = message.attempt
            if known.kind != "embed":
                known.client = client
                return
            # Pieces of the answer went to the old address, so this one starts afresh.
            board.forget(known)
        try:
            request = self.admission.admit(now, client, message, size_of(message, size))
        except ThothError as problem:
            board.counters["requests_refused"] += 1
            board.out.append(ToClient(client, error_message(problem, message.id)))
            return
        board.enter(request)
        begin(board, request)
        pump(board)

    def cancel(self, client: bytes, id: str) -> None:
        request = self.board.requests.get(id)
        if request is not None and request.client == client:
            self.board.fail(request, Cancelled("the caller took the call back"))
            pump(self.board)

    def client_gone(self, client: bytes) -> None:
        """Nothing can be sent to this client any more: its work is freed. An accepted write goes
        on, because its client may come back under another address and ask for the outcome."""
        for request in list(self.board.requests.values()):
            if request.client == client and request.kind not in WRITES | {"add"}:
                self.board.forget(request)
        pump(self.board)

    # -- embed workers ------------------------------------------------------------------------

    def worker_ready(
        self, slot: str, incarnation: str, lane: str, info: Mapping[str, Any], model: str = ""
    ) -> None:
        """The slot's worker is READY and said ``info`` about itself and its model, which is asked
        for as ``model``: "" is the service's own."""
        board = self.board
        team = board.teams.get(model) or board.team(model)
        team.pool.add(slot, incarnation, lane, info)
        team.runtime = Runtime.from_ready(info)
        identity = info.get("model")
        if isinstance(identity, Mapping):
            known, team.model = team.model, identity
            if known is not None and known != identity:
                self._model_changed(team)
            for request in list(board.requests.values()) if known is None else ():
                if request.kind not in MODELLED:
                    continue
                asked = request.asked_model
                if team is board.own and asked and team.is_called(asked):
                    # Which model that is may be known only now.
                    board.move(request, team)
                if request.team is team and not request.units:
                    begin(board, request)
        pump(board)

    def worker_gone(
        self, slot: str, incarnation: str, *, blame: bool, ending: Ending | None = None
    ) -> None:
        """The process ended. With ``blame``, what it was running may have been the cause;
        ``ending`` is what is known of how it ended."""
        board = self.board
        found = board.find_worker(slot, incarnation)
        if found is None:
            return
        team, worker = found
        team.pool.remove(slot)
        for unit in list(worker.kept):
            if unit.phase is Phase.HANDED:
                # The store may have it, but nobody could send it again: embed it elsewhere.
                board.requeue(unit)
        # In reverse, because each goes to the front of its queue.
        for position, unit in reversed(list(enumerate(worker.units))):
            if position == 0 and blame:
                suspects.blamed(board, unit, ending or Ending())
            elif position == 0:
                suspects.killed(board, unit)
            elif unit.phase is Phase.EMBEDDING:
                board.requeue(unit)
        board.counters["embed_workers_ended"] += 1
        pump(board)

    def worker_message(self, now: float, slot: str, incarnation: str, message: Message) -> None:
        """``started``, ``done``, ``handed``, ``error`` or ``missing`` from a worker."""
        board = self.board
        found = board.find_worker(slot, incarnation)
        if found is None:
            board.counters["frames_late"] += 1
            return
        team, worker = found
        worker.moved = now
        unit = board.units.get(message.id)
        if unit is None or unit.slot != slot or unit.attempt != message.attempt:
            board.counters["frames_late"] += 1
            if message.kind != "started":
                # Of a call that was given up: only the worker's credit comes back.
                worker.units = [u for u in worker.units if u.id != message.id or u is unit]
                if unit is None:
                    done = message.kind in ("done", "handed")
                    suspects.taken_back(board, team, worker, message.id, done=done)
                pump(board)
            return
        self._progressed(now, unit.request)
        if unit is team.alone:
            team.trial_moved = now
        if message.kind == "missing" and unit.phase is Phase.HANDED:
            worker.kept.discard(unit)
            board.requeue(unit)
        elif unit.phase is Phase.EMBEDDING and message.kind != "started":
            worker.units.remove(unit)
            if unit is team.alone and message.kind in ("done", "handed", "error"):
                suspects.passed(board, team, worker)
            if message.kind == "done":
                board.out.append(Useful(slot))
                outcomes.unit_done(board, unit, message)
            elif message.kind == "handed":
                board.out.append(Useful(slot))
                outcomes.unit_handed(board, worker, unit, message)
            elif message.kind == "error":
                outcomes.unit_refused(board, unit, from_dict(message.body))
            else:
                board.requeue(unit)
        pump(board)

    def worker_beat(self, now: float, slot: str, incarnation: str, steps: int) -> None:
        """The worker's progress counter, as it said it last."""
        found = self.board.find_worker(slot, incarnation)
        worker = found[1] if found is not None else None
        if worker is not None and worker.steps != steps:
            worker.steps, worker.moved = steps, now

    def _end_stalled(self, now: float) -> None:
        for worker in self.board.workers():
            if not worker.units:
                worker.moved = None
            elif worker.moved is None:
                worker.moved = now
            elif now - worker.moved >= self.limits.unit_timeout:
                # Once: what follows is its death.
                worker.moved, worker.stalled = now, True
                self.board.out.append(Stalled(worker.slot, worker.incarnation))
        store = self.board.store
        if store.hangs(now, self.limits.store_timeout, handed=bool(self.board.handed)):
            self.board.out.append(Stalled("store", store.incarnation))

    # -- the store ----------------------------------------------------------------------------

    def store_beat(self, now: float, incarnation: str, steps: int, *, busy: bool) -> None:
        """The store's progress counter, and whether it has work, as it said them last."""
        self.board.store.beat(now, incarnation, steps, busy=busy)

    def store_ready(self, incarnation: str, endpoint: str, epoch: int) -> None:
        board = self.board
        board.store.opened(incarnation, endpoint, epoch)
        for unit in sorted(board.handed, key=lambda u: int(u.id[1:])):
            send_again(board, unit)
        pump(board)

    def store_gone(self, incarnation: str, *, blame: bool) -> None:
        board = self.board
        if incarnation != board.store.incarnation:
            return
        for call in board.store.lost(blame=blame):
            if call.deaths >= STORE_DEATHS and not call.dropped:
                board.fail(call.request, _store_keeps_dying(call.deaths))
        for unit in list(board.handed):
            unit.store_deaths += int(blame)
            if unit.store_deaths >= STORE_DEATHS:
                board.fail(unit.request, _store_keeps_dying(unit.store_deaths))
        board.counters["store_workers_ended"] += 1
        pump(board)

    def store_message(self, now: float, message: Message) -> None:
        """``result`` or ``error`` from the store, for a call of ours or a unit of a worker's."""
        board = self.board
        if message.incarnation == board.store.incarnation:
            board.store.moved = now
        unit = board.units.get(message.id)
        if unit is not None:
            if (
                unit.attempt != message.attempt
                or unit.phase not in (Phase.EMBEDDING, Phase.HANDED)
                or message.incarnation != board.store.incarnation
            ):
                board.counters["frames_late"] += 1
                return
            self._progressed(now, unit.request)
            board.out.append(Useful("store"))
            if unit.phase is Phase.EMBEDDING:
                # Two sockets: the store's answer may overtake the worker's.
                unit.early = message
            else:
                outcomes.unit_stored(board, unit, message)
            pump(board)
            return
        call = board.store.answered(message.id, message.attempt, message.incarnation)
        if call is None:
            board.counters["frames_late"] += 1
            return
        board.out.append(Useful("store"))
        if board.requests.get(call.request.id) is call.request and not call.dropped:
            self._progressed(now, call.request)
            call.request.calls.discard(call)
            outcomes.call_answered(board, call, message)
        pump(board)

    # -- the service --------------------------------------------------------------------------

    def availability(
        self,
        *,
        store: ThothError | None,
        leaving: frozenset[str] = frozenset(),
        staff: Mapping[str, Staff] | None = None,
    ) -> None:
        """Why no store can be had at all; None while one is there or on its way. ``leaving`` are
        the slots whose worker was told to end and gets nothing new. ``staff`` tells of the models
        that have slots, by name; the service's own has some always."""
        board, staff = self.board, staff or {}
        self.admission.no_store = store
        board.store.leaving = "store" in leaving
        changed = store is not None
        for name, team in list(board.teams.items()):
            if name not in staff and team is not board.own and team.at_rest:
                del board.teams[name]
                continue
            pool, mine = team.pool, staff.get(name, Staff())
            state = (mine.hopeless, leaving, mine.failed, mine.slots)
            changed |= state != (pool.hopeless, pool.leaving, pool.failed, pool.slots)
            pool.hopeless, pool.leaving, pool.failed, pool.slots = state
            changed |= mine.problem is not None
            team.problem = mine.problem
        if changed:
            for request in list(board.requests.values()):
                problem = self.admission.impossible(request.kind, request.team)
                if problem is not None:
                    if problem is request.team.problem and not problem.retryable:
                        # Who named no model is told of the collection's.
                        problem = with_reason(request.moved_for, problem) or problem
                    board.fail(request, problem)
            pump(board)

    def drain(self) -> None:
        """Admit nothing new."""
        self.admission.draining = True
        suspects.forsake(self.board)

    def give_up(self, problem: ThothError) -> None:
        """Answer everything that is open: the service ends."""
        for request in list(self.board.requests.values()):
            self.board.fail(request, problem)

    def stood_still(self, gap: float) -> None:
        """The loop itself did not run for ``gap`` seconds (a suspended machine): nobody was late
        in that time."""
        for team in self.board.teams.values():
            for lane in team.moved:
                team.moved[lane] += gap
            team.trial_moved += gap
        for worker in self.board.workers():
            worker.moved = None
        self.board.store.moved = None
        for request in self.board.requests.values():
            request.progressed += gap
            if request.deadline is not None:
                request.deadline += gap

    def tick(self, now: float) -> None:
        self._end_stalled(now)
        for request in list(self.board.requests.values()):
            if request.deadline is not None and now >= request.deadline:
                self.board.fail(request, DeadlineExceeded("the deadline of the call passed"))
            elif self._waits_for_start(request):
                # A worker is on its way; its own limits bound how long that takes.
                request.progressed = now
            elif self._is_silent(request, now):
                self.board.fail(
                    request,
                    DeadlineExceeded(
                        f"no progress for {self.limits.silence:.0f} s",
                        fix="thoth-supervisor status",
                    ),
                )
        pump(self.board)

    # -- within -------------------------------------------------------------------------------

    def _model_changed(self, team: Team) -> None:
        """The files of a model were replaced. Vectors of both must not come into one answer, and
        some may be with the caller: it asks again."""
        for request in list(self.board.requests.values()):
            if request.team is not team or request.kind != "embed":
                continue
            if request.embedded or any(u.phase is Phase.EMBEDDING for u in request.units):
                changed = f"the files of {team.shown_name} changed while this was being embedded"
                self.board.fail(request, Overloaded(changed, retry_after=0.1))

    def _waits_for_start(self, request: Request) -> bool:
        if request.needs_store and not self.board.store.up:
            return True
        pool = request.team.pool
        if pool.host_is_away and request.suspected:
            return True
        return request.kind in MODELLED and not pool.serves(interactive=request.interactive)

    def _progressed(self, now: float, request: Request) -> None:
        request.progressed = request.team.moved[request.interactive] = now

    def _is_silent(self, request: Request, now: float) -> bool:
        silence = self.limits.silence
        if request.kind in LONG and any(call.sent for call in request.calls):
            # As long as it takes; the store says that it goes on.
            request.progressed = max(request.progressed, self.board.store.moved or 0.0)
        # Long before the end, because it may get its turn at any moment.
        late = now - request.progressed >= silence / 2
        if late and self._is_worked_for(request):
            # Their own limit bounds it: when one of them hangs, the next has what it had.
            request.progressed = now
        elif late and request.only_waits:
            # It moves on with those before it.
            request.progressed = max(request.progressed, request.team.moved[request.interactive])
        elif request.suspected:
            request.progressed = max(request.progressed, request.team.trial_moved)
        return now - request.progressed >= silence

    def _is_worked_for(self, request: Request) -> bool:
        """An embed worker that has not been found to hang has something of it, or something before
        it."""
        workers = request.team.pool.workers.values()
        going = {w.slot for w in workers if w.units and not w.stalled}
        return bool(going) and any(
            unit.slot in going if unit.phase is Phase.EMBEDDING else unit.phase is Phase.QUEUED
            for unit in request.units
        )


def _store_keeps_dying(times: int) -> WorkerFailed:
    return WorkerFailed(
        f"the store worker ended {times} times while it had this call",
        fix="thoth-supervisor crashes",
    )
