"""Texts under suspicion: what a text may cost, and that no other is condemned for it."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.test_dispatch import ask, done, ready, to_clients, to_workers
from thoth_core.errors import PoisonInput, from_dict
from thoth_core.ids import text_hash
from thoth_core.supervisor import assign, suspects
from thoth_core.supervisor.board import Quarantined, ToClient, ToWorker
from thoth_core.supervisor.dispatch import Dispatch, Limits
from thoth_core.supervisor.pool import Staff
from thoth_core.supervisor.quarantine import Ending, Quarantine
from thoth_core.wire import Message

INFO = {
    "model": {"name": "all-MiniLM-L6-v2", "dimension": 8},
    "credit": {"units": 2, "items": 4, "tokens": 1000},
}
CRASH = Ending("segmentation fault", "SIGSEGV", None, 1_790_000_000.0)


def dies(dispatch: Dispatch, number: int, *, blame: bool = True) -> list[ToWorker]:
    """The bulk worker ends and the next one is ready; what it is sent."""
    dispatch.worker_gone("b", f"b{number}", blame=blame, ending=CRASH)
    dispatch.worker_ready("b", f"b{number + 1}", "bulk", INFO)
    return to_workers(dispatch)


def texts_of(action: ToWorker) -> list[str]:
    return list(action.message.body["texts"])


def bulk(dispatch: Dispatch, id: str, *texts: str) -> None:
    """A call that is no interactive one."""
    ask(dispatch, "embed", id, texts=[*texts, *(f"{id} {n}" for n in range(17 - len(texts)))])


def test_between_two_deaths_a_good_text_must_pass_in_the_same_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Nothing else in between.
    monkeypatch.setattr(assign, "TRIALS_IN_A_ROW", 1000)
    dispatch = ready(interactive=False)
    bulk(dispatch, "r1", "x")
    assert "x" in texts_of(to_workers(dispatch)[0])
    [alone] = dies(dispatch, 1)
    suspect = texts_of(alone)
    assert len(suspect) == 1
    [probe] = dies(dispatch, 2)
    assert texts_of(probe) == [suspects.GOOD_TEXT]
    # The worker ends with that as well: nothing is said of the suspect.
    [probe] = dies(dispatch, 3)
    assert texts_of(probe) == [suspects.GOOD_TEXT]
    # It passes, and the worker is killed from outside: another worker, another good text.
    done(dispatch, probe)
    [alone] = to_workers(dispatch)
    assert texts_of(alone) == suspect
    [probe] = dies(dispatch, 4, blame=False)
    assert texts_of(probe) == [suspects.GOOD_TEXT]
    done(dispatch, probe)
    [alone] = to_workers(dispatch)
    assert texts_of(alone) == suspect
    assert not dispatch.board.quarantine.entries()
    dies(dispatch, 5)
    [entry] = dispatch.board.quarantine.entries()
    assert entry.text_sha256 == text_hash(suspect[0])
    assert (entry.deaths, entry.signal) == (2, "SIGSEGV")


def condemned(*texts: str) -> Dispatch:
    """A dispatch that has these in quarantine."""
    dispatch = ready()
    for text in texts:
        dispatch.board.quarantine.add(text, dispatch.board.own.runtime, 2, CRASH)
    return dispatch


def test_a_text_in_quarantine_is_refused_at_once_and_the_others_go_on() -> None:
    dispatch = condemned("bad")
    ask(dispatch, "embed", texts=["good", "bad", "fine"])
    [unit] = to_workers(dispatch)
    assert texts_of(unit) == ["good", "fine"]
    done(dispatch, unit)
    [part, result] = to_clients(dispatch.actions())
    assert part.body["indices"] == [0, 2]
    [[index, error]] = result.body["errors"]
    problem = from_dict(error)
    assert isinstance(problem, PoisonInput)
    assert (index, problem.indices) == (1, [1])
    assert "thoth quarantine" in problem.fix


def test_a_call_of_nothing_but_such_texts_is_answered_without_a_worker() -> None:
    dispatch = condemned("bad")
    for kind in ("embed", "query"):
        ask(dispatch, kind, kind, texts=["bad", "bad"], collection="c", k=1)
        actions = dispatch.actions()
        assert not [a for a in actions if isinstance(a, ToWorker)]
        [result] = to_clients(actions)
        assert [index for index, _ in result.body["errors"]] == [0, 1]


def test_an_entry_of_another_model_refuses_nothing() -> None:
    old = condemned("bad").board.quarantine
    dispatch = Dispatch(quarantine=Quarantine(old.entries()))
    dispatch.worker_ready("i", "i1", "interactive", INFO | {"model": {"name": "another"}})
    ask(dispatch, "embed", texts=["bad"])
    assert len(to_workers(dispatch)) == 1


def test_what_came_before_the_first_worker_was_ready_is_compared_too() -> None:
    old = condemned("bad").board.quarantine
    dispatch = Dispatch(quarantine=Quarantine(old.entries()))
    for kind in ("embed", "query"):
        ask(dispatch, kind, kind, texts=["bad", "good"], collection="c", k=1)
    dispatch.store_ready("s1", "/s1", 3)
    dispatch.worker_ready("i", "i1", "interactive", INFO)
    assert [texts_of(unit) for unit in to_workers(dispatch)] == [["good"], ["good"]]


def test_a_query_of_several_texts_loses_only_the_bad_one() -> None:
    dispatch = ready()
    ask(dispatch, "query", texts=["one", "bad", "two"], collection="c", k=1)
    to_workers(dispatch)
    dispatch.worker_gone("i", "i1", blame=True, ending=CRASH)
    dispatch.worker_ready("i", "i2", "interactive", INFO)
    number = 1
    while dispatch.board.own.cases:
        [unit] = to_workers(dispatch)
        assert unit.slot == "b"
        assert "store" not in unit.message.body
        if texts_of(unit) == ["bad"]:
            dispatch.worker_gone("b", f"b{number}", blame=True, ending=CRASH)
            number += 1
            dispatch.worker_ready("b", f"b{number}", "bulk", INFO)
        else:
            assert unit.message.body["purpose"] in ("query", None)
            done(dispatch, unit)
    assert number == 3
    [unit] = to_workers(dispatch)
    assert texts_of(unit) == ["one", "two"]


def test_a_text_whose_caller_gave_up_is_tried_all_the_same() -> None:
    dispatch = ready()
    ask(dispatch, "embed", "r1", texts=["bad"])
    to_workers(dispatch)
    dispatch.cancel(b"client", "r1")
    dispatch.worker_gone("i", "i1", blame=True, ending=CRASH)
    for number in (1, 2):
        sent = to_workers(dispatch)
        assert texts_of(sent[-1]) == ["bad"]
        sent = dies(dispatch, number)
        if number == 1:
            done(dispatch, sent[0])
    assert [e.text_sha256 for e in dispatch.board.quarantine.entries()] == [text_hash("bad")]
    assert not dispatch.board.units


def test_a_trial_counts_though_its_caller_gave_up_in_the_middle() -> None:
    dispatch = ready()
    ask(dispatch, "embed", "r1", texts=["bad"])
    to_workers(dispatch)
    dispatch.worker_gone("i", "i1", blame=True, ending=CRASH)
    assert texts_of(to_workers(dispatch)[0]) == ["bad"]
    dispatch.cancel(b"client", "r1")
    [probe] = [a for a in dies(dispatch, 1) if a.message.kind == "unit"]
    assert texts_of(probe) == [suspects.GOOD_TEXT]


def test_what_a_worker_holds_and_does_not_run_yet_is_taken_back() -> None:
    dispatch = ready(interactive=False)
    dispatch.worker_ready("c", "c1", "bulk", INFO)
    bulk(dispatch, "r1", *["bad"] * 17)
    sent = to_workers(dispatch)
    assert [a.slot for a in sent] == ["b", "c", "b", "c"]
    dispatch.worker_gone("b", "b1", blame=True, ending=CRASH)
    released = [a for a in to_workers(dispatch) if a.message.kind == "release"]
    assert [a.message.body["units"] for a in released] == [[sent[3].message.id]]


def test_a_text_that_is_tried_keeps_its_call_from_being_silent() -> None:
    dispatch = ready(Limits(silence=60, unit_timeout=10), interactive=False)
    bulk(dispatch, "r1", "x")
    to_workers(dispatch)
    dispatch.worker_gone("b", "b1", blame=True, ending=CRASH)
    # However long the worker takes to load.
    dispatch.tick(500.0)
    dispatch.worker_ready("b", "b2", "bulk", INFO)
    dispatch.tick(501.0)
    dispatch.tick(559.0)
    assert not to_clients(dispatch.actions())
    # The worker hangs with it, and does not end.
    dispatch.tick(561.0)
    assert len(to_clients(dispatch.actions())) == 1


def test_while_nothing_is_suspected_no_text_is_looked_at(monkeypatch: Any) -> None:
    def looked(*given: Any) -> bool:
        raise AssertionError("a look that was not needed")

    monkeypatch.setattr(suspects, "may_run", looked)
    dispatch = ready()
    ask(dispatch, "embed", "r1", texts=["a"] * 40)
    while sent := to_workers(dispatch):
        for unit in sent:
            done(dispatch, unit)
    assert dispatch.idle


def test_a_call_whose_worker_is_killed_whenever_it_runs_ends_and_blames_no_text() -> None:
    dispatch = ready(interactive=False)
    bulk(dispatch, "r1")
    number = 1
    while dispatch.board.requests:
        assert dies(dispatch, number, blame=False) or not dispatch.board.requests
        number += 1
    assert number == 1 + suspects.MOST_KILLS
    assert not dispatch.board.quarantine.entries()
    assert not dispatch.board.own.cases


def test_a_worker_that_runs_a_text_when_the_verdict_falls_costs_no_further_trial() -> None:
    dispatch = ready()
    dispatch.worker_ready("c", "c1", "bulk", INFO)
    for number in range(3):
        ask(dispatch, "embed", f"r{number}", texts=["bad"])
    assert [a.slot for a in to_workers(dispatch)] == ["i", "i", "b"]
    dispatch.worker_gone("i", "i1", blame=True, ending=CRASH)
    for incarnation in ("c1", "c2"):
        dispatch.worker_gone("c", incarnation, blame=True, ending=CRASH)
        dispatch.worker_ready("c", f"c{int(incarnation[1]) + 1}", "bulk", INFO)
        if incarnation == "c1":
            done(dispatch, to_workers(dispatch)[-1])
    assert [m.id for m in to_clients(dispatch.actions())] == ["r0", "r1"]
    dispatch.worker_gone("b", "b1", blame=True, ending=CRASH)
    actions = dispatch.actions()
    assert [m.id for m in to_clients(actions)] == ["r2"]
    assert not [a for a in actions if isinstance(a, ToWorker)]
    assert not dispatch.board.own.cases


@pytest.mark.parametrize("bulk_workers", [1, 2])
def test_suspected_texts_without_end_keep_no_bulk_work_waiting(bulk_workers: int) -> None:
    dispatch = ready()
    if bulk_workers == 2:
        dispatch.worker_ready("c", "c1", "bulk", INFO)
    held, deaths, found = to_workers(dispatch), 0, 0
    ask(dispatch, "embed", "bulk", texts=[f"good {n}" for n in range(100)])
    while "bulk" in dispatch.board.requests:
        if len(dispatch.board.requests) < 3:
            # The worker for queries meets another bad text each time.
            ask(dispatch, "embed", f"r{found}", texts=[f"bad {found}"])
            found += 1
        held += to_workers(dispatch)
        action = held.pop(0)
        if dispatch.board.own.pool.get(action.slot, action.incarnation) is None:
            continue
        if not texts_of(action)[0].startswith("bad"):
            done(dispatch, action)
            continue
        deaths += 1
        lane = "interactive" if action.slot == "i" else "bulk"
        dispatch.worker_gone(action.slot, action.incarnation, blame=True, ending=CRASH)
        dispatch.worker_ready(action.slot, f"{action.slot}-{deaths}", lane, INFO)
        assert deaths < 1000, "it waits for ever"
    assert found > 3


@pytest.mark.parametrize("lane", ["bulk", "interactive"])
def test_suspected_texts_without_end_keep_nobody_waiting_in_an_only_worker(lane: str) -> None:
    dispatch = Dispatch()
    hopeless = frozenset({"bulk", "interactive"})
    dispatch.availability(store=None, staff={"": Staff(hopeless=hopeless)})
    dispatch.worker_ready("w", "w0", lane, INFO)
    held, deaths, asked = to_workers(dispatch), 0, 0
    while asked < 100 or {"query", "bulk"} & dispatch.board.requests.keys():
        if dispatch.board.own.cases and "query" not in dispatch.board.requests and asked < 100:
            ask(dispatch, "embed", "query", texts=["a question"])
            ask(dispatch, "embed", "bulk", texts=[f"fine {n}" for n in range(20)])
            asked = 100
        while len(dispatch.board.units) < 200:
            # Of each unit one text is bad: they are of one length.
            texts = [f"{'evil' if n % 4 == 0 else 'good'} {asked} {n:02}" for n in range(40)]
            ask(dispatch, "embed", f"r{asked}", texts=texts)
            asked += 1
        held += to_workers(dispatch)
        action = held.pop(0)
        if dispatch.board.own.pool.get(action.slot, action.incarnation) is None:
            continue
        if not any(text.startswith("evil") for text in action.message.body.get("texts", ())):
            if action.message.kind == "unit":
                done(dispatch, action)
            continue
        deaths += 1
        dispatch.worker_gone("w", action.incarnation, blame=True, ending=CRASH)
        dispatch.worker_ready("w", f"w{deaths}", lane, INFO)
        assert deaths < 300, "it waits for ever"


@pytest.mark.parametrize("gone", ["given up", "ended for good"])
def test_a_slot_that_cannot_be_kept_running_is_not_waited_for(gone: str) -> None:
    dispatch = ready(interactive=False)
    dispatch.worker_ready("c", "c1", "bulk", INFO)
    ask(dispatch, "embed", "r1", texts=["bad"])
    [first] = to_workers(dispatch)
    dispatch.worker_gone(first.slot, first.incarnation, blame=True, ending=CRASH)
    [alone] = to_workers(dispatch)
    other, host = first.slot, alone.slot
    dispatch.worker_ready(other, f"{other}2", "bulk", INFO)
    dispatch.worker_gone(host, alone.incarnation, blame=True, ending=CRASH)
    # On the same slot again, as long as somebody is to come there.
    assert not to_workers(dispatch)
    slots = frozenset({other, host})
    dispatch.availability(store=None, staff={"": Staff(slots=slots)})
    assert not to_workers(dispatch)
    left = Staff(failed=frozenset({host}), slots=slots)
    if gone == "ended for good":
        left = Staff(slots=frozenset({other}))
    dispatch.availability(store=None, staff={"": left})
    [probe] = to_workers(dispatch)
    assert (probe.slot, texts_of(probe)) == (other, [suspects.GOOD_TEXT])
    done(dispatch, probe)
    [alone] = to_workers(dispatch)
    assert (alone.slot, texts_of(alone)) == (other, ["bad"])


def test_a_trial_that_is_always_killed_is_not_repeated_for_nobody_without_end() -> None:
    dispatch = ready()
    ask(dispatch, "embed", "r1", texts=["bad"])
    to_workers(dispatch)
    dispatch.worker_gone("i", "i1", blame=True, ending=CRASH)
    dispatch.cancel(b"client", "r1")
    assert "bad" in dispatch.board.own.cases
    to_workers(dispatch)
    for number in range(1, suspects.MOST_KILLS + 1):
        assert "bad" in dispatch.board.own.cases
        dies(dispatch, number, blame=False)
    assert not dispatch.board.own.cases
    assert not dispatch.board.units


def test_texts_of_callers_that_gave_up_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suspects, "MAX_CASES", 10)
    dispatch = ready()
    for number in range(1, 9):
        ask(dispatch, "embed", f"r{number}", texts=[f"call {number}, text {n}" for n in range(4)])
        dispatch.cancel(b"client", f"r{number}")
        dispatch.worker_gone("i", f"i{number}", blame=True, ending=CRASH)
        dispatch.worker_ready("i", f"i{number + 1}", "interactive", INFO)
        # The bulk worker is busy with the first of them all the time.
        assert len(dispatch.board.own.cases) <= 10
    assert "call 8, text 3" in dispatch.board.own.cases


# -- whole histories ------------------------------------------------------------------------------

TEXTS = [f"good {n}" for n in range(6)] + ["!poison 1", "!poison 2"]
POISON = [text for text in TEXTS if text.startswith("!")]


@dataclass
class Process:
    lane: str
    incarnation: str = ""
    queue: list[Message] = field(default_factory=list)


class History:
    """Workers that take their units in order and die of poison; messages arrive at once."""

    def __init__(self, seed: int, *, broken: bool) -> None:
        self.random = random.Random(seed)
        self.dispatch = Dispatch()
        self.workers = {"i": Process("interactive"), "b1": Process("bulk"), "b2": Process("bulk")}
        self.serial = 0
        self.broken = "b1" if broken else ""
        self.deaths: Counter[str] = Counter()
        #: How often a text may end a worker, from its first time on.
        self.allowed: dict[str, int] = {}
        self.answers: dict[str, list[Message]] = {}
        self.asked: dict[str, list[str]] = {}
        self.dispatch.store_ready("s1", "/s1", 1)

    def carry_out(self) -> None:
        while actions := self.dispatch.actions():
            for action in actions:
                if isinstance(action, ToClient) and action.message.kind in ("result", "error"):
                    self.answers.setdefault(action.message.id, []).append(action.message)
                elif isinstance(action, ToWorker):
                    self.deliver(action)
                elif isinstance(action, Quarantined):
                    assert action.entry.text_sha256 in map(text_hash, POISON)

    def deliver(self, action: ToWorker) -> None:
        worker, message = self.workers[action.slot], action.message
        if worker.incarnation != action.incarnation:
            return
        if message.kind == "unit":
            worker.queue.append(message)
        elif message.kind == "release":
            for waiting in [m for m in worker.queue[1:] if m.id in message.body["units"]]:
                worker.queue.remove(waiting)
                self.answer(action.slot, "error", waiting, {"code": "cancelled", "message": ""})

    def answer(self, slot: str, kind: str, unit: Message, body: dict[str, Any]) -> None:
        incarnation = self.workers[slot].incarnation
        message = Message(kind, unit.id, unit.attempt, body=body)
        self.dispatch.worker_message(0.0, slot, incarnation, message)

    def start(self, slot: str) -> None:
        self.serial += 1
        worker = self.workers[slot]
        worker.incarnation, worker.queue = f"{slot}-{self.serial}", []
        self.dispatch.worker_ready(slot, worker.incarnation, worker.lane, INFO)

    def die(self, slot: str, *, blame: bool) -> None:
        worker = self.workers[slot]
        incarnation, worker.incarnation, worker.queue = worker.incarnation, "", []
        self.dispatch.worker_gone(slot, incarnation, blame=blame, ending=CRASH)

    def work(self, slot: str) -> None:
        """Its first unit."""
        queue = self.workers[slot].queue
        texts = queue[0].body["texts"]
        killer = next((text for text in texts if text in POISON), None)
        if slot == self.broken:
            self.die(slot, blame=True)
        elif killer is not None:
            if killer not in self.allowed:
                heads = [w.queue[0].body["texts"] for w in self.workers.values() if w.queue]
                self.allowed[killer] = 2 + sum(killer in head for head in heads)
            self.deaths[killer] += 1
            assert self.deaths[killer] <= self.allowed[killer], "a text cost more than it may"
            self.die(slot, blame=True)
        else:
            rows = list(range(len(texts)))
            unit = queue.pop(0)
            body = {"indices": rows, "tokens": 1, "windowed": 0, "errors": []}
            if "store" in unit.body:
                self.answer(slot, "handed", unit, body)
                stored = Message("result", unit.id, unit.attempt, "s1", body={"hits": [[]]})
                self.dispatch.store_message(0.0, stored)
            else:
                self.answer(slot, "done", unit, body)

    def ask(self) -> None:
        self.serial += 1
        id, kind = f"r{self.serial}", self.random.choice(["embed", "embed", "query"])
        count = self.random.choice([1, 3, 30]) if kind == "embed" else self.random.choice([1, 4])
        self.asked[id] = self.random.choices(TEXTS, k=count)
        body = {"texts": self.asked[id], "collection": "c", "k": 1}
        self.dispatch.request(0.0, b"client", Message(kind, id, body=body), 100)

    def step(self) -> None:
        choice = self.random.random()
        slot = self.random.choice(list(self.workers))
        worker = self.workers[slot]
        if choice < 0.1:
            self.ask()
        elif choice < 0.15 and self.asked:
            self.dispatch.cancel(b"client", self.random.choice(list(self.asked)))
        elif not worker.incarnation:
            self.start(slot)
        elif choice < 0.25:
            self.die(slot, blame=False)
        elif worker.queue:
            self.work(slot)
        self.carry_out()

    def quiet(self) -> None:
        """No more faults, and time enough for everything."""
        self.broken = ""
        for _ in range(3000):
            for slot, worker in self.workers.items():
                if not worker.incarnation:
                    self.start(slot)
                elif worker.queue:
                    self.work(slot)
                self.carry_out()
        board = self.dispatch.board
        assert not board.requests
        assert not board.units
        assert not board.own.cases
        assert board.own.alone is None
        for held in board.own.pool.workers.values():
            assert not held.units, "credit that never came back"
        assert set(self.answers) == set(self.asked)
        assert all(len(answers) == 1 for answers in self.answers.values())

    def refused(self) -> dict[str, set[str]]:
        """The texts that were answered with an error, by call that had a result."""
        return {
            id: {self.asked[id][index] for index, _ in answers[0].body["errors"]}
            for id, answers in self.answers.items()
            if answers[0].kind == "result"
        }


@given(seed=st.integers(0, 10**9), steps=st.integers(10, 400))
@settings(max_examples=60)
def test_a_poison_text_costs_two_deaths_and_one_for_each_worker_that_ran_it(
    seed: int, steps: int
) -> None:
    history = History(seed, broken=False)
    for _ in range(steps):
        history.step()
    history.quiet()
    for id, texts in history.refused().items():
        assert texts == set(history.asked[id]) & set(POISON)


@given(seed=st.integers(0, 10**9), steps=st.integers(10, 400))
@settings(max_examples=40)
def test_a_worker_that_dies_of_everything_condemns_no_innocent_text(seed: int, steps: int) -> None:
    """Checked as texts go into the quarantine."""
    history = History(seed, broken=True)
    for _ in range(steps):
        history.step()
    history.quiet()
