"""Single rules of dispatch; whole histories are in tests/simulation."""

from __future__ import annotations

from typing import Any

from thoth_core.errors import (
    Cancelled,
    DeadlineExceeded,
    InvalidInput,
    ModelNotRunning,
    Overloaded,
    from_dict,
)
from thoth_core.supervisor.board import Stalled, ToClient, ToStore, ToWorker
from thoth_core.supervisor.dispatch import Dispatch, Limits
from thoth_core.wire import Message

MODEL = {"name": "all-MiniLM-L6-v2", "dimension": 8}


def ready(
    limits: Limits | None = None, *, interactive: bool = True, store: bool = True
) -> Dispatch:
    dispatch = Dispatch(limits)
    info = {"model": MODEL, "credit": {"units": 2, "items": 4, "tokens": 1000}}
    dispatch.worker_ready("b", "b1", "bulk", info)
    if interactive:
        dispatch.worker_ready("i", "i1", "interactive", info)
    if store:
        dispatch.store_ready("s1", "/s1", 3)
    return dispatch


def ask(dispatch: Dispatch, kind: str, id: str = "r1", now: float = 0.0, **body: Any) -> None:
    dispatch.request(now, b"client", Message(kind, id, body=body), 100)


def embed(dispatch: Dispatch, count: int, id: str = "r1", now: float = 0.0) -> None:
    ask(dispatch, "embed", id, now, texts=[f"text {n}" for n in range(count)])


def to_workers(dispatch: Dispatch) -> list[ToWorker]:
    return [a for a in dispatch.actions() if isinstance(a, ToWorker)]


def to_clients(actions: list[Any]) -> list[Message]:
    return [a.message for a in actions if isinstance(a, ToClient)]


def done(dispatch: Dispatch, action: ToWorker, now: float = 0.0) -> None:
    count = len(action.message.body["texts"])
    body = {"indices": list(range(count)), "tokens": 1, "windowed": 0, "errors": []}
    answer = Message("done", action.message.id, action.message.attempt, body=body)
    dispatch.worker_message(now, action.slot, action.incarnation, answer)


def test_a_worker_gets_no_more_units_than_its_credit() -> None:
    dispatch = ready()
    embed(dispatch, 40)
    sent = to_workers(dispatch)
    assert [a.slot for a in sent] == ["b", "b"]
    done(dispatch, sent[0])
    assert [a.slot for a in to_workers(dispatch)] == ["b"]


def test_interactive_work_does_not_wait_behind_bulk() -> None:
    dispatch = ready()
    embed(dispatch, 400)
    dispatch.actions()
    embed(dispatch, 1, "r2")
    assert [a.slot for a in to_workers(dispatch)] == ["i"]


def test_without_an_interactive_worker_a_bulk_worker_takes_it_next() -> None:
    dispatch = ready(interactive=False)
    embed(dispatch, 400)
    dispatch.actions()
    embed(dispatch, 1, "r2")
    assert [a.slot for a in to_workers(dispatch)] == ["b"]


def test_calls_take_turns() -> None:
    dispatch = ready()
    embed(dispatch, 400, "long")
    embed(dispatch, 40, "short")
    first, second = to_workers(dispatch)
    # The short call came after the credit was spent; the next two units are one of each.
    done(dispatch, first)
    done(dispatch, second)
    owners = {dispatch.board.units[a.message.id].request.id for a in to_workers(dispatch)}
    assert owners == {"long", "short"}


def test_a_late_answer_of_another_attempt_or_incarnation_is_dropped() -> None:
    dispatch = ready()
    embed(dispatch, 1)
    [unit] = to_workers(dispatch)
    body = {"indices": [0], "tokens": 1, "windowed": 0, "errors": []}
    dispatch.worker_message(0.0, "i", "i0", Message("done", unit.message.id, 1, body=body))
    dispatch.worker_message(0.0, "i", "i1", Message("done", unit.message.id, 7, body=body))
    assert to_clients(dispatch.actions()) == []
    assert dispatch.board.counters["frames_late"] == 2
    done(dispatch, unit)
    assert [m.kind for m in to_clients(dispatch.actions())] == ["part", "result"]


def test_over_the_bound_the_answer_is_overloaded_at_once() -> None:
    dispatch = ready(Limits(queue_bytes=1000))
    embed(dispatch, 17)
    dispatch.request(0.0, b"c", Message("embed", "r2", body={"texts": ["x"]}), 5000)
    [refused] = [m for m in to_clients(dispatch.actions()) if m.id == "r2"]
    error = from_dict(refused.body)
    assert isinstance(error, Overloaded)
    assert error.retry_after > 0


def test_a_call_without_progress_ends_and_one_with_progress_goes_on() -> None:
    dispatch = ready(Limits(silence=60, unit_timeout=10))
    embed(dispatch, 40)
    sent = to_workers(dispatch)
    dispatch.tick(59.0)
    done(dispatch, sent[0], now=59.0)
    dispatch.tick(110.0)
    assert not [m for m in to_clients(dispatch.actions()) if m.kind == "error"]
    dispatch.tick(119.5)
    [error] = [m for m in to_clients(dispatch.actions()) if m.kind == "error"]
    assert isinstance(from_dict(error.body), DeadlineExceeded)


def test_the_time_in_which_the_loop_stood_still_does_not_count() -> None:
    dispatch = ready(Limits(silence=60))
    embed(dispatch, 40)
    dispatch.actions()
    dispatch.stood_still(3600.0)
    dispatch.tick(3630.0)
    assert not to_clients(dispatch.actions())


def test_a_cancelled_call_is_answered_and_gives_back_its_credit() -> None:
    dispatch = ready()
    embed(dispatch, 40)
    sent = to_workers(dispatch)
    dispatch.cancel(b"client", "r1")
    actions = dispatch.actions()
    [error] = to_clients(actions)
    assert isinstance(from_dict(error.body), Cancelled)
    released = [a for a in actions if isinstance(a, ToWorker)]
    assert {a.message.kind for a in released} == {"release"}
    # The worker answers for the units that it will not do, and is free again.
    for unit in sent:
        refused = Message("error", unit.message.id, unit.message.attempt, body={"code": "x"})
        dispatch.worker_message(0.0, "b", "b1", refused)
    assert dispatch.board.own.pool.workers["b"].free == 2


def test_a_call_for_another_model_is_refused_where_there_is_no_memory_for_one() -> None:
    dispatch = ready(Limits(other_models=False))
    ask(dispatch, "embed", texts=["x"], model="all-mpnet-base-v2")
    [error] = to_clients(dispatch.actions())
    assert isinstance(from_dict(error.body), ModelNotRunning)
    ask(dispatch, "embed", "r2", texts=["x"], model="sentence-transformers/all-MiniLM-L6-v2")
    assert not to_clients(dispatch.actions())


def test_no_ingest_unit_is_started_while_the_store_is_away() -> None:
    dispatch = ready()
    ask(dispatch, "add", collection="c", ids=["a"], texts=["x"])
    [have] = [a.message for a in dispatch.actions() if isinstance(a, ToStore)]
    answer = Message("result", have.id, have.attempt, "s1", body={"missing": [0]})
    dispatch.store_gone("s1", blame=False)
    dispatch.store_message(0.0, answer)
    assert not to_workers(dispatch)
    dispatch.store_ready("s2", "/s2", 3)
    [again] = [a.message for a in dispatch.actions() if isinstance(a, ToStore)]
    assert (again.kind, again.attempt, again.incarnation) == ("have", 2, "s2")
    assert again.body["number"] == have.body["number"]


def test_write_numbers_grow_with_each_write_and_hold_the_epoch() -> None:
    dispatch = ready()
    for n in range(3):
        ask(dispatch, "delete", f"r{n}", collection="c", ids=["a"])
    numbers = [a.message.body["number"] for a in dispatch.actions() if isinstance(a, ToStore)]
    assert numbers == sorted(set(numbers))
    assert {n >> 40 for n in numbers} == {3}


def test_a_death_from_outside_sends_the_unit_whole_and_a_blamed_one_splits_it() -> None:
    dispatch = ready()
    embed(dispatch, 40)
    running = to_workers(dispatch)[0]
    size = len(running.message.body["texts"])
    assert size > 1
    dispatch.worker_gone("b", "b1", blame=False)
    dispatch.worker_ready("b", "b2", "bulk", {"model": MODEL, "credit": {"units": 2}})
    again = to_workers(dispatch)[0]
    assert again.message.id == running.message.id
    assert again.message.attempt == 2
    dispatch.worker_gone("b", "b2", blame=True)
    dispatch.worker_ready("b", "b3", "bulk", {"model": MODEL, "credit": {"units": 2}})
    alone = to_workers(dispatch)
    assert [len(a.message.body["texts"]) for a in alone] == [1]


def test_an_embed_that_is_asked_again_from_another_address_starts_afresh() -> None:
    dispatch = ready()
    embed(dispatch, 8)
    dispatch.actions()
    dispatch.request(1.0, b"other", Message("embed", "r1", body={"texts": ["x"] * 8}), 100)
    assert dispatch.board.requests["r1"].client == b"other"
    assert len(dispatch.board.requests) == 1


def test_a_worker_without_progress_is_ended_once_and_one_that_beats_is_not() -> None:
    dispatch = ready(Limits(silence=1e9, unit_timeout=10))
    embed(dispatch, 40)
    dispatch.tick(0.0)
    dispatch.worker_beat(9.0, "b", "b1", steps=1)
    dispatch.tick(18.0)
    dispatch.worker_beat(18.5, "b", "b1", steps=1)
    assert not [a for a in dispatch.actions() if isinstance(a, Stalled)]
    dispatch.tick(19.0)
    dispatch.tick(20.0)
    assert [a for a in dispatch.actions() if isinstance(a, Stalled)] == [Stalled("b", "b1")]


def test_an_idle_worker_is_never_stalled_nor_one_while_the_loop_stood_still() -> None:
    dispatch = ready(Limits(silence=1e9, unit_timeout=10))
    dispatch.tick(0.0)
    dispatch.tick(1000.0)
    embed(dispatch, 40, now=1000.0)
    dispatch.tick(1000.0)
    dispatch.stood_still(500.0)
    dispatch.tick(1500.0)
    assert not [a for a in dispatch.actions() if isinstance(a, Stalled)]


def test_the_store_is_told_the_stage_of_an_add_with_both_of_its_calls() -> None:
    dispatch = ready()
    for id, stage in (("staged", {"stage": 7}), ("plain", {})):
        ask(dispatch, "add", id, collection="c", ids=["a"], texts=["x"], **stage)
        [have] = [a.message for a in dispatch.actions() if isinstance(a, ToStore)]
        assert (have.kind, have.body.get("stage")) == ("have", stage.get("stage"))
        missing = {"unchanged": [], "superseded": [], "reused": [], "missing": [0]}
        answer = Message("result", have.id, have.attempt, "s1", body=missing)
        dispatch.store_message(0.0, answer)
        [unit] = to_workers(dispatch)
        assert unit.message.body["store"]["body"].get("stage") == stage.get("stage")


def test_a_stage_that_is_no_number_is_refused() -> None:
    dispatch = ready()
    for n, stage in enumerate(("7", True, 1.5, [])):
        ask(dispatch, "add", f"r{n}", collection="c", ids=["a"], texts=["x"], stage=stage)
        [refused] = to_clients(dispatch.actions())
        assert isinstance(from_dict(refused.body), InvalidInput)


def test_a_request_from_a_connection_that_was_lost_does_not_take_the_answer_there() -> None:
    dispatch = ready()
    body = {"collection": "c", "ids": ["a"]}
    dispatch.request(0.0, b"second", Message("delete", "r1", attempt=1, body=body), 100)
    # It was sent first, over a connection that its client has given up.
    dispatch.request(0.0, b"first", Message("delete", "r1", body=body), 100)
    [call] = [a.message for a in dispatch.actions() if isinstance(a, ToStore)]
    dispatch.store_message(0.0, Message("result", call.id, call.attempt, "s1", body={"deleted": 1}))
    assert [a.client for a in dispatch.actions() if isinstance(a, ToClient)] == [b"second"]
    assert dispatch.board.counters["frames_late"] == 1
