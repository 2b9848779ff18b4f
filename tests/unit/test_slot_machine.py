"""One slot under every order of events, against a world that keeps its own books of the process."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from thoth_core.supervisor.slots import (
    Action,
    Exit,
    Policy,
    Signal,
    Slot,
    Spawn,
    State,
    Tell,
)

POLICY = Policy()
#: What one that is replaced has on top of the drain.
PATIENCE = 7.0
#: No process lives longer than this once it is to end: drain, word, TERM, KILL.
LADDER = PATIENCE + POLICY.drain_limit + POLICY.term_after + POLICY.kill_after


class SlotMachine(RuleBasedStateMachine):
    """Carries out what the slot says. ``process`` is the one that lives, if any."""

    def __init__(self) -> None:
        super().__init__()
        self.chance = 0.5
        self.now = 0.0
        self.slot = Slot("s", "embed", "bulk", lambda: self.chance, POLICY)
        self.process = False
        self.spawns = 0
        self.stopped = False
        self.killed = False
        #: Since when the process is to end, and whether anything was to be started after.
        self.ending_since: float | None = None
        self.blocked = False

    def carry_out(self, actions: list[Action]) -> None:
        for action in actions:
            assert action.slot == "s"
            if isinstance(action, Spawn):
                assert not self.process, "a second process in one slot"
                assert not self.stopped, "started after a stop"
                if self.blocked:
                    self.carry_out(self.slot.spawn_failed(self.now, "no memory"))
                else:
                    self.process, self.killed, self.ending_since = True, False, None
                    self.spawns += 1
                    self.slot.spawned(self.now)
            else:
                assert self.process, "a word to nobody"
                if isinstance(action, Signal) and action.name == "SIGKILL":
                    self.killed = True

    def note_end(self) -> None:
        if self.slot.state in (State.DRAINING, State.STOPPING) and self.ending_since is None:
            self.ending_since = self.now

    # -- time ---------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.0, 0.05, 0.2, 1.0, 3.0, 10.0, 31.0, 700.0]))
    def time_goes_by(self, seconds: float) -> None:
        # The loop wakes for whatever is due.
        end = self.now + seconds
        for _ in range(200):
            wakes = self.slot.wakes_at
            if wakes is None or wakes > end:
                break
            self.now = max(self.now, wakes)
            self.carry_out(self.slot.tick(self.now))
            self.note_end()
        else:
            raise AssertionError("it is always due")
        self.now = end
        self.carry_out(self.slot.tick(self.now))
        self.note_end()

    @rule(gap=st.floats(2.0, 1000.0))
    def the_loop_stands_still(self, gap: float) -> None:
        before = self.slot.state
        self.now += gap
        self.slot.stood_still(gap)
        if self.ending_since is not None:
            self.ending_since += gap
        limit = self.slot.wakes_at
        if self.process and limit is not None:
            assert self.slot.state is before

    @rule(chance=st.floats(0.0, 1.0, exclude_max=True), blocked=st.booleans())
    def the_world_changes(self, chance: float, blocked: bool) -> None:
        self.chance, self.blocked = chance, blocked

    # -- the process --------------------------------------------------------------------------

    @precondition(lambda self: self.process)
    @rule(state=st.sampled_from(["LOADING", "OPENING"]))
    def shakes_hands(self, state: str) -> None:
        self.slot.state_said(self.now, state)

    @precondition(lambda self: self.process)
    @rule()
    def is_ready(self) -> None:
        ending = self.slot.state in (State.DRAINING, State.STOPPING)
        self.slot.ready(self.now)
        assert ending or self.slot.state is State.READY

    @precondition(lambda self: self.slot.state is State.READY)
    @rule()
    def works(self) -> None:
        self.slot.useful()
        assert self.slot.deaths == 0

    @precondition(lambda self: self.process)
    @rule(boot=st.booleans(), code=st.sampled_from(["storage", "model_not_found"]))
    def ends(self, boot: bool, code: str) -> None:
        ours, deaths = self.slot.ending, self.slot.deaths
        if boot and not ours:
            self.slot.failed_to_boot({"code": code, "message": code})
        self.process = False
        spawns = self.spawns
        exit = Exit("ended", self.now, boot_failure=boot and not ours)
        self.carry_out(self.slot.died(self.now, exit))
        if self.stopped:
            assert self.slot.state is State.STOPPED
        elif ours:
            # Our own doing: at once, and no death.
            assert self.blocked or self.spawns == spawns + 1
            assert self.blocked or self.slot.deaths in (0, deaths)
        elif boot:
            assert self.slot.state is State.FAILED
            assert (self.slot.wakes_at is None) == (code == "model_not_found")
        else:
            assert self.slot.deaths >= 1
            assert self.blocked or self.slot.deaths == deaths + 1

    @precondition(lambda self: self.killed and self.process)
    @rule()
    def dies_of_the_kill(self) -> None:
        self.ends(False, "storage")

    @precondition(lambda self: self.process)
    @rule()
    def hangs(self) -> None:
        self.carry_out(self.slot.stalled(self.now))
        self.note_end()

    # -- commands -----------------------------------------------------------------------------

    @rule()
    def restart(self) -> None:
        had, spawns = self.process, self.spawns
        actions = self.slot.restart(self.now)
        assert len([a for a in actions if isinstance(a, Tell)]) <= 1
        self.carry_out(actions)
        self.note_end()
        if self.stopped:
            assert actions == []
        elif not had:
            assert self.blocked or self.spawns == spawns + 1
        else:
            assert self.slot.state in (State.DRAINING, State.STOPPING)
            # A second time while it ends changes nothing.
            assert self.slot.restart(self.now) == []

    @rule()
    def recycle(self) -> None:
        was = self.slot.state
        actions = self.slot.recycle(self.now, "recycled: age", PATIENCE)
        assert bool(actions) == (was is State.READY)
        self.carry_out(actions)
        self.note_end()

    @rule(drain=st.booleans())
    def stop(self, drain: bool) -> None:
        self.stopped = True
        self.carry_out(self.slot.stop(self.now, drain=drain))
        self.note_end()

    # -- what always holds --------------------------------------------------------------------

    @invariant()
    def the_books_agree(self) -> None:
        assert self.slot.alive == self.process
        assert self.slot.restarts == max(0, self.spawns - 1)

    @invariant()
    def something_is_always_due_or_there_is_a_reason(self) -> None:
        state, wakes = self.slot.state, self.slot.wakes_at
        if state is State.BACKOFF:
            assert wakes is not None
            assert wakes <= self.now + POLICY.longest_delay * (1 + POLICY.jitter)
        elif state is State.FAILED:
            hopeless = self.slot.failure is not None
            assert hopeless or (wakes is not None and wakes <= self.now + POLICY.failed_retry)
        elif state is State.READY:
            assert wakes is None
        elif self.process and wakes is None:
            # Only a process that was killed is waited for without an end.
            assert self.killed

    @invariant()
    def whoever_is_to_end_is_killed_in_time(self) -> None:
        if self.process and self.ending_since is not None and not self.killed:
            assert self.now - self.ending_since <= LADDER + 0.001


SlotMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestSlot = SlotMachine.TestCase
