"""``thoth collections reembed`` with a real service: killed, resumed, and written to meanwhile."""

from __future__ import annotations

import json
import os
import signal

import numpy as np
import pytest

from tests.conftest import Make
from tests.support.service import RealService, wait_for
from thoth_core import Thoth
from thoth_core.errors import InvalidInput, ModelMismatch

OLD, NEW = "fake/32", "fake/16"

#: A program that is gone in the middle of its call.
DIES = """
import os, signal
from thoth_core import Thoth

def told(done, total):
    if done >= 500:
        os.kill(os.getpid(), signal.SIGKILL)

Thoth().reembed("notes", "fake/16", told)
"""


def filled(make_service: Make, chunks: int) -> RealService:
    """A stopped service with a collection of the old model, and documents in it."""
    service = make_service(OLD, THOTH_EMBED_WORKERS="1", THOTH_FAULTS="1").start()
    docs = service.root / "docs"
    docs.mkdir()
    for i in range(3):
        (docs / f"{i}.md").write_text(f"# Title {i}\n\nText number {i}.\n")
    with service.client() as thoth:
        thoth.ingest([docs], "notes")
        count = chunks - 3
        thoth.add(
            [f"text {i}" for i in range(count)],
            [{"n": i} for i in range(count)],
            [f"id{i}" for i in range(count)],
            "notes",
        )
    service.stop()
    return service


def embedded(service: RealService) -> int:
    """Texts that were embedded since the service was started, when nothing is under way."""
    status = wait_for(
        lambda: None if (s := service.status())["queue"]["requests"] else s, 30, "nothing is open"
    )
    return int(status["store"]["embedded_total"])


def everything(thoth: Thoth) -> list[tuple[str, str | None, object]]:
    found = thoth.get(collection="notes")
    return list(zip(found.ids, found.texts, found.metadatas, strict=True))


def test_killed_resumed_and_written_to_it_embeds_each_text_once_and_loses_nothing(
    make_service: Make,
) -> None:
    # Four pages of 500 may be under way when the program dies, and what is accepted is finished.
    chunks = 3600
    service = filled(make_service, chunks)
    service.env["RAG_EMBEDDING_MODEL"] = NEW
    service.start()
    with service.client() as thoth:
        before = everything(thoth)
        with pytest.raises(ModelMismatch) as caught:
            thoth.query("text 1", collection="notes")
        assert f"thoth collections reembed notes --model {NEW}" in caught.value.fix

    assert service.python(DIES).returncode == -signal.SIGKILL
    first = embedded(service)
    assert 500 <= first < chunks
    with service.client() as thoth:
        assert everything(thoth) == before
        assert [each.count for each in thoth.collections()] == [chunks]
        own = np.ones((1, 32), np.float32)
        pid = service.pid("store")
        steps = [
            lambda: thoth.delete(ids=["id1", "id3590"], collection="notes"),
            lambda: thoth.upsert(
                ["id2", "own"], np.repeat(own, 2, 0), ["two", "mine"], None, "notes"
            ),
            lambda: os.kill(pid, signal.SIGKILL),
        ]
        # By the one that serves still, and is of the old model.
        assert thoth.search(own[0], k=1, collection="notes")
        report = thoth.reembed("notes", NEW, lambda done, total: steps and steps.pop(0)())
        assert not steps
        assert service.pid("store") != pid
        assert report.chunks == chunks - 1
        assert first + report.embedded == embedded(service)
        # Each text once, the changed and the new one besides; a deleted one may have been spared.
        assert chunks - 2 <= embedded(service) <= chunks + 2

        kept = {id: (text, meta) for id, text, meta in before}
        del kept["id1"], kept["id3590"]
        kept |= {"id2": ("two", {}), "own": ("mine", {})}
        assert {id: (text, meta) for id, text, meta in everything(thoth)} == kept
        [told] = thoth.collections()
        assert (told.name, told.model, told.dimension) == ("notes", NEW, 16)
        for text in ("text 5", "mine", "two"):
            assert thoth.query(text, k=1, collection="notes")[0].text == text
        again = thoth.ingest([service.root / "docs"], "notes")
        assert (again.unchanged, again.new, again.changed) == (3, 0, 0)
        assert thoth.reembed("notes", NEW).already


def test_the_command_says_what_to_do_when_another_model_runs_and_what_it_did(
    make_service: Make,
) -> None:
    chunks = 600
    service = filled(make_service, chunks)
    service.env["THOTH_MODELS_MEMORY_MB"] = "0"
    service.start()
    command = ("thoth", "collections", "reembed", "notes")
    done = service.run(*command, "--model", NEW, "--json", "-q")
    assert done.returncode == 2
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "model_not_running"
    assert OLD in error["message"] and NEW in error["message"]
    assert error["fix"] == (
        "raise THOTH_MODELS_MEMORY_MB and restart the service, or: "
        f"thoth-supervisor stop --if-running; RAG_EMBEDDING_MODEL={NEW} thoth-supervisor start;"
        f" then thoth collections reembed notes --model {NEW}"
    )
    service.stop()

    # None runs: it is started with the model that is asked for.
    done = service.run(*command, "--model", NEW)
    assert done.returncode == 0, done.stderr
    assert f"{chunks} chunks are of {NEW} now ({chunks} embedded, 0 reused)" in done.stdout
    assert f"set it to {NEW}" in done.stderr
    done = service.run(*command, "--model", NEW, "--json")
    told = json.loads(done.stdout)
    assert (told["already"], told["chunks"], told["model"]) == (True, chunks, NEW)
    done = service.run("thoth", "compact", "--json")
    assert done.returncode == 0, done.stderr
    sizes = json.loads(done.stdout)
    assert sizes["done"] is True
    for name in ("ledger", "index"):
        assert 0 < sizes[name]["after"] <= sizes[name]["before"]
    assert "index: " in service.run("thoth", "compact").stdout
    done = service.run(*command, "--abort", "--yes")
    assert (done.returncode, done.stdout) == (0, "notes: there was nothing to give up\n")
    assert service.run(*command).returncode == 2
    assert service.run(*command, "--abort", "--model", NEW).returncode == 2


def test_a_text_that_cannot_be_embedded_is_named_and_all_others_are_done(
    make_service: Make,
) -> None:
    chunks = 600
    service = filled(make_service, chunks)
    service.env["RAG_EMBEDDING_MODEL"] = NEW
    service.start()
    with service.client() as thoth:
        own = np.ones((1, 32), np.float32)
        thoth.upsert(["bad"], own, ["!raise"], collection="notes")
        with pytest.raises(InvalidInput) as caught:
            thoth.reembed("notes", NEW)
        assert caught.value.details["ids"] == ["bad"]
        assert "--id bad" in caught.value.fix
        assert embedded(service) == chunks
        [told] = thoth.collections()
        assert (told.model, told.count) == (OLD, chunks + 1)
        thoth.delete(ids=["bad"], collection="notes")
        report = thoth.reembed("notes", NEW)
        assert (report.chunks, report.embedded) == (chunks, 0)
        assert embedded(service) == chunks
