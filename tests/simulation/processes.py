"""A simulated worker process: born, loading, at work, stopped, hanging, dead. What embed workers
and the store have in common, as ``thoth_core/worker`` has it for the real ones.

Its handle has what the crew needs of a ``Child``; how its end is described decides the same code
as for real ones.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.simulation.world import BASE
from thoth_core.errors import ModelNotFound, StorageError
from thoth_core.supervisor.processes import NO_PROGRESS, STOOD_STILL, describe_exit
from thoth_core.supervisor.recycling import MB
from thoth_core.supervisor.slots import Exit, Slot
from thoth_core.wire import Message
from thoth_core.worker.birth import EXIT_BOOT, EXIT_TERM

if TYPE_CHECKING:
    from tests.simulation.supervisor import Supervisor
    from tests.simulation.world import World

SIGKILL, SIGSEGV, SIGALRM = -9, -11, -14
#: An end in order is told after all that was said before it.
IN_ORDER = (0, EXIT_BOOT, EXIT_TERM)
BEAT = 1.0
#: Between a supervisor and its living workers nothing takes longer, in seconds. Whoever keeps
#: messages back for longer hangs or is stopped.
PROMPT = 0.5
#: From the end of a process to the supervisor's last look at what it had said.
SENTINEL = 0.01


class Process:
    """``frozen`` is SIGSTOP; ``hung`` never ends the step it is in; ``mute`` besides does not
    beat, as native code that holds the interpreter's lock."""

    def __init__(self, world: World, supervisor: Supervisor, slot: Slot) -> None:
        self.world = world
        self.supervisor = supervisor
        self.slot = slot.name
        self.lane = slot.lane
        self.role = slot.role
        self.model = slot.model
        self.incarnation = world.name("p")
        self.identity = f"{slot.role}.{slot.name}.{self.incarnation}".encode()
        self.pid = int(self.incarnation[1:])
        self.alive = True
        self.frozen = self.hung = self.mute = False
        self.ready = False
        self.stopping = ""
        self.steps = 0
        #: Until when its queue is full, for what the supervisor sends.
        self.full_until = 0.0
        #: Seconds by which each step takes longer.
        self.slow = 0.0
        #: For the crew: why we ended it, and whether because it hung.
        self.ended_by_us = ""
        self.stalled = False
        self.ended = self.said_all = False
        self.said: Mapping[str, Any] = {}
        self.tail: tuple[str, ...] = ()
        self.top_frame = None
        self.memory = BASE * MB
        self.status = 0
        self._terminated = False
        self._pending: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()

    @property
    def told(self) -> str:
        return self.identity.decode()

    # -- for the crew -------------------------------------------------------------------------

    def signal(self, name: str) -> None:
        if name == "SIGKILL":
            self.die(SIGKILL)
        elif name == "SIGTERM":
            self.step(self._terminate)

    def reap(
        self, now: float, wall: float, *, for_memory: Callable[[], bool | None], paused: bool
    ) -> Exit:
        if self.status == SIGALRM:
            self.stalled = not paused
            self.ended_by_us = self.ended_by_us or (STOOD_STILL if paused else NO_PROGRESS)
        return describe_exit(self.status, wall, self.ended_by_us)

    # -- life ---------------------------------------------------------------------------------

    def step(self, act: Callable[..., object], *args: Any) -> None:
        """Something happens in this process: never once it is dead, later while it is frozen."""
        if not self.alive:
            return
        if self.frozen:
            self._pending.append((act, args))
        else:
            act(*args)

    def later(self, delay: float, act: Callable[..., object], *args: Any) -> None:
        self.world.later(delay, self.step, act, *args)

    def thaw(self) -> None:
        self.frozen = False
        while self._pending and self.alive and not self.frozen:
            act, args = self._pending.popleft()
            act(*args)

    def die(self, status: int) -> None:
        """The process ends; what it had sent may be lost or arrive late."""
        if not self.alive:
            return
        self.alive = False
        self.status = status
        self._pending.clear()
        del self.world.processes[self.identity]
        at = self.world.now + SENTINEL + self.world.random.expovariate(300)
        if status in IN_ORDER:
            at = max(at, self.world.network.busy((self.identity, self.supervisor.told)))
        else:
            self.world.network.cut(self.identity)
        self.world.at(at, self.supervisor.arrive, "ended", self)

    def timed_out(self) -> None:
        """Its own timer ends a step that hangs."""
        if getattr(self, "running", None) is not None:
            self.die(SIGALRM)

    def stab(self, kind: str) -> bool:
        """Death at this step, by somebody outside or by a crash; whether it happened."""
        world = self.world
        if not world.chance(0.004):
            return False
        if self.role == "embed" and world.random.random() < 0.3:
            world.fault(f"crash: {kind}")
            self.die(SIGSEGV)
        else:
            world.fault(f"killed: {kind}")
            self.die(SIGKILL)
        return True

    def send(self, message: Message) -> None:
        message = replace(message, incarnation=message.incarnation or self.incarnation)
        self.world.network.send(
            self.identity,
            self.supervisor.told,
            self.supervisor.arrive,
            "back",
            (self.identity, message),
            twice=message.kind not in ("hello", "ready"),
            latest=PROMPT,
        )

    def exit(self) -> None:
        self.send(Message("bye"))
        self.die(EXIT_TERM if self._terminated else 0)

    def _terminate(self) -> None:
        # A handler of signals needs an interpreter that runs.
        if self.mute:
            return
        self._terminated = True
        self.told_to_end("stop")

    # -- birth --------------------------------------------------------------------------------

    def begin(self) -> None:
        """Spawned: it says hello, if all goes well."""
        world = self.world
        if world.chance(0.01):
            world.fault("no hello")
            self.hung = self.mute = True
            return
        self.later(world.random.uniform(0.02, 0.2), self._hello)

    def _hello(self) -> None:
        self._beat()
        self.send(Message("hello", body={"role": self.role, "slot": self.slot, "pid": self.pid}))

    def _load(self) -> None:
        world = self.world
        self.send(
            Message("state", body={"state": "OPENING" if self.slot == "store" else "LOADING"})
        )
        delay = world.random.uniform(0.05, 0.3)
        if world.chance(0.03):
            world.fault("crash while loading")
            self.later(delay, self.die, SIGSEGV)
            return
        if world.chance(0.012):
            passing = world.random.random() < 0.5
            world.fault("boot failure" + (" that passes" if passing else ""))
            problem = StorageError("disk full") if passing else ModelNotFound("no such model")
            self.later(delay, self._cannot_boot, Message("failed", body=problem.to_dict()))
            return
        if world.chance(0.01):
            world.fault("load timeout")
            self.hung = True
            return
        if world.chance(0.05):
            world.fault("slow load")
            delay = world.random.uniform(0.5, 3.0)
        self.later(delay, self._loaded)

    def _loaded(self) -> None:
        if self.hung:
            return
        info = self.open()
        if info is None:
            self.later(0.1, self._loaded)
            return
        self.ready = True
        self.send(Message("ready", body=info))
        if self.stopping:
            self.exit()

    def _cannot_boot(self, why: Message) -> None:
        self.send(why)
        self.send(Message("bye"))
        self.die(EXIT_BOOT)

    def _beat(self) -> None:
        if not self.mute:
            body = {"progress": self.steps, "busy": self.busy, "memory_bytes": self.memory}
            self.send(Message("beat", body=body))
        self.later(BEAT, self._beat)

    # -- what comes in ------------------------------------------------------------------------

    def take(self, message: Message) -> None:
        """From the supervisor, in its I/O thread."""
        if message.kind == "config":
            self._load()
        elif message.kind in ("drain", "stop"):
            self.told_to_end(message.kind)
        else:
            self.work(message)

    def told_to_end(self, how: str) -> None:
        self.stopping = how
        if self.hung:
            return
        if not self.ready and how == "stop":
            self.exit()
        elif self.ready:
            self.go_on()

    # -- for the two kinds --------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether it has anything to do, as its beats say it."""
        raise NotImplementedError

    def open(self) -> dict[str, Any] | None:
        """What READY says; None if it has to wait."""
        raise NotImplementedError

    def work(self, message: Message) -> None:
        raise NotImplementedError

    def go_on(self) -> None:
        """Look for the next thing to do, or end."""
        raise NotImplementedError
