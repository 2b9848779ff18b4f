"""One seed, one history: a busy time with faults, a quiet time in which all must come right again,
and a last look."""

from __future__ import annotations

from dataclasses import replace

from tests.simulation import faults
from tests.simulation.checks import Checks
from tests.simulation.clients import Clients
from tests.simulation.ledger import Ledger
from tests.simulation.network import Network
from tests.simulation.supervisor import Supervisor
from tests.simulation.world import BASE, MODEL_IDLE, Violation, World, small_bounds
from thoth_core.supervisor.quarantine import Quarantine
from thoth_core.supervisor.recycling import MB
from thoth_core.supervisor.staffing import PAUSE

#: Seconds of simulated time after which a quiet world must have answered everything.
PATIENCE = 200.0
#: Seconds in which a service that was left alone must have carried out a few easy calls.
PROBE = 30.0


class History(World):
    def __init__(self, seed: int, *, faults: bool = True, poison: float | None = None) -> None:
        super().__init__(seed)
        if poison is not None:
            self.shape = replace(self.shape, poison=poison)
        if not faults:
            self.faults = 0.0
            # Not even a worker that is replaced, with vectors that the store has yet to answer.
            # Nor two models that have to share what is enough for one.
            self.shape = replace(self.shape, age=0.0, others=0.0)
        self.network = Network(self)
        self.ledger = Ledger(self)
        self.checks = Checks(self)
        #: As it is on the disk.
        self.quarantine = Quarantine()
        self.clients = Clients(self)
        self.start_supervisor()

    # -- supervisors --------------------------------------------------------------------------

    def start_supervisor(self) -> None:
        self.supervisor = Supervisor(self)
        self.supervisor.begin()
        self.clients.supervisor_there()

    def kill_supervisor(self) -> None:
        if not self.supervisor.alive:
            return
        self.supervisor.alive = False
        for process in list(self.processes.values()):
            # A second at most; the store finishes what it is in.
            self.later(self.random.uniform(0, 1), process.die, -9)
        self.clients.supervisor_gone()

    # -- the history --------------------------------------------------------------------------

    def tell(self) -> None:
        """Raises :class:`Violation` if anything did not hold."""
        with small_bounds():
            self._busy()
            self._quiet()
            self._probe()
            self._last_look()

    def _busy(self) -> None:
        shape = self.shape
        at = 0.0
        while at < shape.busy:
            at += self.random.expovariate(shape.asks)
            self.later(at, self.clients.ask)
            if self.random.random() < 0.2 * self.faults:
                self.later(at, faults.one, self)
        self.run(shape.busy)

    def _quiet(self) -> None:
        self.faults = 0.0
        for process in list(self.processes.values()):
            process.full_until = process.slow = 0.0
            process.memory = BASE * MB
            process.thaw()
        for client in self.clients.people:
            client.full_until = 0.0
        end = self.now + PATIENCE
        self.run(end, lambda: not self.clients.waiting and self.supervisor.dispatch.idle)
        if self.clients.waiting or not self.supervisor.dispatch.idle:
            calls = [call for client in self.clients.people for call in client.calls]
            raise Violation(f"never answered: {calls or 'requests of clients that have gone'}")

    def _probe(self) -> None:
        """Whatever happened, it serves again: of itself, or once an operator has restarted what
        cannot be set up without one."""
        self.run(self.now + self.shape.policy.failed_retry + 3.0)
        while not self.supervisor.alive or self.supervisor.stopping:
            self.run(self.now + 1.0)
        failed = [s.name for s in self.supervisor.crew.slots.values() if s.state == "FAILED"]
        for name in failed:
            self.supervisor.arrive("control", ("restart", name))
        if failed:
            self.run(self.now + 3.0)
        # A worker that hangs is known by the work that it does not do.
        for last in (False, True):
            self.checks.all_must_succeed = last
            calls = self.clients.probe()
            self.run(self.now + PROBE, lambda: all(call.answered for call in calls))  # noqa: B023
            left = [f"{c.message.kind} {c.message.id}" for c in calls if not c.answered]
            if left:
                raise Violation(f"a quiet service does not answer: {left}")
            self.run(self.now + self.shape.limits.unit_timeout + 3.0)

    def _last_look(self) -> None:
        """Nothing is left over anywhere."""
        board = self.supervisor.dispatch.board
        # Texts whose callers have gone are tried all the same.
        teams = board.teams
        self.run(self.now + PATIENCE, lambda: not any(t.cases or t.alone for t in teams.values()))
        # Workers of other models leave when they are idle, and what was said of them is forgotten.
        self.run(self.now + MODEL_IDLE + PAUSE + self.shape.policy.kill_after + 3.0)
        if len(teams) > 1 or any(s.on_demand for s in self.supervisor.crew.slots.values()):
            raise Violation(f"left over at the end: {list(teams)} {self.supervisor.crew.slots}")
        for what in ("requests", "units", "handed"):
            if getattr(board, what):
                raise Violation(f"left over at the end: {what} {getattr(board, what)}")
        for what in ("interactive", "bulk", "cases", "alone", "asked"):
            if getattr(board.own, what):
                raise Violation(f"left over at the end: {what} {getattr(board.own, what)}")
        if board.bytes or board.store.waiting or board.store.in_flight:
            raise Violation(f"left over at the end: {self.supervisor.dispatch.queue()}")
        for worker in board.workers():
            if worker.units or worker.kept:
                raise Violation(f"{worker.slot} never gave back {worker.units} {worker.kept}")
        for process in self.processes.values():
            kept = getattr(process, "kept", ())
            if len(kept):
                raise Violation(f"{process.told} keeps {len(kept)} units that nobody needs")
        self.checks.at_the_end()
