"""The state machine of one worker, and its restart policy. Pure: time and chance are passed in.

A slot is the place that one worker after another fills; each of these is an incarnation. What the
machine decides comes back as actions, which the service carries out.

The policy is that of an OTP supervisor's restart intensity, counted in deaths without useful work
in between instead of deaths in a time: a worker that works between deaths is restarted for ever,
one that never does is given up visibly and tried again now and then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

Role = Literal["embed", "store"]
Lane = Literal["bulk", "interactive", ""]


class State(StrEnum):
    STARTING = "STARTING"
    LOADING = "LOADING"
    OPENING = "OPENING"
    READY = "READY"
    DRAINING = "DRAINING"
    STOPPING = "STOPPING"
    BACKOFF = "BACKOFF"
    FAILED = "FAILED"
    #: Ended because it was told to; nobody starts it again.
    STOPPED = "STOPPED"


#: States in which a process exists.
ALIVE = frozenset(
    {
        State.STARTING,
        State.LOADING,
        State.OPENING,
        State.READY,
        State.DRAINING,
        State.STOPPING,
    }
)


#: Codes of boot failures that are tried again by themselves.
PASSING = frozenset({"storage", "already_running"})


@dataclass(frozen=True, slots=True)
class Policy:
    """All in seconds, but for ``deaths``: how many in a row, without useful work, are too many."""

    first_delay: float = 0.1
    longest_delay: float = 30.0
    jitter: float = 0.2
    deaths: int = 5
    failed_retry: float = 30.0
    hello_limit: float = 30.0
    load_limit: float = 600.0
    drain_limit: float = 30.0
    term_after: float = 2.0
    #: For a worker that hangs to write its stacks.
    dump_after: float = 0.5
    kill_after: float = 5.0


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended. ``blame`` is whether what it was working on may have caused it:
    not when we ended it, and not for a SIGKILL from outside."""

    reason: str
    at: float
    signal: str | None = None
    code: int | None = None
    boot_failure: bool = False
    blame: bool = False
    #: The last lines that it wrote.
    tail: tuple[str, ...] = ()
    #: The id of its death report; "" if there is none.
    report: str = ""


@dataclass(frozen=True, slots=True)
class Spawn:
    slot: str


@dataclass(frozen=True, slots=True)
class Tell:
    """Send ``drain`` or ``stop`` to the worker."""

    slot: str
    kind: Literal["drain", "stop"]


@dataclass(frozen=True, slots=True)
class Signal:
    slot: str
    name: Literal["SIGUSR1", "SIGTERM", "SIGKILL"]


Action = Spawn | Tell | Signal


class Slot:
    """One slot. Every method takes the monotonic time and returns what is to be done."""

    def __init__(
        self,
        name: str,
        role: Role,
        lane: Lane,
        chance: Callable[[], float],
        policy: Policy | None = None,
        *,
        model: str = "",
        on_demand: bool = False,
    ) -> None:
        self.name = name
        self.role: Role = role
        self.lane: Lane = lane
        #: Of an embed worker: what its model is asked for by.
        self.model = model
        #: It is there for another model than the service's own, until nobody asks for that.
        self.on_demand = on_demand
        self.state = State.BACKOFF
        #: Where it was when its end began.
        self.before_stopping = State.BACKOFF
        self.policy = policy or Policy()
        #: Incarnations after the first.
        self.restarts = 0
        #: Deaths in a row without useful work.
        self.deaths = 0
        self.last_exit: Exit | None = None
        #: What the worker itself said was wrong when it could not be set up.
        self.failure: Mapping[str, Any] | None = None
        self._chance = chance
        self._started_once = False
        self._since = 0.0
        self._retry_at: float | None = 0.0
        #: Why we end the process, or "" when we do not.
        self._ending = ""
        self._start_again = False
        #: Seconds that it has on top of the limit for its work.
        self._patience = 0.0
        #: It was stopped; nothing starts it again.
        self._for_good = False
        self._said: set[str] = set()

    @property
    def alive(self) -> bool:
        return self.state in ALIVE

    @property
    def hopeless(self) -> bool:
        """No worker is here and none is on its way soon."""
        return self.state in (State.FAILED, State.STOPPED)

    @property
    def stopped(self) -> bool:
        """It was ended for good, or is being ended."""
        return self._for_good

    @property
    def ending(self) -> str:
        """Why we end the process: ``shutdown``, ``restart``, ``recycled: …``, or "" when we do
        not."""
        return self._ending

    @property
    def ready_since(self) -> float | None:
        """Since when its worker is READY; None while it is not."""
        return self._since if self.state is State.READY else None

    @property
    def wakes_at(self) -> float | None:
        """When :meth:`tick` next has something to do."""
        if self.state in (State.BACKOFF, State.FAILED):
            return self._retry_at
        limit = self._limit()
        return None if limit is None else self._since + limit

    # -- what happens to it -------------------------------------------------------------------

    def spawned(self, now: float) -> None:
        self._enter(State.STARTING, now)
        if self._started_once:
            self.restarts += 1
        self._started_once = True
        self._ending = ""
        self._start_again = False
        self._patience = 0.0

    def state_said(self, now: float, state: str) -> None:
        """The worker shook hands (``LOADING``, ``OPENING``)."""
        if self.state in (State.STARTING, State.LOADING, State.OPENING):
            self._enter(State(state), now)

    def ready(self, now: float) -> None:
        if self.state in (State.STARTING, State.LOADING, State.OPENING):
            self._enter(State.READY, now)
            self.failure = None

    def useful(self) -> None:
        """A unit, a commit or a search is done: the deaths before it are forgiven."""
        self.deaths = 0

    def failed_to_boot(self, failure: Mapping[str, Any]) -> None:
        """The worker said why it cannot be set up; its exit follows."""
        self.failure = failure

    def died(self, now: float, exit: Exit) -> list[Action]:
        """The process has ended."""
        self.last_exit = exit
        ours, again = self._ending, self._start_again
        self._ending = ""
        if ours and not again:
            self._enter(State.STOPPED, now)
            self._retry_at = None
            return []
        if ours and again:
            self.deaths = 0 if ours == "restart" else self.deaths
            self._enter(State.BACKOFF, now)
            self._retry_at = now
            return self.tick(now)
        if exit.boot_failure:
            self._enter(State.FAILED, now)
            self._retry_at = now + self.policy.failed_retry if self._may_pass() else None
            return []
        return self._after_death(now)

    def spawn_failed(self, now: float, reason: str) -> list[Action]:
        """No process could be made at all (no memory, no file descriptors)."""
        self.last_exit = Exit(reason=reason, at=now)
        return self._after_death(now)

    def stood_still(self, gap: float) -> None:
        """The supervisor did not run for ``gap`` seconds: the worker was not slow in that time."""
        self._since += gap

    # -- what we do to it ---------------------------------------------------------------------

    def stop(self, now: float, *, drain: bool) -> list[Action]:
        """End it for good; first letting it finish when ``drain``."""
        self._start_again = False
        self._for_good = True
        self._hurry(now)
        if not self.alive:
            self._enter(State.STOPPED, now)
            self._retry_at = None
            return []
        return self._end(now, "shutdown", drain)

    def stalled(self, now: float) -> list[Action]:
        """Its worker hangs: it is killed, and its end is a death like any other."""
        if self.state not in (State.READY, State.DRAINING):
            return []
        return self._end_hung(now)

    def restart(self, now: float) -> list[Action]:
        """The operator's restart: clears FAILED, and ends a running process after its work. One
        that is being ended already is started again after that; one that was stopped is not."""
        if self._for_good:
            return []
        self.failure = None
        self.deaths = 0
        self._hurry(now)
        if not self.alive:
            self._enter(State.BACKOFF, now)
            self._retry_at = now
            return self.tick(now)
        actions = self._end(now, "restart", True)
        self._start_again = True
        return actions

    def recycle(self, now: float, why: str, patience: float) -> list[Action]:
        """A planned restart, for ``why``: the worker is ended after its work and another started at
        once. No death, and no reason to forgive any. Nothing unless it is READY.

        Nobody is in a hurry, so it has ``patience`` seconds more than others for its work: longer
        than it takes to find that it hangs. If it were ended before that, a text with which no
        worker ever ends would be taken for one whose work was cut short, again and again."""
        if self.state is not State.READY or self._ending:
            return []
        self._patience = patience
        actions = self._end(now, why, True)
        self._start_again = True
        return actions

    def tick(self, now: float) -> list[Action]:
        """Whatever is due: a start, or the next rung of the kill ladder."""
        if self.state in (State.BACKOFF, State.FAILED):
            if self._retry_at is not None and now >= self._retry_at:
                # Until ``spawned`` or ``spawn_failed`` says more, nothing else is due.
                self._retry_at = None
                return [Spawn(self.name)]
            return []
        limit = self._limit()
        # The same sum as in ``wakes_at``: another one may be a rounding away from it.
        if limit is None or now < self._since + limit:
            return []
        if self.state is State.DRAINING:
            return self._end(now, self._ending, False)
        if self.state is State.STOPPING:
            if "SIGTERM" not in self._said:
                self._said.add("SIGTERM")
                return [Signal(self.name, "SIGTERM")]
            self._said.add("SIGKILL")
            return [Signal(self.name, "SIGKILL")]
        # It took too long to start or to load: that is a death like any other.
        return self._end_hung(now)

    # -- within -------------------------------------------------------------------------------

    def _hurry(self, now: float) -> None:
        """Whoever wants its end now gives it no more than the limit, from now on."""
        self._patience = min(self._patience, now - self._since)

    def _end_hung(self, now: float) -> list[Action]:
        """Let it write its stacks, which needs neither its lock nor its main thread, and kill it.
        SIGTERM would only ask the loop that hangs."""
        self._enter(State.STOPPING, now)
        self._said = {"SIGUSR1", "SIGTERM"}
        return [Signal(self.name, "SIGUSR1")]

    def _enter(self, state: State, now: float) -> None:
        if state is State.STOPPING and self.state is not state:
            self.before_stopping = self.state
        self.state = state
        self._since = now
        self._said = set()

    def _limit(self) -> float | None:
        policy = self.policy
        if self.state is State.STARTING:
            return policy.hello_limit
        if self.state in (State.LOADING, State.OPENING):
            return policy.load_limit
        if self.state is State.DRAINING:
            return policy.drain_limit + self._patience
        if self.state is State.STOPPING:
            if "SIGKILL" in self._said:
                return None
            if "SIGUSR1" in self._said:
                return policy.dump_after
            return policy.kill_after if "SIGTERM" in self._said else policy.term_after
        return None

    def _end(self, now: float, why: str, drain: bool) -> list[Action]:
        self._ending = why
        drain = drain and self.state in (State.READY, State.DRAINING)
        if drain:
            if self.state is not State.DRAINING:
                self._enter(State.DRAINING, now)
                return [Tell(self.name, "drain")]
            return []
        if self.state is not State.STOPPING:
            self._enter(State.STOPPING, now)
            return [Tell(self.name, "stop")]
        return []

    def _may_pass(self) -> bool:
        """Whether what kept the worker from being set up may mend itself: a disk that is full, a
        lock that somebody holds. A model that is not there, or a wrong setting, does not."""
        return self.failure is not None and self.failure.get("code") in PASSING

    def _after_death(self, now: float) -> list[Action]:
        self.deaths += 1
        policy = self.policy
        if self.deaths >= policy.deaths:
            self._enter(State.FAILED, now)
            self._retry_at = now + policy.failed_retry
            return []
        self._enter(State.BACKOFF, now)
        delay = 0.0
        if self.deaths > 1:
            delay = min(policy.longest_delay, policy.first_delay * 2 ** (self.deaths - 2))
            delay *= 1 + policy.jitter * (2 * self._chance() - 1)
        self._retry_at = now + delay
        return self.tick(now)
