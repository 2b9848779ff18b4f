"""When a store is taken for one that hangs: it has work, and neither answers nor moves on."""

from __future__ import annotations

import pytest

from tests.unit.test_dispatch import ask, done, ready, to_clients, to_workers
from thoth_core.errors import DeadlineExceeded, from_dict
from thoth_core.supervisor.board import Stalled, ToStore
from thoth_core.supervisor.dispatch import Dispatch, Limits
from thoth_core.wire import Message

LIMIT = Limits().store_timeout


def stalled(dispatch: Dispatch, now: float) -> bool:
    """Whether the tick at ``now`` says that the store hangs; all other actions are dropped."""
    dispatch.actions()
    dispatch.tick(now)
    found = [a for a in dispatch.actions() if isinstance(a, Stalled)]
    assert found in ([], [Stalled("store", dispatch.board.store.incarnation)])
    return bool(found)


def beat(dispatch: Dispatch, now: float, steps: int, *, busy: bool = True) -> None:
    dispatch.store_beat(now, "s1", steps, busy=busy)


def test_a_store_with_a_call_and_no_progress_is_ended_once() -> None:
    dispatch = ready()
    ask(dispatch, "count", collection="c")
    assert not stalled(dispatch, 0.0)
    beat(dispatch, 1.0, 1)
    for second in range(2, int(LIMIT)):
        beat(dispatch, float(second), 1)
        assert not stalled(dispatch, float(second))
    assert stalled(dispatch, 1.0 + LIMIT)
    assert not stalled(dispatch, 1.5 + LIMIT)


def test_its_calls_go_to_the_next_one_before_they_are_given_up() -> None:
    dispatch = ready()
    ask(dispatch, "delete", collection="c", ids=["a"])
    [call] = [a.message for a in dispatch.actions() if isinstance(a, ToStore)]
    now = 0.0
    while not stalled(dispatch, now):
        now += 1.0
    assert now < dispatch.limits.silence
    dispatch.store_gone("s1", blame=True)
    dispatch.tick(now + 100.0)
    dispatch.store_ready("s2", "/s2", 3)
    [again] = [a.message for a in dispatch.actions() if isinstance(a, ToStore)]
    assert (again.id, again.incarnation) == (call.id, "s2")
    assert again.body["number"] == call.body["number"]


def test_a_store_that_has_nothing_is_never_ended() -> None:
    dispatch = ready()
    for second in range(0, 1000, 10):
        assert not stalled(dispatch, float(second))


@pytest.mark.parametrize("sign", ["answer", "step"])
def test_every_sign_of_progress_counts(sign: str) -> None:
    dispatch = ready()
    for n in range(10):
        ask(dispatch, "count", f"r{n}", collection="c")
    calls = [a.message for a in dispatch.actions() if isinstance(a, ToStore)]
    now = 0.0
    for n in range(8):
        now += LIMIT - 1
        if sign == "answer":
            answer = Message("result", calls[n].id, 1, "s1", body={"count": 0})
            dispatch.store_message(now, answer)
        else:
            beat(dispatch, now, n + 1)
        assert not stalled(dispatch, now)
    assert stalled(dispatch, now + LIMIT)


def test_an_answer_of_an_earlier_store_is_no_progress_of_this_one() -> None:
    dispatch = ready()
    ask(dispatch, "count", collection="c")
    assert not stalled(dispatch, 0.0)
    dispatch.store_message(LIMIT - 1, Message("result", "c1", 1, "s0", body={}))
    dispatch.store_beat(LIMIT - 1, "s0", 7, busy=True)
    assert stalled(dispatch, LIMIT)


def handed() -> Dispatch:
    """A dispatch with one unit whose vectors are on their way to the store, and no call."""
    dispatch = ready()
    ask(dispatch, "query", collection="c", texts=["where"], k=1)
    [unit] = to_workers(dispatch)
    figures = {"indices": [0], "tokens": 1, "windowed": 0, "errors": []}
    answer = Message("handed", unit.message.id, unit.message.attempt, body=figures)
    dispatch.worker_message(0.0, unit.slot, unit.incarnation, answer)
    assert dispatch.board.handed
    return dispatch


def test_vectors_that_a_store_does_not_take_are_work_too() -> None:
    dispatch = handed()
    assert not stalled(dispatch, 0.0)
    # It says nothing at all.
    assert stalled(dispatch, LIMIT)
    dispatch = handed()
    assert not stalled(dispatch, 0.0)
    for second in range(1, int(LIMIT)):
        beat(dispatch, float(second), 0)
    assert stalled(dispatch, LIMIT)


def test_vectors_that_never_came_are_no_fault_of_the_store() -> None:
    dispatch = handed()
    for second in range(int(2 * LIMIT)):
        beat(dispatch, float(second), 0, busy=False)
        assert not stalled(dispatch, float(second))


def test_the_time_in_which_the_supervisor_stood_still_is_not_the_stores() -> None:
    dispatch = ready()
    ask(dispatch, "count", collection="c")
    assert not stalled(dispatch, 0.0)
    dispatch.stood_still(3600.0)
    assert not stalled(dispatch, 3600.0)
    assert stalled(dispatch, 3600.0 + LIMIT)


@pytest.mark.parametrize(
    ("timeout", "expected"), [(0.5, 15.0), (20.0, 20.0), (120.0, 30.0), (86_400.0, 30.0)]
)
def test_the_limit_leaves_time_for_a_lock_and_for_the_next_store(
    timeout: float, expected: float
) -> None:
    assert Limits(unit_timeout=timeout).store_timeout == expected


@pytest.mark.parametrize("kind", ["verify", "compact"])
def test_what_takes_minutes_is_in_progress_while_the_loop_of_the_store_goes_on(kind: str) -> None:
    dispatch = ready()
    ask(dispatch, kind, job="j")
    for second in range(0, 600, 2):
        beat(dispatch, float(second), second + 1)
        assert not stalled(dispatch, float(second))
    assert "r1" in dispatch.board.requests
    ask(dispatch, "count", "r2", 600.0, collection="c")
    for second in range(600, 700, 2):
        beat(dispatch, float(second), second + 1)
        dispatch.tick(float(second))
    # Of others a sign is wanted; that the loop goes on says nothing about a call which was lost.
    [error] = [m for m in to_clients(dispatch.actions()) if m.kind == "error"]
    assert error.id == "r2"
    assert isinstance(from_dict(error.body), DeadlineExceeded)


def test_a_hang_that_comes_back_with_the_same_call_ends_with_an_error() -> None:
    dispatch = ready()
    ask(dispatch, "delete", collection="c", ids=["a"])
    now = 0.0
    errors: list[Message] = []
    for life in range(2, 12):
        while not stalled(dispatch, now):
            now += 1.0
        dispatch.store_gone(f"s{life - 1}", blame=True)
        dispatch.tick(now)
        dispatch.store_ready(f"s{life}", "/s", 3)
        actions = dispatch.actions()
        if errors := [m for m in to_clients(actions) if m.kind == "error"]:
            break
    assert errors
    assert now < 6 * LIMIT


def test_work_that_goes_on_in_embed_workers_does_not_hide_a_store_that_hangs() -> None:
    dispatch = ready()
    ask(dispatch, "count", collection="c")
    ask(dispatch, "embed", "e", texts=[f"text {n}" for n in range(400)])
    sent = to_workers(dispatch)
    now = 0.0
    while now < LIMIT:
        dispatch.tick(now)
        unit = sent.pop(0)
        done(dispatch, unit, now)
        now += 1.0
        sent += to_workers(dispatch)
    assert stalled(dispatch, LIMIT)
