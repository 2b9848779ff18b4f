"""The one event loop of the supervisor. It moves messages and events between the sockets, the
processes, and the parts that decide (``dispatch``, ``slots``); it decides nothing itself."""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import time
from pathlib import Path

from thoth_core.errors import ServiceStopping, ThothError
from thoth_core.settings import Settings
from thoth_core.supervisor.board import Quarantined, Stalled, ToClient, ToStore, ToWorker
from thoth_core.supervisor.crew import STORE, Crew
from thoth_core.supervisor.desk import Desk
from thoth_core.supervisor.dispatch import Dispatch, Limits
from thoth_core.supervisor.joint import Joint
from thoth_core.supervisor.launch import Announce, Launch
from thoth_core.supervisor.notify import Notifier
from thoth_core.supervisor.premises import Premises, is_gone
from thoth_core.supervisor.processes import Child
from thoth_core.supervisor.quarantine_file import QuarantineFile
from thoth_core.supervisor.recycling import MB
from thoth_core.supervisor.slots import Policy
from thoth_core.supervisor.staffing import Staffing
from thoth_core.supervisor.switchboard import Switchboard
from thoth_core.wire import Frame, Message, encode, error_message

#: Seconds between looks at deadlines.
TICK = 0.25
#: Seconds between looks at whether the data directory and the sockets are still there.
ROUND = 1.0
#: Seconds between tries to send to a peer whose queue is full.
RETRY = 0.02
#: Seconds that are given to what a worker said before its end: to one that ended in order, and to
#: any other.
LAST_WORDS, LAST_WORD = 2.0, 0.01
#: A loop that was away for longer than this was stopped or suspended.
GAP = 2.0
#: Seconds by which a worker's own timer, which also writes its stacks, comes before ours.
TIMER_GRACE = 2.0


class Service:
    """``announce`` tells whoever started the service how far it is: ``{event, …}``.
    ``idle_exit`` is in seconds; None stays."""

    def __init__(
        self,
        settings: Settings,
        *,
        announce: Announce,
        idle_exit: float | None = None,
        policy: Policy | None = None,
        limits: Limits | None = None,
        notifier: Notifier | None = None,
    ) -> None:
        self.settings = settings
        self.id = os.urandom(8).hex()
        self._log = logging.getLogger("thoth.supervisor")
        self._quarantine = QuarantineFile(settings.data_dir, self._log)
        self.dispatch = Dispatch(
            limits
            or Limits(
                queue_bytes=settings.queue_mb * 1024 * 1024,
                max_text_chars=settings.max_text_chars,
                unit_timeout=settings.unit_timeout + TIMER_GRACE,
                other_models=settings.models_memory_mb > 0,
            ),
            self._quarantine.quarantine,
            settings.embedding_model,
        )
        self._idle_exit = idle_exit
        self._started = self._turned = time.monotonic()
        self._last_work = self._started
        self._launch = Launch(announce, self._started)
        self._notifier = notifier or Notifier()
        self._next_tick = self._next_round = 0.0
        self._drain_until = 0.0
        #: "" while it serves; then the stage of the end: drain, workers, store; or fast.
        self._stopping = ""
        self._stop_waiters: list[tuple[bytes, str]] = []
        self._exit_status = 0
        room = settings.service_dir
        self._lines = Switchboard(
            room,
            self.dispatch.board.counters,
            self._log,
            then=self._carry_out,
            client_gone=self.dispatch.client_gone,
        )
        locks = (room / "lock", settings.data_dir / "lock")
        #: The socket of a store that was not there at the last look.
        self._missed = ""
        self._premises = Premises([*locks, *self._lines.paths])
        self.crew = Crew(
            settings,
            self.id,
            room / "back",
            tell=self._tell,
            watch=self._lines.watch,
            unwatch=self._lines.unwatch,
            policy=policy,
        )
        staffing = Staffing(
            settings.models_memory_mb * MB, settings.embed_workers, settings.model_idle
        )
        self._joint = Joint(self.crew, self.dispatch, staffing)
        self._desk = Desk(
            settings, self.id, self._started, self.dispatch, self.crew, self._quarantine
        )
        self._signals_in, self._signals_out = socket.socketpair()
        for end in (self._signals_in, self._signals_out):
            end.setblocking(False)
        self._lines.register(self._signals_out.fileno())

    # -- the loop -----------------------------------------------------------------------------

    def run(self) -> int:
        """Serve until told to stop; the exit status of the process. In the main thread, which
        also spawns the children: their parent-death signal follows the thread."""
        old = [(s, signal.signal(s, self._on_signal)) for s in (signal.SIGTERM, signal.SIGINT)]
        old_fd = signal.set_wakeup_fd(self._signals_in.fileno(), warn_on_full_buffer=False)
        # What was sent while we were not ready to hear it comes now.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [number for number, _ in old])
        try:
            self._launch.begin()
            self.crew.tick(time.monotonic())
            self._turned = time.monotonic()
            # As in every worker: what is loaded by now stays, and need not be looked at again.
            gc.freeze()
            while not (self._stopping and self.crew.ended):
                self._turn()
            self._say_goodbye()
        finally:
            signal.set_wakeup_fd(old_fd)
            for number, handler in old:
                signal.signal(number, handler)
            self._close()
        return self._exit_status

    def _turn(self) -> None:
        timeout = self._timeout(time.monotonic())
        lines = self._lines
        lines.poll(timeout)
        now = time.monotonic()
        # From turn to turn, for it may have been stopped at any place in one.
        gap = now - self._turned - timeout
        self._turned = now
        if gap > GAP:
            self._log.warning("the supervisor stood still for %.1f s", gap)
            self.dispatch.stood_still(gap)
            self.crew.stood_still(gap)
            lines.stood_still(gap)
        if lines.heard(self._signals_out.fileno()):
            self._read_signals()
        # What workers wrote and answered before they died counts, so it is read first.
        lines.read_outputs()
        if lines.heard(lines.back):
            lines.back.read(self._from_worker)
        self._see_who_ended(now)
        if lines.heard(lines.control):
            lines.control.read(self._from_control)
        if lines.heard(lines.front):
            lines.front.read(self._from_client)
        self.crew.tick(now)
        if now >= self._next_tick:
            self._next_tick = now + TICK
            self.dispatch.tick(now)
            self._quarantine.tick(now)
            self._carry_out(now)
            if self._launch.over and not self._stopping:
                self.crew.recycle(now)
                self._tell_dispatch(now)
        self._carry_out(now)
        lines.flush(now)
        self._look_around(now)
        self._notifier.turned(now, self.crew.slots.values(), bool(self._stopping))

    def _timeout(self, now: float) -> float:
        timeout = TICK if not self.dispatch.idle or self._stopping else 1.0
        wakes = self.crew.wakes_at()
        if wakes is not None:
            timeout = min(timeout, max(0.0, wakes - now))
        timeout = min(timeout, max(0.0, self._notifier.wakes_at - now))
        timeout = min(timeout, max(0.0, self._lines.wakes_at - now))
        if self._lines.waiting:
            timeout = min(timeout, RETRY)
        return timeout

    def _carry_out(self, now: float) -> None:
        """Do what dispatch decided. Each action may lead to more."""
        while actions := self.dispatch.actions():
            for action in actions:
                if isinstance(action, ToClient):
                    self._lines.front.reply(now, action.client, action.message)
                elif isinstance(action, ToWorker):
                    child = self.crew.children.get(action.slot)
                    if child is not None and child.incarnation == action.incarnation:
                        self._tell(child, action.message)
                elif isinstance(action, ToStore):
                    child = self.crew.children.get(STORE)
                    if child is not None and child.incarnation == action.incarnation:
                        self._tell(child, action.message)
                elif isinstance(action, Stalled):
                    self.crew.end_stalled(now, action.slot, action.incarnation)
                elif isinstance(action, Quarantined):
                    self._log.warning("%s", action)
                    self._quarantine.keep()
                else:
                    self.crew.slots[action.slot].useful()

    def _look_around(self, now: float) -> None:
        """What follows from how things stand, rather than from one event."""
        self._tell_dispatch(now)
        if not self._launch.over and not self._stopping:
            self._watch_the_start(now)
        if now >= self._next_round and not self._stopping:
            self._next_round = now + ROUND
            self._see_that_all_is_there(now)
        if not self.dispatch.idle:
            self._last_work = now
        elif (
            self._idle_exit is not None
            and not self._stopping
            and now - self._last_work > self._idle_exit
        ):
            self._log.info("ending after %.0f s without work", self._idle_exit)
            self._begin_stop(now, fast=False)
        if self._stopping == "drain" and self.dispatch.idle:
            self._stopping = "workers"
            # The store last: until the embed workers have ended, vectors may be on their way.
            # One that hangs has had its time.
            self.crew.stop(now, drain=now <= self._drain_until, only="embed")
        if self._stopping == "workers" and not any(s.alive for s in self.crew.embed_slots()):
            self._stopping = "store"
            self.crew.stop(now, drain=True)
        if self._stopping == "drain" and now > self._drain_until:
            self.dispatch.give_up(ServiceStopping("the service stopped before this was done"))

    def _tell_dispatch(self, now: float) -> None:
        self._joint.tell_availability(now)
        self._carry_out(now)

    def _watch_the_start(self, now: float) -> None:
        problem = self._launch.watch(now, self.crew)
        if problem is not None:
            # It never worked, so nothing of it lingers.
            self._exit_status = problem.exit_code
            self._begin_stop(now, fast=True)

    def _see_that_all_is_there(self, now: float) -> None:
        endpoint = self.dispatch.board.store.endpoint
        self._premises.keep(now, [Path(endpoint)] if endpoint else [])
        problem = self._premises.lost()
        if problem is not None:
            # Nothing that is written from here on would be found again.
            self._log.error("the service ends: %s", problem)
            self._launch.failed(problem)
            self.dispatch.give_up(problem)
            self._exit_status = problem.exit_code
            self._begin_stop(now, fast=True)
            return
        missed = endpoint if endpoint and is_gone(Path(endpoint)) else ""
        # Seen twice: a store that ends takes its socket along a moment before it is gone.
        if missed and missed == self._missed and self.crew.slots[STORE].ready_since is not None:
            # Workers that are connected still reach it, and no others would. The next has another.
            self._log.error("the socket of the store is gone, and the store restarted: %s", missed)
            self.crew.restart(now, STORE)
        self._missed = missed

    # -- clients ------------------------------------------------------------------------------

    def _from_client(self, now: float, client: bytes, message: Message, size: int) -> None:
        if message.kind == "ping":
            self._lines.front.reply(now, client, Message("pong", message.id))
        elif message.kind == "hello":
            self._last_work = now
            body = self._desk.hello(message)
            self._lines.front.reply(now, client, Message("result", message.id, body=body))
        elif message.kind == "cancel":
            self.dispatch.cancel(client, message.id)
        else:
            self._last_work = now
            self.dispatch.request(now, client, message, size)

    # -- control ------------------------------------------------------------------------------

    def _from_control(self, now: float, client: bytes, message: Message, size: int) -> None:
        answer: Message | None
        try:
            answer = self._control_answer(now, client, message)
        except ThothError as problem:
            answer = error_message(problem, message.id)
        if answer is not None:
            self._lines.control.reply(now, client, answer)

    def _control_answer(self, now: float, client: bytes, message: Message) -> Message | None:
        if message.kind == "ping":
            return Message("pong", message.id)
        if message.kind == "stop":
            self._stop_waiters.append((client, message.id))
            self._begin_stop(now, fast=bool(message.body.get("fast")))
            return None
        if message.kind == "restart" and self._stopping:
            raise ServiceStopping("the service is stopping")
        body = self._desk.control(now, message)
        self._tell_dispatch(now)
        return Message("result", message.id, body=body)

    # -- workers ------------------------------------------------------------------------------

    def _from_worker(self, now: float, identity: bytes, message: Message, size: int) -> None:
        answer = self._joint.heard(now, identity, message)
        child = self.crew.child_of(identity)
        if answer is not None and child is not None:
            self._tell(child, answer)

    def _see_who_ended(self, now: float) -> None:
        """The kernel tells of an end sooner than libzmq of what was said before it. What one that
        ended in order said (its last unit is done, why it could not be set up) is certain to come,
        so that is waited for, while everything else goes on."""
        lines = self._lines
        if ended := lines.ended():
            for child in ended:
                words = LAST_WORDS if child.ended_in_order() else LAST_WORD
                lines.hear_out(child, now + words)
            # Before anything else is read, so that nobody is given work that ended.
            self._tell_dispatch(now)
            lines.back.read(self._from_worker)
        for child in lines.heard_out(now):
            self._joint.ended(now, child)
            lines.back.out.drop(child.identity)
            self._carry_out(now)

    def _tell(self, child: Child, message: Message) -> None:
        now = time.monotonic()
        try:
            frames: list[Frame] = encode(message)
        except ThothError as problem:
            # Its answer, since the worker will never see it.
            refused = error_message(problem, message.id, message.attempt, child.incarnation)
            self._from_worker(now, child.identity, refused, 0)
            return
        self._lines.back.out.send(now, child.identity, frames)

    # -- the end ------------------------------------------------------------------------------

    def _on_signal(self, number: int, frame: object) -> None:
        """Nothing here: the number is in the wake pipe, and the loop reads it there."""

    def _read_signals(self) -> None:
        try:
            numbers = self._signals_out.recv(64)
        except BlockingIOError:
            return
        now = time.monotonic()
        for number in numbers:
            self._log.info("received %s", signal.Signals(number).name)
            # The second one means it.
            self._begin_stop(now, fast=bool(self._stopping))

    def _begin_stop(self, now: float, *, fast: bool) -> None:
        self.dispatch.drain()
        if not self._stopping:
            self._stopping = self._desk.stopping = "drain"
            self._drain_until = now + Policy().drain_limit
        if fast:
            self.dispatch.give_up(ServiceStopping("the service stopped before this was done"))
            self._stopping = "fast"
            self.crew.stop(now, drain=False)

    def _say_goodbye(self) -> None:
        now = time.monotonic()
        self.dispatch.give_up(ServiceStopping("the service stopped before this was done"))
        self._carry_out(now)
        for client, id in self._stop_waiters:
            stopped = Message("result", id, body={"stopped": True})
            self._lines.control.reply(now, client, stopped)
        self._launch.ended()

    def _close(self) -> None:
        # What is there in place of ours may be another service's.
        ours = self._premises.lost() is None
        self._lines.close()
        self._notifier.close()
        self._signals_in.close()
        self._signals_out.close()
        for left in (*self._lines.paths, *self.settings.service_dir.glob("store-*.sock")):
            if ours:
                left.unlink(missing_ok=True)
