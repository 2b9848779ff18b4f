"""A new generation is begun with the identity of the model that runs, and only with that."""

from __future__ import annotations

from tests.unit.test_dispatch import MODEL, ask, ready
from tests.unit.test_dispatch_waiting import INFO, errors, to_store
from thoth_core.errors import ModelNotRunning, WorkerFailed
from thoth_core.supervisor.dispatch import Dispatch, Limits
from thoth_core.supervisor.pool import Staff


def test_the_store_is_told_the_identity_of_the_running_model() -> None:
    dispatch = ready()
    ask(dispatch, "begin_reembed", "r1", collection="c", model=MODEL["name"])
    [call] = to_store(dispatch)
    assert (call.kind, call.body["model"], call.body["request"]) == ("begin_reembed", MODEL, "r1")
    assert call.body["number"] > 0


def test_another_model_is_refused_before_the_store_hears_of_it() -> None:
    dispatch = ready(Limits(other_models=False))
    ask(dispatch, "begin_reembed", "r1", collection="c", model="fake/other")
    assert to_store(dispatch) == []
    ask(dispatch, "begin_reembed", "r2", collection="c", model="fake/other")
    assert isinstance(errors(dispatch)["r2"], ModelNotRunning)


def test_another_model_is_told_to_the_store_by_its_own_identity() -> None:
    dispatch = ready()
    ask(dispatch, "begin_reembed", "r1", collection="c", model="fake/other")
    assert to_store(dispatch) == []
    other = {"name": "fake/other", "dimension": 4}
    dispatch.worker_ready("o", "o1", "bulk", INFO | {"model": other}, "fake/other")
    [call] = to_store(dispatch)
    assert call.body["model"] == other


def test_it_waits_until_a_model_is_known() -> None:
    dispatch = Dispatch()
    dispatch.store_ready("s1", "endpoint", 1)
    ask(dispatch, "begin_reembed", "good", collection="c", model=MODEL["name"])
    ask(dispatch, "begin_reembed", "other", collection="c", model="fake/other")
    assert to_store(dispatch) == []
    dispatch.tick(300.0)
    dispatch.worker_ready("b", "b1", "bulk", INFO)
    [call] = to_store(dispatch)
    assert call.body["request"] == "good"


def test_it_is_refused_when_no_embed_worker_can_be_had() -> None:
    dispatch = Dispatch()
    dispatch.store_ready("s1", "endpoint", 1)
    dispatch.availability(store=None, staff={"": Staff(WorkerFailed("no such model"))})
    ask(dispatch, "begin_reembed", "r1", collection="c")
    assert isinstance(errors(dispatch)["r1"], WorkerFailed)
