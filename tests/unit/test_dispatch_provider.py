"""What dispatch makes of a provider that refuses a unit: what is under way is paid for, and is
stored before the call ends; what waits is not begun."""

from __future__ import annotations

import pytest

from tests.unit.test_dispatch import MODEL, ask, embed, ready, to_clients, to_workers
from thoth_core.errors import (
    AuthenticationFailed,
    ModelNotFound,
    ProviderUnavailable,
    QuotaExceeded,
    ThothError,
)
from thoth_core.supervisor.board import ToStore, ToWorker
from thoth_core.supervisor.dispatch import Dispatch
from thoth_core.wire import Message, error_message


def _adding(dispatch: Dispatch, id: str) -> list[ToWorker]:
    """An ``add`` of twelve texts, three units; those that were given out."""
    texts = [f"text {n} of {id}" for n in range(12)]
    ask(dispatch, "add", id, collection="c", ids=texts, texts=texts)
    [have] = [a.message for a in dispatch.actions() if isinstance(a, ToStore)]
    missing = {"unchanged": [], "superseded": [], "reused": [], "missing": list(range(12))}
    dispatch.store_message(0.0, Message("result", have.id, have.attempt, "s1", body=missing))
    return to_workers(dispatch)


def _refuse(dispatch: Dispatch, action: ToWorker, problem: ThothError) -> None:
    unit = action.message
    answer = error_message(problem, unit.id, unit.attempt)
    dispatch.worker_message(0.0, action.slot, action.incarnation, answer)


def _stored(dispatch: Dispatch, action: ToWorker) -> None:
    unit, count = action.message, len(action.message.body["texts"])
    body = {"indices": list(range(count)), "tokens": 1, "windowed": 0, "errors": [], "bytes": 9}
    answer = Message("handed", unit.id, unit.attempt, body=body)
    dispatch.worker_message(0.0, action.slot, action.incarnation, answer)
    done = {"superseded": []}
    dispatch.store_message(0.0, Message("result", unit.id, unit.attempt, "s1", body=done))


@pytest.mark.parametrize("problem", [QuotaExceeded("none left"), AuthenticationFailed("no")])
def test_what_is_under_way_is_stored_before_the_call_ends(problem: ThothError) -> None:
    dispatch = ready()
    first, second = _adding(dispatch, "r1")
    _refuse(dispatch, first, problem)
    actions = dispatch.actions()
    assert to_clients(actions) == []
    assert not [a for a in actions if isinstance(a, ToWorker) and a.message.kind == "unit"]
    _stored(dispatch, second)
    [answer] = to_clients(dispatch.actions())
    assert (answer.id, answer.kind, answer.body["code"]) == ("r1", "error", problem.code)
    assert dispatch.idle


def test_other_calls_of_the_account_end_too_and_those_of_other_models_go_on() -> None:
    dispatch = ready(interactive=False)
    info = {"model": {**MODEL, "name": "other"}, "credit": {"units": 2, "items": 4}}
    dispatch.worker_ready("o", "o1", "bulk", info, "other")
    first, second = _adding(dispatch, "r1")
    assert _adding(dispatch, "r2") == []
    ask(dispatch, "embed", "r3", texts=["x"] * 20, model="other")
    dispatch.actions()
    _refuse(dispatch, first, QuotaExceeded("none left"))
    told = to_clients(dispatch.actions())
    assert [(m.id, m.body["code"]) for m in told] == [("r2", "quota")]
    _stored(dispatch, second)
    assert [m.id for m in to_clients(dispatch.actions())] == ["r1"]
    assert set(dispatch.board.requests) == {"r3"}


@pytest.mark.parametrize(
    "problem", [QuotaExceeded("none left"), ModelNotFound("which"), ProviderUnavailable("away")]
)
def test_a_call_for_vectors_ends_at_once(problem: ThothError) -> None:
    dispatch = ready()
    embed(dispatch, 40)
    first = to_workers(dispatch)[0]
    _refuse(dispatch, first, problem)
    [answer] = to_clients(dispatch.actions())
    assert answer.body["code"] == problem.code
    assert not dispatch.board.requests


def test_an_account_that_is_good_again_is_used_again() -> None:
    dispatch = ready()
    first, second = _adding(dispatch, "r1")
    _refuse(dispatch, first, QuotaExceeded("none left"))
    _stored(dispatch, second)
    dispatch.actions()
    assert len(_adding(dispatch, "r2")) == 2
