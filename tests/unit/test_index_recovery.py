"""The decisions about the index, over an index that is nothing but sets and dies as it is told."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store_worker.recovery import Recovery
from store_worker.recovery_steps import (
    Ask,
    Fill,
    Policy,
    Replace,
    SetAside,
    Situation,
    Spawn,
    Stage,
    Step,
    skipped,
)

COLLECTION = 1
#: Decides for an operation how it ends: "" well, "failed" by an error, "no room" before anything is
#: done or "full" in the middle, or a signal.
Fate = Callable[[str], str]


class World:
    """Rows 1 to ``rows`` in one collection, some of which kill whoever writes them."""

    def __init__(
        self,
        recovery: Recovery,
        rows: int,
        *,
        poison: frozenset[int] = frozenset(),
        indexed: bool = True,
        fate: Fate = lambda op: "",
        memory: bool = False,
    ) -> None:
        self.recovery = recovery
        self.rows = rows
        self.poison = set(poison)
        self.index: set[int] = set(range(1, rows + 1)) - self.poison if indexed else set()
        self.made = indexed
        self.hopeless: set[int] = set()
        self.applied = self.last = 0
        self.log: dict[int, int] = {}
        self.fate = fate
        self.memory = memory
        self.now = 0.0
        self.alive = False
        self.asides = 0
        self.damaged = False
        self.deaths = 0
        self.refused = 0

    def write(self, row: int) -> None:
        row = min(row, self.rows + 1)
        self.rows = max(self.rows, row)
        self.last += 1
        self.log[self.last] = row

    def step(self) -> bool:
        """One step; False when nothing is left to do."""
        recovery = self.recovery

        def ask(*, quiet: bool) -> Step | None:
            return recovery.next(
                Situation(self.now, self.applied, self.last, renamed=False, quiet=quiet)
            )

        # While writes keep coming, as long as there is anything to do; then when they have ended.
        step = ask(quiet=False)
        if step is None:
            if recovery.wakes_at is not None and recovery.wakes_at > self.now:
                self.now = recovery.wakes_at
                return True
            step = ask(quiet=recovery.stage is Stage.SERVING)
        if step is None:
            return False
        if isinstance(step, Spawn):
            assert not self.alive
            self.alive = True
            recovery.spawned()
        elif isinstance(step, Replace):
            self.alive = False
        elif isinstance(step, SetAside):
            self.alive, self.index, self.made, self.damaged = False, set(), False, False
            self.asides += 1
            self.applied = self.last
            recovery.set_aside(self.now, {COLLECTION: Fill(0, self.rows)})
        else:
            assert self.alive
            self._ask(step)
        return True

    def _ask(self, ask: Ask) -> None:
        in_hand = self._in_hand(ask)
        fate = self.fate(ask.op)
        if not fate and self.poison & set(in_hand):
            fate = "SIGABRT"
        if fate == "no room":
            self.recovery.no_room(self.now, "the disk is full")
            return
        if fate == "full":
            assert isinstance(self.recovery.full(self.now, ask.op, "the disk is full"), Replace)
            self.alive = False
            self.refused += 1
            return
        if fate == "failed":
            step = self.recovery.failed(self.now, ask.op, "no")
            if step is not None:
                self.alive = False
            return
        if fate == "not begun":
            self.alive = False
            self.recovery.not_begun(self.now, "somebody else has it")
            return
        if fate:
            self.alive = False
            self.deaths += 1
            hand = {COLLECTION: [str(r) for r in in_hand]}
            self.recovery.died(self.now, ask.op, fate, hand, memory=self.memory)
            while self.recovery.suspected.hopeless:
                [id] = self.recovery.suspected.hopeless.pop().ids
                self.hopeless.add(int(id))
            return
        self._done(ask, in_hand)

    def _in_hand(self, ask: Ask) -> list[int]:
        fields = ask.fields
        skip = self._skipped(fields)
        if ask.op == "rows":
            rows = [int(id) for id in fields["ids"]]
        elif ask.op == "fill":
            stop = min(fields["after"] + fields["limit"], fields["upto"])
            rows = list(range(fields["after"] + 1, stop + 1))
        elif ask.op == "apply":
            seqs = range(fields["after"] + 1, min(fields["after"] + fields["limit"], self.last) + 1)
            rows = [self.log[seq] for seq in seqs]
        else:
            return []
        return [row for row in rows if row not in skip and row not in self.hopeless]

    @staticmethod
    def _skipped(fields: Mapping[str, Any]) -> set[int]:
        return {int(id) for id in skipped(fields).get(COLLECTION, ())}

    def _due(self, fields: Mapping[str, Any]) -> set[int]:
        """The rows that the index must have by now."""
        pending = {self.log[seq] for seq in range(fields["after"] + 1, self.last + 1)}
        return set(range(1, self.rows + 1)) - self.hopeless - pending - self._skipped(fields)

    def _done(self, ask: Ask, in_hand: list[int]) -> None:
        recovery, fields = self.recovery, ask.fields
        self.index |= set(in_hand)
        if ask.op == "verify":
            # A collection that it has not got is no difference.
            compares = fields["compare"] and self.made
            lacking = self._due(fields) - self.index if compares else set()
            if recovery.verified(["bad"] if self.damaged else [], len(lacking), self.rows):
                for row in sorted(lacking):
                    self.write(row)
        elif ask.op == "plan":
            recovery.planned({} if self.made else {COLLECTION: Fill(0, self.rows)})
        elif ask.op == "reconcile":
            self.made = True
            recovery.reconciled()
        elif ask.op == "sample":
            due = self._due(fields)
            recovery.sampled(len(due), len(due & self.index))
        elif ask.op == "apply":
            self.applied = min(fields["after"] + fields["limit"], self.last)
            recovery.wrote("apply", len(in_hand))
        elif ask.op == "fill":
            stop = fields["after"] + fields["limit"]
            left = None if stop >= fields["upto"] else Fill(stop, fields["upto"])
            recovery.wrote("fill", len(in_hand), (COLLECTION, left))
        elif ask.op == "rows":
            recovery.wrote("rows", len(in_hand))
        elif ask.op == "settle":
            recovery.settled()

    def run(self, most: int = 3000) -> None:
        for _ in range(most):
            if not self.step():
                return
        raise AssertionError(f"it does not come to rest: {self.recovery.state}")

    def check(self) -> None:
        assert self.recovery.state == "healthy"
        assert self.hopeless <= self.poison
        assert self.index >= set(range(1, self.rows + 1)) - self.hopeless
        assert not self.recovery.fills


def fated(*deaths: tuple[str, str]) -> Fate:
    """Each (operation, end) once, in any order of operations."""
    left = list(deaths)

    def fate(op: str) -> str:
        for each in left:
            if each[0] == op:
                left.remove(each)
                return each[1]
        return ""

    return fate


def test_a_good_index_is_checked_opened_and_sampled_and_then_serves():
    world = World(Recovery(), 100)
    world.run()
    world.check()
    assert world.asides == 0


def test_an_index_that_lacks_its_collection_is_filled():
    world = World(Recovery(), 1234, indexed=False)
    world.run()
    world.check()
    assert world.asides == 0


def test_native_deaths_before_anything_is_opened_are_rarely_the_fault_of_the_index():
    for deaths, asides in ((4, 0), (5, 1)):
        world = World(Recovery(), 10, fate=fated(*[("verify", "SIGSEGV")] * deaths))
        world.run()
        world.check()
        assert world.asides == asides


@pytest.mark.parametrize("op", ["plan", "reconcile", "sample"])
def test_two_native_deaths_in_opening_are_damage_and_one_is_not(op):
    world = World(Recovery(), 10, fate=fated((op, "SIGSEGV")))
    world.run()
    world.check()
    assert world.asides == 0
    world = World(Recovery(), 10, fate=fated((op, "SIGSEGV"), (op, "SIGSEGV")))
    world.run()
    world.check()
    assert world.asides == 1


@pytest.mark.parametrize("op", ["verify", "plan", "sample", "fill", "apply"])
def test_a_kill_from_outside_never_loses_a_good_index(op):
    deaths = [(op, "SIGKILL")] * 4
    world = World(Recovery(), 10, fate=fated(*deaths), indexed=op != "fill")
    world.write(3)
    world.run()
    world.check()
    assert world.asides == 0


@pytest.mark.parametrize("op", ["verify", "plan", "reconcile", "sample"])
def test_only_a_lack_of_memory_makes_many_kills_in_opening_the_fault_of_the_index(op):
    deaths = [(op, "SIGKILL")] * 12
    world = World(Recovery(), 10, fate=fated(*deaths))
    world.run()
    world.check()
    assert (world.deaths, world.asides) == (12, 0)
    world = World(Recovery(), 10, fate=fated(*deaths), memory=True)
    world.run()
    world.check()
    assert world.asides == 2


def test_a_process_that_could_not_begin_says_nothing_of_the_index():
    world = World(Recovery(), 10, fate=fated(*[("verify", "not begun")] * 20))
    world.run()
    world.check()
    assert world.asides == 0
    assert world.now >= 20 * Policy().storage_retry


@pytest.mark.parametrize("op", ["verify", "plan", "reconcile", "sample", "fill", "apply", "settle"])
@pytest.mark.parametrize("how", ["no room", "full"])
def test_a_full_disk_costs_no_index_however_often_it_is_met(op, how):
    world = World(Recovery(), 1234, fate=fated(*[(op, how)] * 20), indexed=op != "fill")
    world.write(3)
    world.run()
    world.check()
    assert (world.asides, world.deaths) == (0, 0)
    if how == "full":
        # Every time by another process: the one that met it is of no more use.
        assert world.recovery.restarts == 1 + world.refused
    else:
        assert world.recovery.restarts == 1


def test_where_there_is_no_room_for_many_rows_fewer_are_written_and_then_more_again():
    recovery, limits = Recovery(), []

    def fate(op: str) -> str:
        return "no room" if op == "apply" and len(limits) <= 3 else ""

    world = World(recovery, 3000, fate=fate)
    for row in range(1, 3001):
        world.write(row)
    real = recovery.next

    def noted(at: Situation) -> Step | None:
        step = real(at)
        if isinstance(step, Ask) and step.op == "apply":
            limits.append(step.fields["limit"])
        return step

    recovery.next = noted  # type: ignore[method-assign]
    world.run()
    world.check()
    assert limits[:5] == [1000, 125, 15, 1, 2]
    assert limits[-1] == 1000


def test_differences_that_could_not_be_noted_are_looked_for_again():
    recovery = Recovery()
    recovery.spawned()
    assert recovery.verified([], 3, 100)
    recovery.compare_again()
    step = recovery.next(Situation(0.0, 0, 0))
    assert isinstance(step, Ask)
    assert (step.op, step.fields["compare"]) == ("verify", True)


def test_damaged_files_are_never_opened():
    opened: list[str] = []

    def fate(op: str) -> str:
        opened.append(op)
        return ""

    world = World(Recovery(), 10, fate=fate)
    world.damaged = True
    while world.asides == 0:
        world.step()
    assert opened == ["verify"]
    world.run()
    world.check()


def test_an_error_in_opening_is_damage_and_the_second_in_writing_too():
    world = World(Recovery(), 10, fate=fated(("plan", "failed")))
    world.run()
    world.check()
    assert world.asides == 1
    for errors, asides in ((1, 0), (2, 1)):
        world = World(Recovery(), 10, fate=fated(*[("apply", "failed")] * errors))
        world.write(2)
        world.run()
        world.check()
        assert world.asides == asides


@given(
    rows=st.integers(1, 2000),
    poison=st.sets(st.integers(1, 2000), max_size=3),
    log=st.lists(st.integers(1, 2100), max_size=30),
    indexed=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_rows_that_no_index_takes_are_found_and_cost_the_others_nothing(rows, poison, log, indexed):
    world = World(
        Recovery(policy=Policy(writing_deaths=6)), rows, poison=frozenset(poison), indexed=indexed
    )
    for row in log:
        world.write(row)
    world.poison = poison = {row for row in poison if row <= world.rows}
    for row in poison:
        world.write(row)
    world.run(20_000)
    world.check()
    # Every poisonous row was written at least once, so each is found, and no other is.
    assert world.hopeless == poison


@pytest.mark.parametrize("rows", [1, 2, 500, 1700])
@pytest.mark.parametrize("place", [0.0, 0.5, 1.0])
def test_one_such_row_costs_few_deaths_and_no_rebuild(rows, place):
    row = max(1, int(rows * place))
    world = World(Recovery(), rows, poison=frozenset({row}), indexed=False)
    world.run()
    world.check()
    assert world.hopeless == {row}
    assert world.asides == 0
    # The batch, once more alone, a tenth and a tenth of that, and the row itself twice.
    assert world.deaths <= 6


@pytest.mark.parametrize("poison", [frozenset(), frozenset({700})])
def test_a_new_index_is_healthy_though_writes_never_pause(poison):
    world = World(Recovery(), 1500, poison=poison)
    world.damaged = True
    for step in range(200):
        if world.asides and world.recovery.state == "healthy":
            break
        for row in range(100):
            world.write((step * 100 + row) % 1500 + 1)
        world.step()
    assert world.recovery.state == "healthy"
    assert world.asides == 1
    assert world.last - world.applied >= 100
    world.run()
    world.check()
    assert world.hopeless == poison


@given(seed=st.integers(0, 2**32), rows=st.integers(1, 1500), rate=st.floats(0, 0.4))
@settings(max_examples=150, deadline=None)
def test_whatever_dies_in_between_it_comes_to_rest_with_everything(seed, rows, rate):
    chance = random.Random(seed)
    world = World(Recovery(), rows)
    ends = ["SIGKILL", "SIGSEGV", "SIGABRT", "failed", "SIGTERM", "exit", "no room", "full"]

    def fate(op: str) -> str:
        if world.deaths > 200 or chance.random() > rate:
            return ""
        return chance.choice(ends)

    world.fate = fate
    for _ in range(200):
        if chance.random() < 0.3:
            world.write(chance.randint(1, rows + 50))
        if chance.random() < 0.01:
            world.damaged = True
        serves = world.recovery.stage is Stage.SERVING and not world.recovery.fills
        if serves and chance.random() < 0.02:
            world.recovery.check()
        world.memory = chance.random() < 0.5
        world.step()
    world.fate = lambda op: ""
    world.run(20_000)
    # Somebody outside may have killed one row twice while it was alone; it is scanned then.
    assert world.recovery.state == "healthy"
    assert world.index >= set(range(1, world.rows + 1)) - world.hopeless
    assert len(world.hopeless) <= 2


def test_an_index_that_cannot_be_made_is_given_up_and_tried_again_later():
    world = World(Recovery(), 10, fate=lambda op: "failed" if op == "plan" else "")
    for _ in range(200):
        world.step()
        if world.recovery.state == "damaged":
            break
    assert world.recovery.state == "damaged"
    before = world.now
    world.fate = lambda op: ""
    world.run()
    world.check()
    assert world.now >= before + Policy().given_up_retry


def test_restarts_wait_longer_and_longer_while_nothing_succeeds():
    recovery = Recovery()
    waits, now = [], 0.0
    for _ in range(4):
        assert recovery.next(Situation(now, 0, 0)) == Spawn()
        recovery.spawned()
        recovery.died(now, "verify", "SIGKILL", {})
        assert recovery.wakes_at is not None
        waits.append(recovery.wakes_at - now)
        now = recovery.wakes_at
    assert waits == sorted(waits)
    assert waits[0] == 0
    assert waits[-1] > 0.3


def serving() -> Recovery:
    """One that serves, and has everything."""
    world = World(Recovery(), 10)
    world.run()
    assert world.recovery.serves
    return world.recovery


def told(recovery: Recovery, now: float, behind: int, *, quiet: bool = False) -> bool:
    step = recovery.next(Situation(now, 100, 100 + behind, False, quiet))
    assert step is None or (isinstance(step, Ask) and step.op == "apply")
    return step is not None


def test_a_single_change_is_told_at_once_and_what_follows_together() -> None:
    recovery, policy = serving(), Policy()
    assert told(recovery, 1000.0, 1)
    assert recovery.wakes_at is None
    for tenth in range(1, 10):
        # One more each time: they keep coming.
        assert not told(recovery, 1000.0 + tenth / 10, 1 + tenth)
        assert recovery.wakes_at == min(1000.0 + tenth / 10 + policy.pause, 1000.0 + policy.gather)
    assert told(recovery, 1000.0 + policy.gather, 11)
    assert not told(recovery, 1000.2 + policy.gather, 12)
    assert told(recovery, 2000.0, 1)


def test_when_no_more_come_for_a_while_the_last_ones_are_told() -> None:
    recovery, policy = serving(), Policy()
    assert told(recovery, 1000.0, 1)
    assert not told(recovery, 1000.1, 5)
    assert not told(recovery, 1000.1 + policy.pause / 2, 5)
    assert told(recovery, 1000.11 + policy.pause, 5)


def test_many_changes_are_told_at_once_and_so_are_the_last_ones() -> None:
    recovery, policy = serving(), Policy()
    assert told(recovery, 1000.0, 1)
    assert told(recovery, 1000.1, policy.together)
    assert not told(recovery, 1000.2, 5)
    assert told(recovery, 1000.3, 5, quiet=True)
