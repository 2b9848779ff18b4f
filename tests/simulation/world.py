"""A simulated world around the real supervisor's decisions: one seed is one whole history.

The clock is a heap of events. Everything random comes from one generator, so a seed says all: the
shape of the service, what clients ask, and every fault.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thoth_core.supervisor import assign, dispatch, store_line
from thoth_core.supervisor.dispatch import Limits
from thoth_core.supervisor.slots import Policy
from thoth_core.wire import Message

if TYPE_CHECKING:
    from tests.simulation.checks import Checks
    from tests.simulation.clients import Clients
    from tests.simulation.ledger import Ledger
    from tests.simulation.network import Network
    from tests.simulation.processes import Process
    from tests.simulation.supervisor import Supervisor
    from thoth_core.supervisor.quarantine import Quarantine

#: Events that are shown of a history that went wrong.
TRACE = 60
#: MiB that a worker may have.
MEMORY = 500
#: MiB that a worker has at first.
BASE = 100
#: The service's own model, and others that may be asked for.
OWN, OTHERS = "fake/8", ("fake/other", "fake/third")


def identity(model: str, weights: int = 0) -> dict[str, Any]:
    """What a worker says of its model."""
    return {"name": model, "dimension": 8, "weights": weights}


#: The model of each collection.
COLLECTIONS = {"c": OWN, "d": OTHERS[0]}
#: Seconds without work after which a worker of another model is ended.
MODEL_IDLE = 3.0
#: Bounds of dispatch, made so small that histories meet them.
SMALL = [
    (store_line, "MAX_CALLS", 8),
    (store_line, "MAX_BYTES", 60_000),
    (store_line, "URGENT_IN_A_ROW", 4),
    (assign, "HANDED_UNITS", 6),
    (assign, "HANDED_QUERIES", 4),
    (assign, "INTERACTIVE_IN_A_ROW", 4),
    (assign, "TRIALS_IN_A_ROW", 2),
    (dispatch, "STORE_PATIENCE", 3.0),
]


class Violation(AssertionError):
    """Something that must always hold did not."""


@dataclass(frozen=True)
class Shape:
    """What differs from history to history besides the faults."""

    bulk: int
    credit: dict[str, int]
    kept_bytes: int
    limits: Limits
    policy: Policy
    busy: float
    asks: float
    faults: float
    poison: float
    #: Seconds after which a worker is replaced; 0 is never.
    age: float
    #: How likely a call is for another model, and MiB for the workers of those.
    others: float
    room: int

    @classmethod
    def draw(cls, r: random.Random) -> Shape:
        return cls(
            bulk=r.choice((1, 2, 2, 3)),
            credit={
                "units": r.choice((1, 2, 2, 3)),
                "items": r.choice((2, 4, 8)),
                "tokens": r.choice((60, 200)),
            },
            kept_bytes=r.choice((1500, 4000, 100_000)),
            limits=Limits(
                queue_bytes=r.choice((20_000, 80_000, 400_000)),
                queue_requests=r.choice((6, 20, 60)),
                silence=r.uniform(4, 12),
                unit_timeout=r.uniform(1.5, 9),
            ),
            policy=Policy(
                longest_delay=3.0,
                failed_retry=4.0,
                hello_limit=2.0,
                load_limit=4.0,
                drain_limit=2.0,
                term_after=0.4,
                dump_after=0.1,
                kill_after=0.8,
            ),
            busy=r.uniform(6, 16),
            asks=r.uniform(3, 9),
            faults=r.choice((0.3, 1.0, 1.0, 2.0)),
            poison=r.choice((0.0, 0.0, 0.04, 0.15)),
            age=r.choice((0.0, 0.0, 0.0, 10.0)),
            others=r.choice((0.0, 0.0, 0.15, 0.4)),
            room=BASE * r.choice((1, 2, 3, 6)),
        )


class World:
    """The parts find each other here."""

    network: Network
    ledger: Ledger
    clients: Clients
    checks: Checks
    supervisor: Supervisor
    quarantine: Quarantine

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.shape = Shape.draw(self.random)
        self.now = 0.0
        #: How likely faults are; 0 when the world has become quiet.
        self.faults = self.shape.faults
        self.events = 0
        self.tally: Counter[str] = Counter()
        self.processes: dict[bytes, Process] = {}
        self.trace: deque[tuple[float, Callable[..., object], tuple[Any, ...]]] = deque(
            maxlen=TRACE
        )
        #: How often the files of a model were replaced.
        self.weights: Counter[str] = Counter()
        self._heap: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._serial = 0

    # -- the clock ----------------------------------------------------------------------------

    def at(self, when: float, act: Callable[..., object], *args: Any) -> None:
        self._serial += 1
        heapq.heappush(self._heap, (when, self._serial, act, args))

    def later(self, delay: float, act: Callable[..., object], *args: Any) -> None:
        self.at(self.now + delay, act, *args)

    def run(self, until: float, done: Callable[[], bool] | None = None) -> None:
        """Let everything happen up to that moment, or until ``done`` says so."""
        heap, trace = self._heap, self.trace
        while heap and heap[0][0] <= until:
            self.now, _, act, args = heapq.heappop(heap)
            self.events += 1
            trace.append((self.now, act, args))
            act(*args)
            if done is not None and done():
                return
        self.now = until

    # -- chance -------------------------------------------------------------------------------

    def name(self, prefix: str) -> str:
        self._serial += 1
        return f"{prefix}{self._serial}"

    def chance(self, probability: float) -> bool:
        """Whether a fault of this probability happens now."""
        return self.faults > 0 and self.random.random() < probability * self.faults

    def fault(self, kind: str) -> None:
        self.tally[f"fault: {kind}"] += 1

    def store(self, incarnation: str) -> Process | None:
        """The living store of this incarnation."""
        return next(
            (
                p
                for p in self.processes.values()
                if p.role == "store" and p.incarnation == incarnation
            ),
            None,
        )

    # -- for whoever reads of a violation -----------------------------------------------------

    def story(self) -> list[str]:
        """The last events, oldest first."""
        lines = []
        for at, act, args in self.trace:
            owner = getattr(act, "__self__", None)
            if (told := getattr(owner, "told", "")) and act.__name__ in ("deliver", "step"):
                lines.append(f"{at:9.3f}  {told}: {told_of(args)}".rstrip(": "))
            else:
                lines.append(f"{at:9.3f}  {_named(act)} {told_of(args)}")
        return lines


def _named(act: Callable[..., object]) -> str:
    name = getattr(act, "__qualname__", repr(act))
    owner = getattr(act, "__self__", None)
    told = getattr(owner, "told", "")
    return f"{name}[{told}]" if told else name


def told_of(args: tuple[Any, ...]) -> str:
    words = []
    for arg in args:
        if isinstance(arg, Message):
            words.append(f"{arg.kind} {arg.id} attempt {arg.attempt} of {arg.incarnation or '-'}")
        elif callable(arg):
            words.append(_named(arg))
        elif isinstance(arg, tuple):
            words.append(told_of(arg))
        else:
            words.append(getattr(arg, "told", "") or repr(arg)[:80])
    return ", ".join(words)


@contextmanager
def small_bounds() -> Iterator[None]:
    """Dispatch with bounds that a short history can reach."""
    before = [(module, name, getattr(module, name)) for module, name, _ in SMALL]
    for module, name, value in SMALL:
        setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)
