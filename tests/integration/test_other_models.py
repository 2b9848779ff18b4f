"""Models besides the service's own: started when they are asked for, ended when nobody does."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from embed_worker.engines.fake import hashed_vector
from tests.conftest import Make
from tests.support.service import RealService, wait_for
from thoth_core import Settings, Thoth
from thoth_core.errors import ModelMismatch, ModelNotFound, ModelNotRunning, PoisonInput


@pytest.fixture(scope="module")
def running() -> Iterator[RealService]:
    service = RealService.make("fake/32", THOTH_MODEL_IDLE="8", THOTH_FAULTS="1")
    try:
        yield service.start()
    finally:
        service.close()


def client(service: RealService, model: str) -> Thoth:
    environ = service.environ(RAG_EMBEDDING_MODEL=model)
    return Thoth(Settings.load(cwd=service.root, environ=environ), autostart=False)


def others(service: RealService) -> dict[str, str]:
    """The slots for other models, and their models."""
    return others_of(service.status())


def others_of(status: dict[str, Any]) -> dict[str, str]:
    workers = status["workers"]
    return {w["name"]: w["model"] for w in workers if w["model"] not in (None, "fake/32")}


def test_who_asks_for_another_model_gets_its_vectors_and_its_workers_leave_again(
    running: RealService,
) -> None:
    before = running.status()
    with client(running, "fake/16") as other, running.client() as own:
        vectors = other.embed(["a text"])
        assert np.allclose(vectors[0], hashed_vector("a text", 16), atol=1e-6)
        assert (other.model, other.dimension) == ("fake/16", 16)
        assert own.embed(["a text"]).shape == (1, 32)
        # An ingest has workers beside the one for queries.
        report = other.add([f"text {n}" for n in range(300)], collection="sixteen")
        assert report.embedded == 300
        hits = other.query("text 7", k=1, collection="sixteen")
        assert hits[0].text == "text 7"
        # Once, and now: they leave soon.
        status = running.status()
    there = others_of(status)
    assert {"embed-2-interactive", "embed-2-bulk-1"} <= set(there)
    assert set(there.values()) == {"fake/16"}
    # The service's own first.
    assert [m["name"] for m in status["models"]] == ["fake/32", "fake/16"]
    assert status["state"] == "ready"
    assert status["pid"] == before["pid"]
    wait_for(lambda: not others(running), 30, "the other model's workers have left")
    assert [m["name"] for m in running.status()["models"]] == ["fake/32"]
    # Planned ends are no deaths.
    done = running.run("thoth-supervisor", "crashes", "--json")
    assert "embed-2" not in done.stdout


def test_who_names_no_model_has_that_of_the_collection(running: RealService) -> None:
    with client(running, "fake/8") as eight:
        eight.add(["one", "two"], ids=["1", "2"], collection="eight")
    with client(running, "") as unasked:
        assert [h.id for h in unasked.query("two", k=1, collection="eight")] == ["2"]
        report = unasked.add(["three"], ids=["3"], collection="eight")
        assert (report.embedded, report.failed) == (1, [])
        assert [c.model for c in unasked.collections() if c.name == "eight"] == ["fake/8"]
        # A new one is of the service's own.
        unasked.add(["four"], collection="new")
        assert [c.model for c in unasked.collections() if c.name == "new"] == ["fake/32"]
    with client(running, "fake/32") as named, pytest.raises(ModelMismatch):
        named.query("two", k=1, collection="eight")


def test_a_model_that_is_not_to_be_had_ends_its_own_calls_only(running: RealService) -> None:
    with client(running, "fake/none") as wrong, running.client() as own:
        with pytest.raises(ModelNotFound, match="fake/none"):
            wrong.embed(["a text"])
        assert own.embed(["a text"]).shape == (1, 32)
        assert running.status()["state"] == "ready"
        # At once, while that is known.
        with pytest.raises(ModelNotFound):
            wrong.query("a text", k=1)
    wait_for(lambda: not others(running), 40, "nothing is left of it")


def test_its_workers_may_die_like_any_others(running: RealService) -> None:
    texts = [f"text {n}" for n in range(1500)]
    with client(running, "fake/24") as other, running.client() as own:
        other.embed(["a text"])
        pids = {w["pid"] for w in running.status()["workers"] if w["model"] == "fake/24"}
        found: list[np.ndarray] = []
        asking = threading.Thread(target=lambda: found.append(other.embed(texts)))
        asking.start()
        for pid in pids - {None}:
            os.kill(pid, signal.SIGKILL)
        assert own.embed(["a text"]).shape == (1, 32)
        asking.join(60)
        assert found[0].shape == (1500, 24)
        assert np.allclose(found[0][7], hashed_vector("text 7", 24), atol=1e-6)


def test_a_poison_text_in_a_small_call_is_found_with_any_model(running: RealService) -> None:
    """It is tried alone in a bulk worker, which nobody else asks for."""
    with client(running, "fake/20") as other:
        assert other.embed(["fine"]).shape == (1, 20)
        with pytest.raises(PoisonInput) as caught:
            other.embed(["fine", "!segv"], deadline=50)
        assert caught.value.indices == [1]
        assert np.isfinite(caught.value.partial[0]).all()
        assert other.embed(["fine"], deadline=50).shape == (1, 20)


def test_without_memory_for_another_model_the_call_is_refused(make_service: Make) -> None:
    service = make_service("fake/32", THOTH_MODELS_MEMORY_MB="0").start()
    with client(service, "fake/16") as other:
        for call in (lambda: other.embed(["a"]), lambda: other.query("a", k=1)):
            with pytest.raises(ModelNotRunning, match=r"fake/32.*fake/16") as caught:
                call()
            assert "THOTH_MODELS_MEMORY_MB" in caught.value.fix
        # What needs no model goes on.
        assert other.collections() == []
    with client(service, "") as whatever:
        assert whatever.dimension == 32
    done = service.run("thoth", "embed", "a text", env={"RAG_EMBEDDING_MODEL": "fake/16"})
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_collection_is_embedded_anew_with_a_model_that_the_service_does_not_run(
    running: RealService,
) -> None:
    with running.client() as own, client(running, "") as unasked:
        own.add([f"text {n}" for n in range(50)], collection="moves")
        done = running.run("thoth", "collections", "reembed", "moves", "--model", "fake/12")
        assert done.returncode == 0, done.stderr
        assert [c.dimension for c in own.collections() if c.name == "moves"] == [12]
        assert unasked.query("text 3", k=1, collection="moves")[0].text == "text 3"
