"""What waits in dispatch: for its turn, for a worker, for the store; and what that costs."""

from __future__ import annotations

import gc
import time
from typing import Any

import pytest

from tests.unit.test_dispatch import MODEL, ask, done, embed, ready, to_clients, to_workers
from thoth_core.errors import DeadlineExceeded, ModelMismatch, Overloaded, from_dict
from thoth_core.supervisor.board import ToStore, ToWorker
from thoth_core.supervisor.dispatch import Dispatch, Limits
from thoth_core.supervisor.refused_line import PATIENCE
from thoth_core.supervisor.store_line import MAX_CALLS
from thoth_core.wire import Message, error_message

INFO = {"model": MODEL, "credit": {"units": 2, "items": 4, "tokens": 1000}}


def to_store(dispatch: Dispatch) -> list[Message]:
    return [a.message for a in dispatch.actions() if isinstance(a, ToStore)]


def errors(dispatch: Dispatch) -> dict[str, Exception]:
    messages = to_clients(dispatch.actions())
    return {m.id: from_dict(m.body) for m in messages if m.kind == "error"}


# -- what an event costs --------------------------------------------------------------------------


def seconds_for(count: int, kind: str, *, store: bool) -> float:
    """What it takes to admit ``count`` requests that cannot be served, and to give them up."""
    dispatch = ready(store=store)
    # The collector goes over whatever all tests before this one have left.
    gc.collect()
    gc.disable()
    try:
        # Of this process, whatever else the machine is at.
        began = time.process_time()
        for n in range(count):
            ask(dispatch, kind, f"{kind}{n}", collection="c", texts=["x"] * 20, k=1)
            if n % 2:
                dispatch.cancel(b"client", f"{kind}{n}")
        dispatch.actions()
        return time.process_time() - began
    finally:
        gc.enable()


@pytest.mark.parametrize(("kind", "store"), [("query", False), ("embed", True)])
def test_a_request_costs_the_same_in_a_long_queue_as_in_a_short_one(kind: str, store: bool) -> None:
    few = min(seconds_for(500, kind, store=store) for _ in range(3))
    many = min(seconds_for(16_000, kind, store=store) for _ in range(2))
    # 32 times as many: a search of the queue made it a thousand times as long.
    assert many < 80 * few


def test_bulk_requests_that_were_given_up_are_kept_by_nothing() -> None:
    dispatch = ready()
    embed(dispatch, 400, "busy")
    # No worker becomes free meanwhile.
    for n in range(50):
        embed(dispatch, 400, f"gone{n}")
        dispatch.cancel(b"client", f"gone{n}")
    assert len(dispatch.board.own.bulk) == 1


def test_the_memory_of_short_texts_is_counted_and_not_only_their_bytes() -> None:
    dispatch = ready(Limits(queue_bytes=10_000_000))
    for n in range(30):
        ask(dispatch, "embed", f"r{n}", texts=["x"] * 2048)
    assert any(isinstance(e, Overloaded) for e in errors(dispatch).values())


# -- turns ----------------------------------------------------------------------------------------


def test_a_call_that_waits_for_its_turn_is_not_silent_while_others_move() -> None:
    dispatch = ready(Limits(silence=60, unit_timeout=10))
    for id in ("a", "b", "c", "d"):
        embed(dispatch, 400, id)
    first, second = to_workers(dispatch)
    for now in (35.0, 50.0, 61.0):
        done(dispatch, first, now)
        [first] = to_workers(dispatch)
        dispatch.tick(now)
        assert not errors(dispatch)
    # The one whose second unit is with the worker, and the one that waits, got no sign since, and
    # the worker, which hangs, does not end.
    dispatch.tick(122.0)
    assert set(errors(dispatch)) == {"a", "b", "c", "d"}
    assert second.slot == "b"


def test_a_call_waits_as_long_as_the_bulk_workers_load() -> None:
    dispatch = Dispatch(Limits(silence=60, unit_timeout=10))
    dispatch.worker_ready("i", "i1", "interactive", INFO)
    embed(dispatch, 40)
    dispatch.tick(300.0)
    assert not errors(dispatch)
    dispatch.worker_ready("b", "b1", "bulk", INFO)
    assert len(to_workers(dispatch)) == 2
    dispatch.tick(301.0)
    dispatch.tick(361.0)
    assert isinstance(errors(dispatch)["r1"], DeadlineExceeded)


def test_queries_use_an_idle_bulk_worker_while_the_interactive_one_hangs() -> None:
    dispatch = ready()
    for n in range(3):
        embed(dispatch, 1, f"r{n}")
    assert [a.slot for a in to_workers(dispatch)] == ["i", "i", "b"]
    embed(dispatch, 1, "r3")
    # Not behind the one that it has.
    assert not to_workers(dispatch)


def test_writes_are_not_kept_waiting_by_reads_without_end() -> None:
    dispatch = ready()
    for n in range(MAX_CALLS):
        ask(dispatch, "count", f"first{n}", collection="c")
    ask(dispatch, "delete", "write", collection="c", ids=["a"])
    answered = 0
    sent = to_store(dispatch)
    for n in range(200):
        ask(dispatch, "count", f"more{n}", collection="c")
        call = sent.pop(0)
        answer = Message("result", call.id, call.attempt, "s1", body={"count": 0})
        dispatch.store_message(0.0, answer)
        sent += to_store(dispatch)
        answered += 1
        if any(m.kind == "delete" for m in sent):
            break
    assert answered < 40


def test_a_query_begins_while_the_store_is_full_of_bulk_work() -> None:
    dispatch = ready()
    texts = [f"text {n}" for n in range(400)]
    ask(dispatch, "add", collection="c", ids=texts, texts=texts)
    [have] = to_store(dispatch)
    body: dict[str, Any] = {"missing": list(range(400))}
    dispatch.store_message(0.0, Message("result", have.id, have.attempt, "s1", body=body))
    while sent := to_workers(dispatch):
        for action in sent:
            rows = list(range(len(action.message.body["texts"])))
            handed = {"indices": rows, "tokens": 1, "windowed": 0, "errors": [], "bytes": 1}
            answer = Message("handed", action.message.id, action.message.attempt, body=handed)
            dispatch.worker_message(0.0, action.slot, action.incarnation, answer)
    assert len(dispatch.board.handed) >= 64
    assert len(dispatch.board.units) > len(dispatch.board.handed)
    ask(dispatch, "query", "q", collection="c", texts=["where"], k=1)
    assert [a.slot for a in to_workers(dispatch)] == ["i"]


# -- a worker that was told to end ----------------------------------------------------------------


def test_a_worker_that_was_told_to_end_gets_nothing_new() -> None:
    dispatch = ready()
    embed(dispatch, 400)
    first, second = to_workers(dispatch)
    dispatch.availability(store=None, leaving=frozenset({"b"}))
    done(dispatch, first)
    done(dispatch, second)
    assert not to_workers(dispatch)
    dispatch.worker_gone("b", "b1", blame=False)
    dispatch.availability(store=None)
    dispatch.worker_ready("b", "b2", "bulk", INFO)
    assert [a.incarnation for a in to_workers(dispatch)] == ["b2", "b2"]


def test_a_store_that_was_told_to_end_gets_nothing_new() -> None:
    dispatch = ready()
    dispatch.availability(store=None, leaving=frozenset({"store"}))
    ask(dispatch, "count", collection="c")
    ask(dispatch, "query", "q", collection="c", texts=["x"], k=1)
    assert not dispatch.actions()
    dispatch.store_gone("s1", blame=False)
    dispatch.availability(store=None)
    dispatch.store_ready("s2", "/s2", 3)
    assert {type(a).__name__ for a in dispatch.actions()} == {"ToStore", "ToWorker"}


# -- before the model is known --------------------------------------------------------------------


def test_whose_a_call_is_that_names_a_model_is_seen_when_the_model_becomes_known() -> None:
    """One in a folder is known by its name only then."""
    dispatch = Dispatch(model="/a/folder")
    ask(dispatch, "embed", "other", texts=["x"], model="all-mpnet-base-v2")
    ask(dispatch, "embed", "same", texts=["x"], model=MODEL["name"])
    dispatch.worker_ready("i", "i1", "interactive", INFO)
    [unit] = [a for a in dispatch.actions() if isinstance(a, ToWorker)]
    assert dispatch.board.units[unit.message.id].request.id == "same"
    other = {"name": "all-mpnet-base-v2", "dimension": 4}
    dispatch.worker_ready("o", "o1", "bulk", INFO | {"model": other}, "all-mpnet-base-v2")
    [unit] = [a for a in dispatch.actions() if isinstance(a, ToWorker)]
    assert (unit.slot, dispatch.board.units[unit.message.id].request.id) == ("o", "other")


def test_a_model_in_a_folder_is_not_taken_for_the_one_whose_name_it_has() -> None:
    dispatch = ready()
    ask(dispatch, "embed", "folder", texts=["x"], model="/tuned/all-mpnet-base-v2")
    tuned = {"name": "all-mpnet-base-v2", "dimension": 4, "weights": "tuned"}
    info = INFO | {"model": tuned}
    dispatch.worker_ready("o", "o1", "interactive", info, "/tuned/all-mpnet-base-v2")
    assert [a.slot for a in to_workers(dispatch)] == ["o"]
    ask(dispatch, "embed", "public", texts=["x"], model="all-mpnet-base-v2")
    assert not to_workers(dispatch)
    assert "all-mpnet-base-v2" in dispatch.board.teams
    # Who names none has the one that the collection was made with, and not one of its name.
    ask(dispatch, "add", "any", collection="c", ids=["1"], texts=["x"])
    [have] = to_store(dispatch)
    problem = ModelMismatch("it is another's", expected=tuned)
    dispatch.store_message(0.0, error_message(problem, have.id, have.attempt, "s1"))
    [again] = to_store(dispatch)
    assert again.body["model"] == tuned


def test_no_texts_wait_for_the_model_whose_dimension_the_answer_has() -> None:
    dispatch = Dispatch()
    ask(dispatch, "embed", texts=[])
    assert not dispatch.actions()
    dispatch.worker_ready("i", "i1", "interactive", INFO)
    [result] = to_clients(dispatch.actions())
    assert (result.kind, result.body["dimension"]) == ("result", MODEL["dimension"])


# -- when the files of a model change --------------------------------------------------------------


def test_an_answer_has_vectors_of_one_model_though_its_files_change_in_the_middle() -> None:
    dispatch = ready()
    for id in ("begun", "under way", "waits"):
        embed(dispatch, 17, id)
    first, second = to_workers(dispatch)
    done(dispatch, first)
    changed = INFO | {"model": MODEL | {"weights": "others"}}
    dispatch.availability(store=None, leaving=frozenset({"b", "i"}))
    dispatch.actions()
    dispatch.worker_ready("c", "c1", "bulk", changed)
    actions = dispatch.actions()
    asked_again = {m.id for m in to_clients(actions) if m.kind == "error"}
    sent = [a for a in actions if isinstance(a, ToWorker) and a.message.kind == "unit"]
    assert {a.slot for a in sent} == {"c"}
    open_now = set(dispatch.board.requests)
    assert asked_again | open_now == {"begun", "under way", "waits"}
    assert "begun" in asked_again
    assert "waits" in open_now
    # What the old one says of it comes too late.
    done(dispatch, second)
    assert not [m for m in to_clients(dispatch.actions()) if m.id in asked_again]


# -- who was refused for want of room -------------------------------------------------------------


def bulk(dispatch: Dispatch, id: str, now: float) -> bool:
    """Ask for something that fills the queue; whether it is admitted."""
    body = {"texts": ["x" * 100] * 17}
    dispatch.request(now, b"client", Message("embed", id, body=body), 1000)
    return id not in errors(dispatch)


def test_room_that_has_become_free_is_theirs_who_were_refused_before() -> None:
    dispatch = Dispatch(Limits(queue_requests=1))
    assert bulk(dispatch, "first", 0.0)
    assert not bulk(dispatch, "second", 0.0)
    assert not bulk(dispatch, "third", 1.0)
    dispatch.cancel(b"client", "first")
    # One that had its turn is behind them, and each of them behind those before it.
    dispatch.board.requests["open"] = dispatch.admission.admit(
        2.0, b"client", Message("count", "open", body={"collection": "c"}), 10
    )
    dispatch.limits = dispatch.admission._limits = Limits(queue_requests=2)
    assert not bulk(dispatch, "fourth", 2.0)
    assert not bulk(dispatch, "third", 2.0)
    assert bulk(dispatch, "second", 3.0)
    # Those who never come again are waited for no longer than a client pauses.
    dispatch.cancel(b"client", "second")
    assert not bulk(dispatch, "fifth", 4.0)
    assert bulk(dispatch, "fifth", 4.0 + PATIENCE + 0.1)


def test_one_that_is_larger_than_the_queue_has_its_turn_and_keeps_nobody_out() -> None:
    dispatch = Dispatch(Limits(queue_bytes=20_000))

    def large(id: str, now: float) -> bool:
        dispatch.request(now, b"client", Message("embed", id, body={"texts": ["x"] * 17}), 30_000)
        return id not in errors(dispatch)

    assert bulk(dispatch, "first", 0.0)
    ask(dispatch, "embed", "small", 0.0, texts=["a"])
    assert not large("large", 0.0)
    assert not bulk(dispatch, "second", 1.0)
    # Small calls go on without end.
    dispatch.cancel(b"client", "first")
    assert "small" in dispatch.board.requests
    assert not bulk(dispatch, "second", 2.0)
    assert large("large", 2.0)
    # One at a time, also of those that somebody waits for.
    dispatch.request(2.0, b"client", Message("embed", "wide", body={"texts": ["x"]}), 30_000)
    assert "wide" in errors(dispatch)
    dispatch.cancel(b"client", "large")
    dispatch.request(2.5, b"client", Message("embed", "wide", body={"texts": ["x"]}), 30_000)
    dispatch.cancel(b"client", "wide")
    # It is behind those who waited for it.
    assert not large("larger", 3.0)
    assert bulk(dispatch, "second", 3.0)


def test_what_somebody_waits_for_passes_them() -> None:
    dispatch = Dispatch(Limits(queue_requests=2))
    assert bulk(dispatch, "first", 0.0)
    assert bulk(dispatch, "second", 0.0)
    assert not bulk(dispatch, "third", 0.0)
    dispatch.cancel(b"client", "first")
    ask(dispatch, "embed", "small", 0.0, texts=["a"])
    assert "small" not in errors(dispatch)
