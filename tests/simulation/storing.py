"""A simulated store worker: one call after the other, committed before it is answered."""

from __future__ import annotations

from collections import deque
from typing import Any

from tests.simulation.processes import Process
from thoth_core.errors import ModelMismatch, StorageError
from thoth_core.wire import Message, error_message

#: Seconds that one waits for the ledger of a store that is dying.
LOCK = 10.0


class StoreProcess(Process):
    _queue: deque[Message]

    @property
    def busy(self) -> bool:
        return self.ready and (self._busy or bool(self._queue))

    def open(self) -> dict[str, Any] | None:
        world = self.world
        if not hasattr(self, "_queue"):
            self._queue = deque()
            self._busy = False
        if any(p.role == "store" and p is not self and p.ready for p in world.processes.values()):
            return None
        epoch = world.ledger.open(self.supervisor.service)
        return {"endpoint": f"/{self.incarnation}", "epoch": epoch}

    def work(self, message: Message) -> None:
        if message.incarnation != self.incarnation:
            self.world.tally["for another store"] += 1
            return
        self._queue.append(message)
        self.go_on()

    def go_on(self) -> None:
        if self._busy or self.hung:
            return
        if self.stopping == "stop" or (self.stopping and not self._queue):
            self.exit()
        elif self._queue:
            self._busy = True
            delay = self.world.random.expovariate(300) + self.slow
            self.later(delay, self._carry_out, self._queue.popleft())

    def _carry_out(self, message: Message) -> None:
        if self.hung or self.stab("before a commit"):
            return
        self._busy = False
        self.steps += 1
        if self.world.chance(0.003):
            self.world.fault("store refuses")
            problem = StorageError("the disk is full")
            self.send(error_message(problem, message.id, message.attempt, self.incarnation))
        else:
            try:
                body = self.world.ledger.apply(message)
                answer = Message("result", message.id, message.attempt, self.incarnation, body=body)
            except ModelMismatch as problem:
                answer = error_message(problem, message.id, message.attempt, self.incarnation)
            if self.stab("after a commit"):
                return
            self.send(answer)
        self.go_on()
