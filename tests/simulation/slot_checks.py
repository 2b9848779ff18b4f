"""What must hold of the slots, told by a second, simpler account of the restart policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.simulation.world import BASE, Violation
from thoth_core.supervisor.board import Stalled
from thoth_core.supervisor.recycling import MB
from thoth_core.supervisor.service import TICK
from thoth_core.supervisor.slots import Action, Signal, Spawn, State, Tell

if TYPE_CHECKING:
    from tests.simulation.supervisor import SimCrew, Supervisor
    from tests.simulation.world import World

#: How much later than due the loop may be: its longest wait, and a stop that it does not notice.
LATE = 1.0 + 2.0 + 3 * TICK


@dataclass(slots=True)
class Account:
    """What one slot has gone through."""

    #: Stopped for good by us.
    stopped: bool = False
    #: Ended by an operator who wants a successor.
    restarted: bool = False
    #: Deaths in a row without useful work.
    deaths: int = 0
    #: When its last process ended, or nothing could be spawned; None while one is there.
    free_since: float | None = 0.0
    #: It said itself that it cannot be set up, and that this does not pass.
    given_up: bool = False
    boot_failure: bool = False
    #: When we told it to end, and how; when the process or its present phase began.
    told: str = ""
    told_at: float = 0.0
    since: float = 0.0
    terminated_at: float | None = None
    #: When it was asked for its stacks, because it hangs.
    hung_at: float | None = None
    #: It is replaced, though nothing went wrong.
    planned: bool = False
    state: State = State.BACKOFF


class SlotChecks:
    def __init__(self, world: World) -> None:
        self.world = world
        self._slots: dict[str, Account] = {}

    def began(self, supervisor: Supervisor) -> None:
        self._slots = {}

    def _of(self, name: str) -> Account:
        return self._slots.setdefault(name, Account(free_since=self.world.now))

    def stood_still(self, gap: float) -> None:
        for account in self._slots.values():
            account.told_at += gap
            account.since += gap
            if account.terminated_at is not None:
                account.terminated_at += gap
            if account.hung_at is not None:
                account.hung_at += gap

    # -- what is done -------------------------------------------------------------------------

    def stopped(self, supervisor: Supervisor, names: list[str]) -> None:
        for name in names:
            self._of(name).stopped = True

    def added(self, crew: SimCrew, name: str) -> None:
        """A slot for another model. Together they stay within their memory."""
        self._slots[name] = Account(free_since=self.world.now)
        held = 0
        for slot in crew.slots.values():
            if slot.on_demand and not slot.hopeless:
                # As it said last.
                said = crew.beats.get(slot.name, {}).get("memory_bytes", 0)
                held += said if slot.state is State.READY else BASE * MB
        if held > self.world.shape.room * MB:
            raise Violation(f"{name} is added, and those for other models hold {held // MB} MB")

    def retired(self, supervisor: Supervisor, name: str) -> None:
        slot = supervisor.crew.slots[name]
        if not slot.on_demand:
            raise Violation(f"{name} is the service's own, and is ended for good")
        self._of(name).stopped = True

    def operator(self, supervisor: Supervisor, name: str | None) -> None:
        for each in [name] if name is not None else list(supervisor.crew.slots):
            account = self._of(each)
            if account.stopped:
                # It is ended for good, whatever an operator says.
                continue
            account.restarted = True
            account.given_up = account.boot_failure = False
            account.deaths = 0

    def useful(self, supervisor: Supervisor, name: str) -> None:
        self._of(name).deaths = 0

    def stalled(self, supervisor: Supervisor, action: Stalled) -> None:
        self.world.tally["stalls"] += 1
        self.world.checks.work.stalled(supervisor, action)

    def decided(self, supervisor: Supervisor, action: Action) -> None:
        account, now = self._of(action.slot), self.world.now
        policy = self.world.shape.policy
        if isinstance(action, Spawn):
            self._spawns(supervisor, action.slot, account)
        elif isinstance(action, Tell):
            slot = supervisor.crew.slots[action.slot]
            # A planned restart is told by its reason.
            planned = slot.ending.startswith("recycled")
            if planned and action.kind == "stop":
                if account.told != "drain":
                    raise Violation(f"{action.slot} is replaced before its work is done")
                if now < account.told_at + self._replaced_within() - 1e-6:
                    raise Violation(f"{action.slot} is replaced before it is known to hang")
            account.planned = account.planned or planned
            account.told, account.told_at = action.kind, now
        elif isinstance(action, Signal):
            slot = supervisor.crew.slots[action.slot]
            if action.name == "SIGUSR1":
                account.hung_at = now
            elif action.name == "SIGTERM":
                if now < account.told_at + policy.term_after - 1e-6:
                    raise Violation(f"{action.slot} had no time to end before SIGTERM")
                account.terminated_at = now
            else:
                if account.terminated_at is not None and (
                    now < account.told_at + policy.kill_after - 1e-6
                ):
                    raise Violation(f"{action.slot} had no time to end after SIGTERM")
                if account.hung_at is not None and now < account.hung_at + policy.dump_after - 1e-6:
                    raise Violation(f"{action.slot} had no time to write its stacks")
                if not account.told and account.hung_at is None:
                    raise Violation(f"{action.slot} is killed without a word")
            if slot.state is State.STOPPED:
                raise Violation(f"{action.slot} is signalled though it has ended")

    def _replaced_within(self) -> float:
        """Seconds that a worker has for its work which is replaced though nothing went wrong."""
        return self.world.shape.policy.drain_limit + self.world.shape.limits.unit_timeout

    def _spawns(self, supervisor: Supervisor, name: str, account: Account) -> None:
        now = self.world.now
        if account.stopped:
            raise Violation(f"{name} was stopped, and is started again")
        if name in supervisor.crew.children:
            raise Violation(f"a second process for {name}")
        if account.given_up and not account.restarted:
            raise Violation(f"{name} cannot be set up, and is started again")
        waited = now - (account.free_since if account.free_since is not None else now)
        if waited < self._delay(account, 1 - self.world.shape.policy.jitter) - 1e-6:
            raise Violation(f"{name} is started again {waited:.2f} s after {account.deaths} deaths")
        self._slots[name] = Account(
            deaths=account.deaths, free_since=None, since=now, state=State.STARTING
        )

    def _delay(self, account: Account, jitter: float) -> float:
        """Seconds that the slot has to wait before the next start."""
        policy, deaths = self.world.shape.policy, account.deaths
        if account.restarted or account.planned:
            return 0.0
        if deaths >= policy.deaths or account.boot_failure:
            return policy.failed_retry
        if deaths <= 1:
            return 0.0
        return min(policy.longest_delay, policy.first_delay * 2.0 ** (deaths - 2)) * jitter

    def not_spawned(self, name: str) -> None:
        account = self._of(name)
        account.deaths += 1
        account.restarted = False
        account.free_since = self.world.now

    def ended(self, supervisor: Supervisor, child: Any) -> None:
        """Said before the crew hears of it, which may start a successor at once."""
        account, slot = self._of(child.slot), supervisor.crew.slots[child.slot]
        now = self.world.now
        told = bool(account.told)
        account.free_since = now
        if account.stopped or account.restarted or (told and account.planned):
            pass
        elif child.status == 78 and not child.ended_by_us:
            account.boot_failure = True
            account.given_up = not slot._may_pass()
        else:
            account.deaths += 1
            account.restarted = False
        account.told = ""

    # -- what is due --------------------------------------------------------------------------

    def after_tick(self, supervisor: Supervisor) -> None:
        """Nothing that is due is forgotten."""
        now, policy = self.world.now, self.world.shape.policy
        for name, slot in supervisor.crew.slots.items():
            account = self._of(name)
            if slot.state is not account.state:
                account.state, account.since = slot.state, now
            if slot.deaths != account.deaths:
                raise Violation(f"{name} is said to have died {slot.deaths}, not {account.deaths}")
            child: Any = supervisor.crew.children.get(name)
            if child is None:
                if account.stopped or (account.given_up and not account.restarted):
                    continue
                since = account.free_since if account.free_since is not None else now
                if now > since + self._delay(account, 1 + policy.jitter) + LATE:
                    raise Violation(f"{name} has no process, and is not started ({slot.state})")
                continue
            if account.told:
                limit = policy.kill_after
                if account.told == "drain":
                    limit += self._replaced_within() if account.planned else policy.drain_limit
                if now > account.told_at + limit + LATE and child.alive:
                    raise Violation(f"{name} was told to {account.told}, and is still there")
            elif slot.state in (State.STARTING, State.LOADING, State.OPENING):
                if now > account.since + max(policy.hello_limit, policy.load_limit) + LATE:
                    raise Violation(f"{name} is {slot.state} for ever")
            elif (
                account.hung_at is not None
                and child.alive
                and now > account.hung_at + policy.dump_after + LATE
            ):
                raise Violation(f"{name} hangs, and is still there")
