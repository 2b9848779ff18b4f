"""What must hold of every request, looked at when something happens to it: one answer, in time, for
a reason, and nothing acknowledged that is not on the disk."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.simulation.embedding import ENDLESS, POISON, REFUSED
from tests.simulation.ledger import NOTHING, Row
from tests.simulation.slot_checks import SlotChecks
from tests.simulation.work_checks import WorkChecks
from tests.simulation.world import COLLECTIONS, OWN, Violation
from thoth_core.ids import text_hash
from thoth_core.supervisor.board import (
    EPOCH_SHIFT,
    Board,
    ToClient,
    ToStore,
    ToWorker,
)
from thoth_core.supervisor.dispatch import STORE_DEATHS
from thoth_core.supervisor.requests import MODELLED, WRITES, Request
from thoth_core.supervisor.service import TICK
from thoth_core.wire import Message

if TYPE_CHECKING:
    from tests.simulation.clients import Call
    from tests.simulation.supervisor import Supervisor
    from tests.simulation.world import World

SLACK = 1e-6


@dataclass(slots=True, eq=False)
class Promise:
    """A request that was accepted and has no answer yet."""

    id: str
    request: Request
    client: bytes
    deadline: float | None
    #: When anything of it last moved on, or dispatch had to see that it waits for a start.
    moved: float
    #: Which sending of it came last.
    attempt: int
    #: When a worker or the store that it needs was last seen to be away.
    waited: float = 0.0
    #: When an embed worker was last seen to be at work for it.
    worked_for: float = -math.inf
    store_deaths: int = 0
    #: What the workers said of their model that embedded what the caller has of it.
    made_by: Any = None

    @property
    def kind(self) -> str:
        return self.request.kind


class Checks:
    def __init__(self, world: World) -> None:
        self.world = world
        self.slots = SlotChecks(world)
        self.work = WorkChecks(world, self)
        self.open: dict[str, Promise] = {}
        #: Refused requests whose error is on its way out.
        self._refusals: Counter[str] = Counter()
        self._taken_back: set[str] = set()
        #: Set when nothing goes wrong any more.
        self.all_must_succeed = False
        self._texts: dict[str, list[str]] = {}
        #: The last number that this supervisor gave.
        self._number = 0
        #: When interactive work, and other work, last moved on, by model.
        self._lanes: dict[tuple[str, bool], float] = {}
        #: Of each id the newest write that was acknowledged.
        self._promised: dict[str, Row] = {}

    # -- supervisors --------------------------------------------------------------------------

    def began(self, supervisor: Supervisor) -> None:
        """A new one: what the last one had accepted is asked of this one again."""
        self.open.clear()
        self._refusals.clear()
        self._number = 0
        self._lanes.clear()
        self.slots.began(supervisor)
        self.work.began()

    def stood_still(self, gap: float) -> None:
        for promise in self.open.values():
            promise.moved += gap
            promise.waited += gap
            if promise.deadline is not None:
                promise.deadline += gap
        for lane in self._lanes:
            self._lanes[lane] += gap
        self.work.stood_still()
        self.slots.stood_still(gap)

    # -- requests -----------------------------------------------------------------------------

    def asked(self, message: Message) -> None:
        self.world.tally["requests"] += 1
        self._texts[message.id] = message.body.get("texts", [])

    def taken_back(self, id: str) -> None:
        self._taken_back.add(id)

    def nobody_waits(self, id: str) -> None:
        self._taken_back.add(id)

    def before_request(self, supervisor: Supervisor, message: Message) -> int:
        return supervisor.dispatch.board.counters["requests_refused"]

    def after_request(
        self, supervisor: Supervisor, client: bytes, message: Message, before: int
    ) -> None:
        board, now = supervisor.dispatch.board, self.world.now
        promise = self.open.get(message.id)
        if board.counters["requests_refused"] != before:
            self._refusals[message.id] += 1
            self.open.pop(message.id, None)
            return
        if promise is not None and message.attempt < promise.attempt:
            # Of a connection that was lost since.
            return
        if promise is not None and promise.kind != "embed":
            promise.client, promise.attempt = client, message.attempt
            return
        request = board.requests.get(message.id)
        if request is None:
            # Answered at once: the answer is on its way out.
            request = Request(
                message.id, client, message.kind, message.body, (), 0, True, 0, 0, 0, board.own
            )
        else:
            if request.number <= self._number:
                raise Violation(f"{message.id} has number {request.number} after {self._number}")
            self._number = request.number
        deadline = None if message.deadline is None else now + message.deadline
        self.open[message.id] = Promise(message.id, request, client, deadline, now, message.attempt)
        self.world.tally["accepted"] += 1

    def client_gone(self, supervisor: Supervisor, client: bytes) -> None:
        for promise in list(self.open.values()):
            # One that is not open any more has its answer on the way.
            if (
                promise.client == client
                and promise.kind not in WRITES | {"add"}
                and promise.id in supervisor.dispatch.board.requests
            ):
                del self.open[promise.id]

    def to_client(self, supervisor: Supervisor, action: ToClient) -> None:
        message = action.message
        promise = self.open.get(message.id)
        if message.kind not in ("result", "error"):
            if promise is None:
                raise Violation(f"a {message.kind} of {message.id}, which is not open")
            return
        if promise is None:
            if self._refusals[message.id] == 0:
                raise Violation(f"{message.id} is answered, and was not open: {message}")
            self._refusals[message.id] -= 1
            return
        if action.client != promise.client:
            raise Violation(f"{message.id} is answered at {action.client!r}")
        del self.open[message.id]
        self.world.tally["answers"] += 1
        if message.kind == "error":
            self._excused(supervisor, promise, message.body)
        elif promise.kind in ("add", "delete", "upsert"):
            self._acknowledged(promise, message.body)

    def _excused(self, supervisor: Supervisor, promise: Promise, error: Any) -> None:
        """Whether there was a reason for this error."""
        code, now = error["code"], self.world.now
        self.world.tally[f"error: {code}"] += 1
        crew = supervisor.crew
        fine = False
        changed = code == "overloaded" and self.world.weights[promise.request.team.name]
        if self.all_must_succeed and not changed:
            raise Violation(f"{promise.kind} {promise.id} of a quiet service failed: {error}")
        if code == "deadline":
            silence = supervisor.dispatch.limits.silence
            fine = (
                now - promise.moved >= silence - 2 * TICK
                and now - promise.worked_for >= silence / 2 - 2 * TICK
            ) or (promise.deadline is not None and now >= promise.deadline - SLACK)
        elif code == "cancelled":
            fine = promise.id in self._taken_back
        elif code == "stopping":
            fine = bool(supervisor.stopping)
        elif code == "overloaded":
            # There is memory for so many workers of other models, and they are all at work; or its
            # model changed in the middle.
            team = promise.request.team
            fine = team is not supervisor.dispatch.board.own or bool(self.world.weights[team.name])
        elif code == "model_mismatch":
            fine = self._mismatched(supervisor, promise)
        elif code in ("worker_failed", "model_not_found", "storage"):
            staff = crew.staffs().get(promise.request.team.name)
            hopeless = staff is not None and staff.problem is not None
            embed = promise.kind in MODELLED and hopeless
            store = promise.kind != "embed" and crew.store_problem() is not None
            refused = code == "storage" and self.work.store_refused(promise)
            fine = embed or store or refused or promise.store_deaths >= STORE_DEATHS
            fine = fine or (code == "worker_failed" and self.work.killed_too_often(promise))
        if not fine:
            raise Violation(
                f"{promise.kind} {promise.id} failed without a reason: {error}, "
                f"having moved {now - promise.moved:.2f} s ago"
            )

    def _mismatched(self, supervisor: Supervisor, promise: Promise) -> bool:
        """Whether the caller is to know that the collection is another model's: it named a model,
        or that of the collection is not to be had."""
        request, board = promise.request, supervisor.dispatch.board
        made = COLLECTIONS[request.body["collection"]]
        if request.asked_model:
            return request.asked_model != made
        return made != OWN and request.team is not board.own and request.team.problem is not None

    # -- time ---------------------------------------------------------------------------------

    def moved(self, promise: Promise) -> None:
        promise.moved = self._lanes[_lane(promise)] = self.world.now

    def before_tick(self, supervisor: Supervisor) -> None:
        board = supervisor.dispatch.board
        self.work.before_tick(supervisor)
        for promise in self.open.values():
            if _waits_for_start(board, promise):
                promise.moved = self.world.now
            elif self.work.is_worked_for(supervisor, promise):
                promise.worked_for = self.world.now

    def after_tick(self, supervisor: Supervisor) -> None:
        now, board = self.world.now, supervisor.dispatch.board
        late = now - supervisor.dispatch.limits.silence - 2 * TICK
        for promise in self.open.values():
            if promise.deadline is not None and now >= promise.deadline:
                raise Violation(f"{promise.id} is open after its deadline")
            if _waits_for_start(board, promise):
                promise.waited = now
            elif late > max(
                promise.moved,
                promise.waited,
                promise.worked_for + 2 * TICK,
                self._lanes.get(_lane(promise), 0.0),
                self.work.tried,
            ):
                raise Violation(f"{promise.kind} {promise.id} is open after a long silence")
        if board.bytes != sum(r.size for r in board.requests.values()):
            raise Violation("the bytes of the queue do not add up")
        self.work.after_tick(supervisor)
        self.slots.after_tick(supervisor)

    def after_turn(self, supervisor: Supervisor) -> None:
        dispatch = supervisor.dispatch
        board, limits = dispatch.board, dispatch.limits
        if len(board.requests) != len(self.open):
            lost = set(self.open) - set(board.requests)
            raise Violation(f"accepted, neither open nor answered: {lost or 'the other way round'}")
        if (board.bytes > limits.queue_bytes and len(board.requests) > 1) or (
            len(board.requests) > limits.queue_requests
        ):
            raise Violation(f"{len(board.requests)} requests of {board.bytes} bytes are open")
        self.work.after_turn(supervisor)

    # -- workers and the store ----------------------------------------------------------------

    def ready(self, supervisor: Supervisor, child: Any) -> None:
        self.work.ready(child)

    def to_worker(self, supervisor: Supervisor, action: ToWorker) -> None:
        self.work.to_worker(supervisor, action)

    def to_store(self, supervisor: Supervisor, action: ToStore) -> None:
        self.work.to_store(supervisor, action)

    def heard_of(self, supervisor: Supervisor, message: Message, late: bool, before: int) -> None:
        """Dispatch has dealt with a worker's message; ``before`` is how many late ones there were
        till then."""
        if late and supervisor.dispatch.board.counters["frames_late"] == before:
            raise Violation(f"{message.kind} of {message.id} is late, and something came of it")

    def ended(self, supervisor: Supervisor, child: Any) -> None:
        self.world.tally[f"deaths: {child.role}"] += 1
        self.work.ended(supervisor, child)

    # -- the ledger ---------------------------------------------------------------------------

    def number(self, request: Request) -> int:
        """The number that this request must have on all its attempts."""
        return (self.world.ledger.epoch << EPOCH_SHIFT) + request.number

    def written(self, id: str, row: Row) -> None:
        """A row came to the disk, from whatever frame."""
        promised = self._promised.get(id)
        if promised is not None and row.number < promised.number:
            raise Violation(f"{id} went back from {promised} to {row}")

    def _acknowledged(self, promise: Promise, body: Any) -> None:
        given, number = promise.request.body, self.number(promise.request)
        bad = {index for index, _ in body.get("errors", ())}
        for index, id in enumerate(given["ids"]):
            if index in bad:
                continue
            what = None
            if promise.kind == "add":
                what = text_hash(given["texts"][index])
            elif promise.kind == "upsert":
                what = given["texts"][index]
            row = self.world.ledger.rows.get(id, NOTHING)
            if promise.id in self.world.ledger.outcomes and row.number < number:
                # Answered from its outcome: it was written under an earlier number.
                continue
            wanted = Row(number, what, promise.kind == "add")
            if row.number < number or (row.number == number and row != wanted):
                raise Violation(f"{promise.kind} {promise.id} of {id} is acknowledged, not {row}")
            if number > self._promised.get(id, NOTHING).number:
                self._promised[id] = wanted

    def at_the_end(self) -> None:
        for id, promised in self._promised.items():
            row = self.world.ledger.rows.get(id, NOTHING)
            if row.number < promised.number or (row.number == promised.number and row != promised):
                raise Violation(f"{id} is {row}, and {promised} was acknowledged")

    # -- what clients hear --------------------------------------------------------------------

    def unasked(self, message: Message) -> None:
        if message.kind in ("result", "error") and message.id not in self._taken_back:
            raise Violation(f"a client has two answers to {message.id}")

    def row(self, call: Call, index: int, text: str) -> None:
        if index in call.parts or call.message.body["texts"][index] != text:
            raise Violation(f"{call.message.id} got the vector of {text!r} as its {index}")

    def heard(self, call: Call, message: Message) -> None:
        """The answer of a call reached its client."""
        if message.kind == "error":
            return
        texts = call.message.body.get("texts", [])
        errors = {index: error["code"] for index, error in message.body.get("errors", ())}
        for index, code in errors.items():
            text = texts[index]
            if code == "poison_input":
                self.world.tally["poisoned"] += 1
                if not self.work.caused(text):
                    raise Violation(f"{text!r} is given up, and caused no two deaths")
            elif not (code == "worker_raised" and REFUSED in text) and code != "unavailable":
                raise Violation(f"{text!r} was refused: {code}")
        if call.message.kind == "embed":
            if set(call.parts) | set(errors) != set(range(len(texts))):
                raise Violation(f"{call.message.id} lacks vectors")
            if set(call.parts) & set(errors):
                raise Violation(f"{call.message.id} has a vector and an error for one text")
        elif call.message.kind == "query":
            for index, hits in enumerate(message.body["hits"]):
                found = [hit["text"] for hit in hits]
                if found != ([] if index in errors else [texts[index]]):
                    raise Violation(f"{call.message.id} got {found} for {texts[index]!r}")
        if any(t.startswith((POISON, ENDLESS)) for t in texts) and call.message.kind == "embed":
            bad = {i for i, t in enumerate(texts) if t.startswith((POISON, ENDLESS))}
            if not bad <= set(errors):
                raise Violation(f"{call.message.id} has a vector of a poison text")


def _lane(promise: Promise) -> tuple[str, bool]:
    return promise.request.team.name, promise.request.interactive


def _waits_for_start(board: Board, promise: Promise) -> bool:
    if promise.kind != "embed" and not board.store.up:
        return True
    pool = promise.request.team.pool
    if pool.host_is_away and promise.request.suspected:
        return True
    serves = pool.serves(interactive=promise.request.interactive)
    return promise.kind in MODELLED and not serves
