"""A simulated embed worker, as ``embed_worker/service.py`` has it: units in, vectors out."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from embed_worker.kept import KeptVectors
from embed_worker.latest_store import LatestStore
from embed_worker.service import for_store
from tests.simulation.processes import SIGSEGV, Process
from tests.simulation.world import Violation, identity
from thoth_core.errors import Cancelled, ServiceUnavailable, WorkerRaised
from thoth_core.supervisor.slots import Slot
from thoth_core.wire import Buffer, Message, error_message

if TYPE_CHECKING:
    from tests.simulation.supervisor import Supervisor
    from tests.simulation.world import World

#: Texts that end the process which embeds them, that never end, and that the engine refuses.
POISON, ENDLESS, REFUSED = "!poison", "!endless", "!refused"


class EmbedProcess(Process):
    def __init__(self, world: World, supervisor: Supervisor, slot: Slot) -> None:
        super().__init__(world, supervisor, slot)
        self.kept = KeptVectors(world.shape.kept_bytes)
        #: The files that it loads, and what it says of them.
        self.weights = world.weights[slot.model]
        self.says: dict[str, Any] = {}
        self.running: Message | None = None
        self._waiting: deque[Message] = deque()
        #: What came while a unit runs; it is looked at between two steps.
        self._inbox: deque[Message] = deque()
        self._cancelled = False
        self._latest_store = LatestStore()
        #: The store that its one line leads to.
        self._line: bytes | None = None

    @property
    def busy(self) -> bool:
        return self.running is not None

    def open(self) -> dict[str, Any]:
        self.says = identity(self.model, self.weights)
        return {"model": self.says, "credit": self.world.shape.credit}

    # -- what comes in ------------------------------------------------------------------------

    def work(self, message: Message) -> None:
        self._inbox.append(message)
        if self.running is None:
            self.go_on()

    def go_on(self) -> None:
        if self.running is not None or self.hung:
            return
        self._read()
        if self.stopping == "stop":
            self.exit()
        elif self._waiting:
            self._start(self._waiting.popleft())
        elif self.stopping:
            self.exit()

    def _read(self) -> None:
        while self._inbox:
            message = self._inbox.popleft()
            self._latest_store.heard(message)
            if message.kind == "unit":
                self._waiting.append(message)
            elif message.kind == "release":
                for unit in message.body["units"]:
                    self._release(unit)
            elif message.kind == "resend":
                self._resend(message)

    def _release(self, unit: str) -> None:
        self.kept.release(unit)
        if self.running is not None and self.running.id == unit:
            self._cancelled = True
        for waiting in [m for m in self._waiting if m.id == unit]:
            self._waiting.remove(waiting)
            self._refuse(waiting)

    def _resend(self, message: Message) -> None:
        store = message.body["store"]
        for unit, attempt in message.body["units"]:
            again = self.kept.again(unit, attempt, store["incarnation"])
            if again is None:
                self.send(Message("missing", unit, attempt))
            else:
                self._to_store(again)

    # -- a unit -------------------------------------------------------------------------------

    def _start(self, unit: Message) -> None:
        self.running, self._cancelled = unit, False
        if self.stab("before a unit"):
            return
        self.send(Message("started", unit.id, unit.attempt))
        self._take_step(self.world.random.choice((1, 1, 2, 4)))

    def _take_step(self, left: int) -> None:
        self.later(self.world.random.uniform(0.01, 0.08) + self.slow, self._stepped, left)

    def _stepped(self, left: int) -> None:
        unit = self.running
        assert unit is not None
        if any(ENDLESS in text for text in unit.body["texts"]):
            self.hung = True
        if self.hung:
            return
        if any(POISON in text for text in unit.body["texts"]):
            self.die(SIGSEGV)
            return
        if self.stab("in a unit"):
            return
        self.steps += 1
        self._read()
        if self.stopping == "stop":
            self.exit()
        elif self._cancelled:
            self._refuse(unit)
            self._end_unit()
        elif left > 1:
            self._take_step(left - 1)
        else:
            self._answer(unit)
            if self.alive:
                self._end_unit()

    def _end_unit(self) -> None:
        self.running = None
        if not self.stab("after a unit"):
            self.go_on()

    def _answer(self, unit: Message) -> None:
        if self.world.chance(0.02):
            self.world.fault("unit refused for now")
            self.send(error_message(ServiceUnavailable("not now"), unit.id, unit.attempt))
            return
        texts = unit.body["texts"]
        rows = [i for i, text in enumerate(texts) if REFUSED not in text]
        refused = WorkerRaised("no").to_dict()
        errors = [[i, refused] for i in range(len(texts)) if i not in rows]
        report = {"indices": rows, "tokens": len(rows), "windowed": 0, "errors": errors}
        # The rows' texts stand for their vectors.
        vectors: Any = Buffer((len(rows), 8), tuple(texts[i] for i in rows))  # type: ignore[arg-type]
        store = unit.body.get("store")
        if store is None:
            self.send(Message("done", unit.id, unit.attempt, body=report, buffers=(vectors,)))
            return
        if rows:
            message = for_store(unit, store, texts, rows, vectors)
            if message.kind == "search":
                message = Message(
                    "search",
                    unit.id,
                    unit.attempt,
                    message.incarnation,
                    body={**message.body, "texts": [texts[i] for i in rows]},
                )
            if self._latest_store.is_at(store):
                self._to_store(message)
            self.kept.put(message, 100 * len(rows))
            if self.stab("between store and supervisor"):
                return
        self.send(Message("handed", unit.id, unit.attempt, body=report))

    def _to_store(self, message: Message) -> None:
        store = self.world.store(message.incarnation)
        leads_to = store.identity if store is not None else None
        if self._line != leads_to:
            # What still waits on the line to another is lost, and a new one is not there at once.
            lost = self.world.network.close(self.identity, self._line)
            if lost and self._line in self.world.processes:
                # Nobody would ask for them again.
                raise Violation(f"{lost} messages for a living store are dropped for a dead one's")
            self.world.network.hold(self.identity, leads_to, self.world.random.uniform(0, 0.1))
        self._line = leads_to
        if store is None:
            # Nobody listens at a dead store's socket.
            return
        self.world.network.send(
            self.identity, store.identity, store.step, store.work, message, twice=True
        )

    def _refuse(self, unit: Message) -> None:
        self.send(error_message(Cancelled("given up"), unit.id, unit.attempt))
