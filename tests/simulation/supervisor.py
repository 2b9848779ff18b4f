"""The supervisor of the simulation: the real dispatch, slots, crew and outbox, joined as
``service.py`` joins them. Only sockets, processes and the clock are simulated."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from tests.simulation.embedding import EmbedProcess
from tests.simulation.processes import PROMPT
from tests.simulation.storing import StoreProcess
from tests.simulation.world import MEMORY, MODEL_IDLE, OWN
from thoth_core.errors import ServiceStopping
from thoth_core.sockets import Sent
from thoth_core.supervisor.board import Quarantined, Stalled, ToClient, ToStore, ToWorker
from thoth_core.supervisor.crew import AFTER_PAUSE, STORE, Crew
from thoth_core.supervisor.dispatch import Dispatch
from thoth_core.supervisor.joint import Joint
from thoth_core.supervisor.outbox import Outbox
from thoth_core.supervisor.recycling import MB
from thoth_core.supervisor.service import GAP, TICK
from thoth_core.supervisor.slots import Action, Lane, Slot, State
from thoth_core.supervisor.staffing import Staffing
from thoth_core.wire import Message

if TYPE_CHECKING:
    from tests.simulation.world import World

SILENT = logging.getLogger("thoth.simulated")
SILENT.disabled = True
#: Seconds between tries to send to a full peer; the real one tries more often.
RETRY = 0.25


class Parcel:
    """A message as the outbox sees it: something with a length."""

    __slots__ = ("message",)

    def __init__(self, message: Message) -> None:
        self.message = message

    def __len__(self) -> int:
        return 200


class NoReports:
    """In the place of the death reports, which are files."""

    def tick(self, now: float) -> None:
        return

    def for_memory(self) -> bool | None:
        return None

    def report(self, *facts: object, **more: object) -> str:
        return ""


class SimCrew(Crew):
    """The real crew; only what it spawns is simulated, and watched."""

    def __init__(self, world: World, supervisor: Supervisor, **links: Any) -> None:
        settings: Any = SimpleNamespace(
            embed_workers=world.shape.bulk,
            worker_memory_mb=MEMORY,
            worker_max_age=world.shape.age,
            unit_timeout=world.shape.limits.unit_timeout,
            data_dir=Path("/nowhere"),
            embedding_model=OWN,
            openai_key="",
        )
        super().__init__(
            settings, supervisor.service, Path("/back"), policy=world.shape.policy, **links
        )
        self._log = SILENT
        self._deaths = NoReports()  # type: ignore[assignment]
        self._world, self._supervisor = world, supervisor

    def _chance(self) -> float:  # type: ignore[override]
        return self._world.random.random()

    def staff(self, model: str, lane: Lane) -> None:
        before = set(self.slots)
        super().staff(model, lane)
        for name in set(self.slots) - before:
            self._world.checks.slots.added(self, name)

    def retire(self, now: float, name: str) -> None:
        self._world.checks.slots.retired(self._supervisor, name)
        super().retire(now, name)

    def config_for(self, slot: Slot) -> Message:
        return Message("config")

    def stood_still(self, gap: float) -> None:
        super().stood_still(gap)
        self._paused_until = self._world.now + AFTER_PAUSE

    def _spawn(self, now: float, slot: Slot) -> None:
        world = self._world
        if world.chance(0.01):
            world.fault("cannot spawn")
            world.checks.slots.not_spawned(slot.name)
            self._carry_out(now, slot.spawn_failed(now, "no memory"))
            return
        kind = StoreProcess if slot.role == "store" else EmbedProcess
        process: Any = kind(world, self._supervisor, slot)
        world.processes[process.identity] = process
        self.children[slot.name] = process
        slot.spawned(now)
        self._watch(process)
        process.begin()

    def _carry_out(self, now: float, actions: list[Action]) -> None:
        for action in actions:
            self._world.checks.slots.decided(self._supervisor, action)
        super()._carry_out(now, actions)


class Supervisor:
    def __init__(self, world: World) -> None:
        self.world = world
        self.service = self.told = world.name("service")
        self.alive = True
        self.dispatch = Dispatch(world.shape.limits, world.quarantine, OWN)
        self.front_out = Outbox(self._send_to_client)
        self.back_out = Outbox(self._send_to_worker)
        self.crew = SimCrew(
            world, self, tell=self._tell, watch=lambda child: None, unwatch=lambda child: None
        )
        staffing = Staffing(world.shape.room * MB, world.shape.bulk, MODEL_IDLE)
        self._joint = Joint(self.crew, self.dispatch, staffing)
        #: "" while it serves; then the stage of the end, as in the service.
        self.stopping = ""
        self._drain_until = 0.0
        self._came: dict[str, list[Any]] = {"back": [], "ended": [], "control": [], "front": []}
        self._stopped = False
        self._turned = world.now
        self._timeout = 0.0
        self._next_tick = 0.0
        self._wakes_at = 0.0
        world.checks.began(self)

    def begin(self) -> None:
        self.crew.tick(self.world.now)
        self._turn()

    # -- the loop -----------------------------------------------------------------------------

    def arrive(self, where: str, what: Any) -> None:
        """Something came in; unless the loop stands still, it sees to that at once."""
        if not self.alive:
            return
        self._came[where].append(what)
        if not self._stopped:
            self._turn()

    def stand_still(self, seconds: float) -> None:
        if not self._stopped and self.alive:
            self._stopped = True
            self.world.later(seconds, self._go_on)

    def _go_on(self) -> None:
        self._stopped = False
        if self.alive:
            self._turn()

    def _wake(self, when: float) -> None:
        if self.alive and not self._stopped and when == self._wakes_at:
            self._turn()

    def _turn(self) -> None:
        now, checks = self.world.now, self.world.checks
        gap = now - self._turned - self._timeout
        self._turned = now
        if gap > GAP:
            self.dispatch.stood_still(gap)
            self.crew.stood_still(gap)
            self.front_out.stood_still(gap)
            self.back_out.stood_still(gap)
            checks.stood_still(gap)
        self._read_back()
        while self._came["ended"]:
            self._child_ended(now, self._came["ended"].pop(0))
        while self._came["control"]:
            self._from_control(now, self._came["control"].pop(0))
            self._carry_out(now)
        while self._came["front"]:
            self._from_client(now, *self._came["front"].pop(0))
        self.crew.tick(now)
        ticked = now >= self._next_tick
        if ticked:
            self._next_tick = now + TICK
            checks.before_tick(self)
            self.dispatch.tick(now)
            self._carry_out(now)
            if not self.stopping:
                self.crew.recycle(now)
                self._tell_dispatch(now)
        self._carry_out(now)
        self._flush(now)
        self._look_around(now)
        if not self.alive:
            return
        checks.after_turn(self)
        if ticked:
            checks.after_tick(self)
        self._timeout = self._until(now)
        if self._wakes_at <= now or self._wakes_at > now + self._timeout:
            self._wakes_at = now + self._timeout
            self.world.at(self._wakes_at, self._wake, self._wakes_at)

    def _until(self, now: float) -> float:
        timeout = TICK if not self.dispatch.idle or self.stopping else 1.0
        wakes = self.crew.wakes_at()
        if wakes is not None:
            timeout = min(timeout, max(0.0, wakes - now))
        if self.front_out or self.back_out:
            timeout = min(timeout, RETRY)
        # A clock that counts in floats never comes to a moment that is nearer than this.
        return max(timeout, 1e-6)

    def _read_back(self) -> None:
        while self._came["back"]:
            identity, message = self._came["back"].pop(0)
            self._from_worker(self.world.now, identity, message)
            self._carry_out(self.world.now)
            self.world.checks.work.after_message(self)

    def _carry_out(self, now: float) -> None:
        checks = self.world.checks
        while actions := self.dispatch.actions():
            for action in actions:
                if isinstance(action, ToClient):
                    checks.to_client(self, action)
                    self._reply(now, action.client, action.message)
                elif isinstance(action, ToWorker):
                    checks.to_worker(self, action)
                    child = self.crew.children.get(action.slot)
                    if child is not None and child.incarnation == action.incarnation:
                        self._tell(child, action.message)
                elif isinstance(action, ToStore):
                    checks.to_store(self, action)
                    child = self.crew.children.get(STORE)
                    if child is not None and child.incarnation == action.incarnation:
                        self._tell(child, action.message)
                elif isinstance(action, Stalled):
                    checks.slots.stalled(self, action)
                    self.crew.end_stalled(now, action.slot, action.incarnation)
                elif isinstance(action, Quarantined):
                    checks.work.quarantined(action.entry)
                else:
                    checks.slots.useful(self, action.slot)
                    self.crew.slots[action.slot].useful()

    def _flush(self, now: float) -> None:
        for client in self.front_out.flush(now):
            self._client_gone(client)
        self.back_out.flush(now)

    def _tell_dispatch(self, now: float) -> None:
        self._joint.tell_availability(now)
        self._carry_out(now)

    def _look_around(self, now: float) -> None:
        crew = self.crew
        self._tell_dispatch(now)
        if self.stopping == "drain" and self.dispatch.idle:
            self.stopping = "workers"
            self._stop_crew(drain=now <= self._drain_until, only="embed")
        if self.stopping == "workers" and not any(s.alive for s in crew.embed_slots()):
            self.stopping = "store"
            self._stop_crew(drain=True)
        if self.stopping == "drain" and now > self._drain_until:
            self.dispatch.give_up(ServiceStopping("the service stopped before this was done"))
            self._carry_out(now)
        if self.stopping and crew.ended:
            self.dispatch.give_up(ServiceStopping("the service stopped before this was done"))
            self._carry_out(now)
            self.world.checks.after_turn(self)
            self.alive = False
            self.world.clients.supervisor_gone()

    # -- clients ------------------------------------------------------------------------------

    def _from_client(self, now: float, client: bytes, message: Message) -> None:
        if message.kind == "cancel":
            self.dispatch.cancel(client, message.id)
            self._carry_out(now)
            return
        checks = self.world.checks
        before = checks.before_request(self, message)
        size = 100 + sum(len(t) for t in message.body.get("texts", ()))
        self.dispatch.request(now, client, message, size)
        checks.after_request(self, client, message, before)
        self._carry_out(now)

    def _reply(self, now: float, to: bytes, message: Message) -> None:
        parcel: Any = [Parcel(message)]
        if not self.front_out.send(now, to, parcel):
            self._client_gone(to)

    def _client_gone(self, client: bytes) -> None:
        self.world.checks.client_gone(self, client)
        self.dispatch.client_gone(client)

    def _send_to_client(self, frames: list[Any], to: bytes) -> Sent:
        client = self.world.clients.at(to)
        if client is None:
            return Sent.GONE
        if client.full_until > self.world.now:
            return Sent.FULL
        for parcel in frames:
            self.world.network.send(self.told, to, client.take, to, parcel.message)
        return Sent.SENT

    # -- control ------------------------------------------------------------------------------

    def _from_control(self, now: float, word: tuple[str, Any]) -> None:
        kind, what = word
        if kind == "restart":
            # One that has gone since it was asked for is refused at the desk.
            if not self.stopping and (what is None or what in self.crew.slots):
                self.world.checks.slots.operator(self, what)
                self.crew.restart(now, what)
                self._tell_dispatch(now)
            return
        self.dispatch.drain()
        self.world.checks.work.stopping()
        if not self.stopping:
            self.stopping = "drain"
            self._drain_until = now + self.world.shape.policy.drain_limit
        if what == "fast":
            self.dispatch.give_up(ServiceStopping("the service stopped before this was done"))
            self.stopping = "fast"
            self._stop_crew(drain=False)

    def _stop_crew(self, *, drain: bool, only: str | None = None) -> None:
        names = [s.name for s in self.crew.slots.values() if only is None or s.role == only]
        self.world.checks.slots.stopped(self, names)
        self.crew.stop(self.world.now, drain=drain, only=only)

    # -- workers ------------------------------------------------------------------------------

    def _from_worker(self, now: float, identity: bytes, message: Message) -> None:
        child: Any = self.crew.child_of(identity)
        checks, late, before = self.world.checks, False, 0
        if child is not None:
            kind, work = message.kind, checks.work
            if kind == "beat":
                busy = message.body["busy"]
                work.beat(self, child, message.body["progress"], busy=busy)
            elif kind not in ("hello", "state", "failed", "bye", "ready"):
                of = work.from_store if child.role == "store" else work.from_worker
                late, before = of(self, child, message), self._late_frames
        answer = self._joint.heard(now, identity, message)
        if child is None:
            return
        checks.heard_of(self, message, late, before)
        if message.kind == "ready" and self.crew.slots[child.slot].state is State.READY:
            checks.ready(self, child)
        if answer is not None:
            self._tell(child, answer)

    @property
    def _late_frames(self) -> int:
        return self.dispatch.board.counters["frames_late"]

    def _child_ended(self, now: float, child: Any) -> None:
        self._read_back()
        self.world.checks.slots.ended(self, child)
        self.world.checks.ended(self, child)
        self._joint.ended(now, child)
        self.back_out.drop(child.identity)
        self._carry_out(now)

    def _tell(self, child: Any, message: Message) -> None:
        parcel: Any = [Parcel(message)]
        self.back_out.send(self.world.now, child.identity, parcel)

    def _send_to_worker(self, frames: list[Any], to: bytes) -> Sent:
        process = self.world.processes.get(to)
        if process is None:
            return Sent.GONE
        if process.full_until > self.world.now:
            return Sent.FULL
        for parcel in frames:
            self.world.network.send(
                self.told,
                to,
                process.step,
                process.take,
                parcel.message,
                twice=parcel.message.kind not in ("config", "drain", "stop"),
                latest=PROMPT,
            )
        return Sent.SENT
