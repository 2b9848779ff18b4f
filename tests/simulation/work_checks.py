"""What must hold of the work that is given out: credit, turns, who runs alone, what is kept, and
that nothing waits for which there is room."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.simulation.book_checks import compare
from tests.simulation.processes import SIGSEGV
from tests.simulation.suspect_checks import SuspectChecks
from tests.simulation.world import COLLECTIONS, OWN, Violation
from thoth_core.ids import text_hash
from thoth_core.supervisor import assign, store_line
from thoth_core.supervisor.board import Board, Stalled, ToStore, ToWorker
from thoth_core.supervisor.pool import Worker
from thoth_core.supervisor.quarantine import Entry
from thoth_core.supervisor.requests import WRITES, Phase, Request, Unit
from thoth_core.supervisor.service import TICK
from thoth_core.supervisor.slots import State
from thoth_core.supervisor.team import Team
from thoth_core.wire import Message

if TYPE_CHECKING:
    from tests.simulation.checks import Checks, Promise
    from tests.simulation.supervisor import Supervisor
    from tests.simulation.world import World


@dataclass(slots=True, eq=False)
class Sent:
    """A unit or call as it was sent last."""

    promise: Promise | None
    attempt: int
    to: str
    texts: list[str]
    items: list[int]
    size: int = 0


@dataclass(slots=True, eq=False)
class Holder:
    """A READY worker or store. ``has`` is what it was sent and has not given back, in order."""

    slot: str
    model: str
    #: What it said of its model.
    said: Any
    lane: str
    credit: int
    has: dict[str, Sent] = field(default_factory=dict)
    #: What it has alone, if anything.
    alone: str = ""
    moved: float = 0.0
    steps: int = 0
    #: A store that had nothing when it was last looked at, not even vectors on their way to it.
    free: bool = True
    #: It was told to end in an earlier turn of the loop.
    leaving: bool = False


class WorkChecks:
    def __init__(self, world: World, checks: Checks) -> None:
        self.world = world
        self.checks = checks
        self._holders: dict[str, Holder] = {}
        self._units: dict[str, Sent] = {}
        #: Units and attempts that the store has answered.
        self._stored: set[tuple[str, int]] = set()
        #: Suspicions are about a text and a model.
        self._suspects: dict[str, SuspectChecks] = defaultdict(SuspectChecks)
        #: When what runs alone last moved on.
        self.tried = 0.0
        #: Interactive units in a row that overtook bulk units.
        self._overtook: Counter[str] = Counter()
        #: Units in a row that an only worker was given while interactive ones waited.
        self._tried: Counter[str] = Counter()
        self._hashes: dict[str, str] = {}
        #: How often others had a turn since this bulk request had its last.
        self._passed: dict[Request, Counter[Request]] = {}
        self._urgent_in_a_row = self._kept_waiting = 0
        self._refused: set[Promise] = set()
        #: The slot that must have been told of useful work once this message is dealt with.
        self._useful = ""

    def began(self) -> None:
        self._holders.clear()
        self._units.clear()
        self._stored.clear()
        for suspects in self._suspects.values():
            suspects.began()
        self.tried = self.world.now
        self._overtook.clear()
        self._tried.clear()
        self._passed.clear()
        self._urgent_in_a_row = self._kept_waiting = 0

    def stood_still(self) -> None:
        for holder in self._holders.values():
            holder.moved = max(holder.moved, self.world.now)

    def ready(self, child: Any) -> None:
        credit = self.world.shape.credit["units"]
        self._holders[child.incarnation] = Holder(
            child.slot,
            child.model,
            getattr(child, "says", None),
            child.lane,
            credit,
            moved=self.world.now,
        )

    # -- units --------------------------------------------------------------------------------

    def to_worker(self, supervisor: Supervisor, action: ToWorker) -> None:
        message = action.message
        if message.kind == "resend":
            for id, attempt in message.body["units"]:
                self._again(supervisor, id, attempt, action.incarnation)
            return
        if message.kind != "unit":
            return
        board = supervisor.dispatch.board
        unit = board.units.get(message.id)
        holder = self._holders.get(action.incarnation)
        if unit is None:
            # Given up since, in the same turn; the worker is to be told so after this.
            if holder is not None:
                if not holder.has:
                    holder.moved = self.world.now
                texts = message.body["texts"]
                holder.has[message.id] = Sent(None, message.attempt, action.incarnation, texts, [])
            return
        promise = self.checks.open.get(unit.request.id)
        if not unit.request.own and (promise is None or promise.request is not unit.request):
            raise Violation(f"{unit.id} of a request that is not open is sent")
        if holder is None:
            raise Violation(f"{unit.id} is sent to a worker that is not ready")
        self._may_have(board, holder, unit)
        self._of_its_model(holder, unit)
        same = {i: h for i, h in self._holders.items() if h.model == holder.model}
        self._suspects[holder.model].sent(board, same, action.incarnation, unit)
        self._turn(board, unit)
        self._trials(board, holder, unit)
        self._overtakes(board, holder, unit)
        sent = self._units.get(unit.id)
        if sent is not None and message.attempt <= sent.attempt:
            raise Violation(f"{unit.id} is sent again as attempt {message.attempt}")
        if not holder.has:
            holder.moved = self.world.now
        self._units[unit.id] = holder.has[unit.id] = Sent(
            promise, message.attempt, action.incarnation, message.body["texts"], list(unit.items)
        )
        store = message.body.get("store")
        if store is not None:
            room = assign.HANDED_UNITS + assign.HANDED_QUERIES * unit.request.interactive
            if len(board.handed) >= room:
                raise Violation(f"{unit.id} is begun, and {len(board.handed)} units are handed")
        if store is not None and promise is not None:
            self._for_store(store, promise)
            if store["body"]["model"] != holder.said:
                raise Violation(f"{unit.id} is of {holder.said}, and stored as another model's")
        self.world.tally["units"] += 1
        if sent is not None:
            self.world.tally["retries"] += 1

    def _again(self, supervisor: Supervisor, id: str, attempt: int, incarnation: str) -> None:
        sent = self._units.get(id)
        if sent is None or sent.to != incarnation or attempt <= sent.attempt:
            raise Violation(f"attempt {attempt} of {id} is asked again of {incarnation}")
        sent.attempt = attempt
        self.world.tally["resent"] += 1

    def _may_have(self, board: Board, holder: Holder, unit: Unit) -> None:
        interactive = unit.request.interactive
        more = int(interactive and holder.lane == "bulk" and not unit.alone)
        if len(holder.has) >= holder.credit + more:
            raise Violation(f"{holder.slot} has {len(holder.has)} units, and is sent {unit.id}")
        if holder.leaving:
            raise Violation(f"{unit.id} is sent to {holder.slot}, which was told to end")
        hopeless = unit.team.pool.hopeless
        if holder.lane == "interactive" and not interactive and "bulk" not in hopeless:
            raise Violation(f"bulk unit {unit.id} is sent to the interactive worker")

    def _of_its_model(self, holder: Holder, unit: Unit) -> None:
        """Nobody gets the vectors of another model than was asked for; who asks for none has that
        of the collection."""
        body = unit.request.body
        models = {OWN, COLLECTIONS.get(body.get("collection", ""), OWN)}
        if unit.request.own:
            models = {unit.team.name}
        elif unit.request.asked_model:
            models = {unit.request.asked_model}
        if holder.model not in models:
            raise Violation(f"{unit.id} is for {models}, and is sent to {holder.slot}")

    def _for_store(self, store: Any, promise: Promise) -> None:
        if self._holders.get(store["incarnation"]) is None:
            raise Violation(f"vectors are to be sent to {store['incarnation']}, which is not ready")
        if store["kind"] == "upsert":
            self._numbered(store["body"], promise)

    def _numbered(self, body: Any, promise: Promise) -> None:
        if body["number"] != self.checks.number(promise.request):
            raise Violation(f"{promise.id} is sent under another number than it was given")

    def from_worker(self, supervisor: Supervisor, child: Any, message: Message) -> bool:
        """Before dispatch hears of it. Whether the message is late: nothing may come of it."""
        holder = self._holders[child.incarnation]
        holder.moved = self.world.now
        if holder.alone == message.id:
            self.tried = self.world.now
        sent, unit = self._units.get(message.id), supervisor.dispatch.board.units.get(message.id)
        late = (
            sent is None
            or unit is None
            or sent.to != child.incarnation
            or sent.attempt != message.attempt
            or unit.phase is Phase.QUEUED
        )
        first = holder.has.get(message.id)
        # Whatever became of the call, the worker has done with it.
        ends = message.kind in ("done", "handed", "error") and first is not None
        if ends and first is not None and (first.attempt == message.attempt or unit is None):
            del holder.has[message.id]
            self._suspects[holder.model].answered(
                holder, child.incarnation, message.id, first.texts
            )
        # One whose texts were all refused has no vectors.
        vectors = message.kind == "done" and message.body["indices"]
        if not late and sent is not None and sent.promise is not None and vectors:
            made_by, sent.promise.made_by = sent.promise.made_by, holder.said
            if made_by not in (None, holder.said):
                raise Violation(f"{sent.promise.id} has vectors of {made_by} and of {holder.said}")
        if not late and sent is not None:
            self._moves(sent, child.slot if ends and message.kind != "error" else "")
        return late

    def _moves(self, sent: Sent, useful: str, *, refused: bool = False) -> None:
        promise = sent.promise
        if promise is not None and self.checks.open.get(promise.id) is promise:
            self.checks.moved(promise)
            self._useful = useful
            if refused:
                self._refused.add(promise)

    def beat(self, supervisor: Supervisor, child: Any, steps: int, *, busy: bool) -> None:
        holder = self._holders.get(child.incarnation)
        if holder is None:
            return
        # A store that has nothing is late with nothing.
        free = child.role == "store" and not busy and not holder.has
        if holder.steps != steps or free:
            holder.steps, holder.moved = steps, self.world.now

    def before_tick(self, supervisor: Supervisor) -> None:
        """A store is late from the tick on that finds it with something."""
        board = supervisor.dispatch.board
        holder = self._holders.get(board.store.incarnation)
        if holder is None:
            return
        if not (holder.has or board.handed):
            holder.free = True
        elif holder.free:
            holder.free, holder.moved = False, max(holder.moved, self.world.now)

    def after_message(self, supervisor: Supervisor) -> None:
        slot, self._useful = self._useful, ""
        if slot and supervisor.crew.slots[slot].deaths:
            raise Violation(f"{slot} did useful work, and its deaths are not forgiven")

    # -- the end of one -----------------------------------------------------------------------

    def ended(self, supervisor: Supervisor, child: Any) -> None:
        holder = self._holders.pop(child.incarnation, None)
        if holder is None:
            return
        if child.role == "store":
            blame = (child.status == SIGSEGV and not child.ended_by_us) or child.stalled
            for sent in holder.has.values():
                if blame and sent.promise is not None:
                    sent.promise.store_deaths += 1
            if blame:
                for unit in supervisor.dispatch.board.handed:
                    promise = self.checks.open.get(unit.request.id)
                    if promise is not None:
                        promise.store_deaths += 1
            return
        for sent in holder.has.values():
            for text in sent.texts:
                self._hashes[text_hash(text)] = text
            break
        paused = self.world.now < supervisor.crew._paused_until
        self._suspects[holder.model].ended(child, holder, paused=paused)

    def stalled(self, supervisor: Supervisor, action: Stalled) -> None:
        holder = self._holders.get(action.incarnation)
        limits = supervisor.dispatch.limits
        limit = limits.unit_timeout if action.slot != "store" else limits.store_timeout
        if holder is not None and self.world.now < holder.moved + limit - TICK:
            raise Violation(f"{action.slot} moves on, and is ended as if it hung")

    def is_worked_for(self, supervisor: Supervisor, promise: Promise) -> bool:
        """Whether an embed worker that is within its limit has something of it, or something before
        it: such a call must not be given up as silent."""
        limit = supervisor.dispatch.limits.unit_timeout
        going = {
            holder.slot
            for holder in self._holders.values()
            if holder.model == promise.request.team.name
            and holder.has
            and self.world.now < holder.moved + limit
        }
        return bool(going) and any(
            unit.slot in going if unit.phase is Phase.EMBEDDING else unit.phase is Phase.QUEUED
            for unit in promise.request.units
        )

    # -- the store ----------------------------------------------------------------------------

    def to_store(self, supervisor: Supervisor, action: ToStore) -> None:
        message, board = action.message, supervisor.dispatch.board
        holder = self._holders.get(action.incarnation)
        if holder is None:
            raise Violation(f"{message.kind} {message.id} is sent to a store that is not ready")
        if holder.leaving:
            raise Violation(f"{message.kind} {message.id} is sent to a store that was told to end")
        call = board.store._sent.get(message.id)
        if call is None:
            return
        size = sum(sent.size for sent in holder.has.values()) + call.size
        if holder.has and (len(holder.has) >= store_line.MAX_CALLS or size > store_line.MAX_BYTES):
            raise Violation(f"the store has {len(holder.has)} calls of {size} bytes with this")
        promise = self.checks.open.get(call.request.id)
        old = self._units.get(message.id)
        if old is not None and message.attempt <= old.attempt:
            raise Violation(f"{message.id} is sent again as attempt {message.attempt}")
        self._units[message.id] = holder.has[message.id] = Sent(
            promise, message.attempt, action.incarnation, [], [], call.size
        )
        if old is not None:
            self.world.tally["retries"] += 1
        if promise is not None and (message.kind in WRITES or message.kind == "have"):
            self._numbered(message.body, promise)
        self._line(board, urgent=call.urgent)

    def _line(self, board: Board, *, urgent: bool) -> None:
        """Urgent calls go first, and never keep the others waiting for ever. Several may have been
        sent since the lines were as they are now, so both bounds are a little wide."""
        if urgent:
            self._urgent_in_a_row += 1
            self._kept_waiting = self._kept_waiting + 1 if board.store._rest else 0
            if self._kept_waiting > 2 * store_line.URGENT_IN_A_ROW:
                raise Violation("urgent calls keep the others waiting")
            return
        if board.store._urgent and self._urgent_in_a_row < store_line.URGENT_IN_A_ROW:
            raise Violation("a call that nobody waits for overtook an urgent one")
        self._urgent_in_a_row = self._kept_waiting = 0

    def from_store(self, supervisor: Supervisor, child: Any, message: Message) -> bool:
        """As :meth:`from_worker`."""
        board, holder = supervisor.dispatch.board, self._holders.get(child.incarnation)
        if holder is None:
            return True
        if message.incarnation == board.store.incarnation:
            holder.moved = self.world.now
        sent, unit = holder.has.get(message.id), board.units.get(message.id)
        if sent is not None:
            if sent.attempt != message.attempt:
                return True
            del holder.has[message.id]
        else:
            sent = self._units.get(message.id)
            if (
                sent is None
                or unit is None
                or sent.attempt != message.attempt
                or unit.phase is Phase.QUEUED
                or message.incarnation != board.store.incarnation
            ):
                return True
        if unit is not None:
            self._stored.add((message.id, message.attempt))
        self._moves(sent, child.slot, refused=message.kind == "error")
        return False

    def store_refused(self, promise: Promise) -> bool:
        """Whether the store answered something of this request with an error."""
        return promise in self._refused

    # -- texts that are given up ---------------------------------------------------------------

    def stopping(self) -> None:
        for suspects in self._suspects.values():
            suspects.stopping()

    def quarantined(self, entry: Entry) -> None:
        self._suspects[entry.model].quarantined(self._hashes.get(entry.text_sha256), entry.weights)

    def killed_too_often(self, promise: Promise) -> bool:
        texts = promise.request.body.get("texts", [])
        return any(each.killed_too_often(texts) for each in self._suspects.values())

    def caused(self, text: str) -> bool:
        return any(each.caused(text) for each in self._suspects.values())

    # -- turns --------------------------------------------------------------------------------

    def _turn(self, board: Board, unit: Unit) -> None:
        """Bulk requests take turns: nobody is passed by the same one twice."""
        request = unit.request
        if unit.team.cases:
            # A request has its turn also with a unit that then has to wait for a verdict.
            self._passed.clear()
        if request.interactive or unit.alone:
            return
        self._passed.pop(request, None)
        store = board.store.takes and len(board.handed) < assign.HANDED_UNITS
        bulk = unit.team.bulk
        for line in (bulk._free, bulk._bound if store else ()):
            for waiting in line:
                if waiting is request:
                    continue
                passed = self._passed.setdefault(waiting, Counter())
                passed[request] += 1
                if passed[request] > 2:
                    raise Violation(f"{waiting.id} waits while {request.id} has turn after turn")
        if not store:
            for waiting in bulk._bound:
                self._passed.pop(waiting, None)

    def _trials(self, board: Board, holder: Holder, unit: Unit) -> None:
        """Suspected texts keep nobody waiting for ever who has no other worker."""
        team = unit.team
        room = assign.HANDED_UNITS + assign.HANDED_QUERIES
        others = [s for s in team.pool.workers if s not in team.pool.leaving | {holder.slot}]
        waits = _can_go(board, team.interactive, len(board.handed) < room) and not others
        self._tried[team.name] += 1
        if not waits or (unit.request.interactive and not unit.alone):
            self._tried[team.name] = 0
        # By turns with a bulk unit, which may be begun anew.
        if self._tried[team.name] > 4 * assign.TRIALS_IN_A_ROW:
            raise Violation("suspected texts keep interactive units waiting in their only worker")

    def _overtakes(self, board: Board, holder: Holder, unit: Unit) -> None:
        """Where the lanes share a worker, interactive work does not keep bulk waiting for ever."""
        if unit.alone:
            return
        team = unit.team
        worker = team.pool.workers.get(holder.slot)
        room = len(board.handed) < assign.HANDED_UNITS
        shared = worker is not None and team.pool.serves_bulk(worker)
        if not unit.request.interactive or not shared or not _can_go(board, team.bulk, room):
            if not unit.request.interactive:
                self._overtook[team.name] = 0
            return
        self._overtook[team.name] += 1
        # One that was given a place in the same turn, before, may not have been sent yet.
        if self._overtook[team.name] > 2 * assign.INTERACTIVE_IN_A_ROW:
            raise Violation("interactive units keep bulk waiting where they share a worker")

    # -- how things stand ---------------------------------------------------------------------

    def after_turn(self, supervisor: Supervisor) -> None:
        board = supervisor.dispatch.board
        for name in supervisor.dispatch.board.own.pool.leaving:
            for holder in self._holders.values():
                if holder.slot == name:
                    holder.leaving = True
        if len(board.handed) > assign.HANDED_UNITS + assign.HANDED_QUERIES + self._slack(board):
            raise Violation(f"{len(board.handed)} units are handed over at once")
        store = board.store
        if store.waiting and store.takes and not store.in_flight:
            raise Violation("calls wait, and the store has nothing to do")
        for model, suspects in self._suspects.items():
            if model not in board.teams:
                # Its suspicions went with it.
                suspects.stopping()
        for team in board.teams.values():
            if team.interactive or team.bulk or team.cases:
                self._idle_hands(board, team)

    def _idle_hands(self, board: Board, team: Team) -> None:
        """Nothing waits for which there is room."""
        pool, handed = team.pool, len(board.handed)
        there = [w for w in pool.workers.values() if w.slot not in pool.leaving]
        bulk = [w for w in there if w.lane == "bulk"]
        if not bulk and "bulk" in pool.hopeless:
            bulk = there
        others = [w for w in bulk if w.slot != pool._host]
        overtook = team.overtook >= assign.INTERACTIVE_IN_A_ROW
        if not overtook and _can_go(
            board, team.interactive, handed < assign.HANDED_UNITS + assign.HANDED_QUERIES
        ):
            self._interactive([w for w in there if w.slot != pool._host], others)
        if _can_go(board, team.bulk, handed < assign.HANDED_UNITS) and any(
            w.free > 0 for w in others
        ):
            raise Violation("bulk work waits, and a worker has room")
        if team.cases and team.alone is None:
            host = pool.workers.get(pool._host)
            if (host in bulk and not host.units) or (bulk and not pool._host):
                raise Violation("a text that is to run alone waits, and its worker is empty")

    def _slack(self, board: Board) -> int:
        """Units that may become handed though no more are begun: those that are being embedded."""
        return sum(w.credit + 1 for w in board.workers())

    def _interactive(self, there: list[Worker], others: list[Worker]) -> None:
        own = [w for w in there if w.lane == "interactive"]
        if any(w.free > 0 for w in own):
            raise Violation("interactive work waits, and its worker has room")
        if own and any(not w.units for w in others):
            raise Violation("interactive work waits, and a bulk worker does nothing")
        if not own and any(w.free > -1 for w in others):
            raise Violation("interactive work waits for a worker that is away")

    def after_tick(self, supervisor: Supervisor) -> None:
        compare(supervisor.dispatch.board, self._holders, self._stored)
        limits = supervisor.dispatch.limits
        for incarnation, holder in self._holders.items():
            slot = supervisor.crew.slots[holder.slot]
            limit = (limits.unit_timeout if holder.lane else limits.store_timeout) + 3 * TICK + 2.0
            if (
                holder.has
                and self.world.now > holder.moved + limit
                and slot.state in (State.READY, State.DRAINING)
            ):
                raise Violation(f"{holder.slot} ({incarnation}) hangs, and is not ended")


def _can_go(board: Board, line: Any, room: bool) -> bool:
    """Whether something in this line needs nothing but a worker."""
    return bool(line._free) or (bool(line._bound) and board.store.takes and room)
