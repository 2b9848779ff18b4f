"""What a store says of its size, and how it gives room back."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from store_worker import compaction, index_files, service
from store_worker.index_process import IndexProcess, answer
from tests.integration.store_double import ANSWER_SECONDS, StoreRoom, model
from thoth_core.errors import StorageError

RNG = np.random.default_rng(33)


def rows(n: int, dimension: int = 4) -> np.ndarray:
    return RNG.normal(size=(n, dimension)).astype(np.float32)


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "data", tmp_path / "run"


@pytest.fixture
def store(places: tuple[Path, Path]) -> Iterator[StoreRoom]:
    with StoreRoom(*places, settings={"faults": True}) as room:
        yield room


def stats(store: StoreRoom, **body: Any) -> dict[str, Any]:
    return dict(store.call("stats", body).body)


def test_an_empty_store_has_no_bytes_a_chunk(store):
    told = stats(store)
    assert (told["chunks"], told["vectors"]) == (0, 0)
    assert (told["ledger_bytes_per_chunk"], told["index_bytes_per_chunk"]) == (None, None)


def test_the_whole_store_is_told_whichever_collection_is_asked_for(store):
    store.upsert(["a", "b"], rows(2))
    store.upsert(["a", "b", "c"], rows(3, 8), collection="papers")
    store.healthy()
    told = stats(store, collection="papers")
    assert [each["name"] for each in told["collections"]] == ["papers"]
    assert told["collections"][0]["chunks"] == 3
    assert (told["chunks"], told["vectors"]) == (5, 5)
    for name in ("ledger", "index"):
        assert told[f"{name}_bytes_per_chunk"] == round(told[f"{name}_bytes"] / 5)
    everything = stats(store)
    assert [each["name"] for each in everything["collections"]] == ["notes", "papers"]
    assert everything["chunks"] == 5


def test_what_is_staged_counts_as_staged_and_its_vectors_as_vectors(store):
    store.upsert(["a"], rows(1), model=model(), texts=["one"], metadatas=[{"source": "f"}])
    stage = store.call("begin_ingest", {"collection": "notes", "number": store.next_number()})
    at = {"stage": stage.body["stage"]}
    source = {"source": "f"}
    # The one is there already, and stands for itself without a vector.
    had = store.have(["a", "b"], ["one", "two"], metadatas=[source, source], **at)
    assert (had["unchanged"], had["missing"]) == ([0], [1])
    store.upsert(["b"], rows(1), model=model(), texts=["two"], metadatas=[source], **at)
    told = stats(store)
    assert (told["chunks"], told["staged"], told["vectors"]) == (1, 2, 2)
    assert told["collections"][0]["staged"] == 2


def test_rows_that_no_index_takes_are_counted(store):
    store.upsert(["a", "b"], rows(2), texts=["fine", "this one says !index-abort"])
    store.healthy(90)
    told = stats(store)
    assert (told["unindexed"], told["collections"][0]["unindexed"]) == (1, 1)


# -- compact ------------------------------------------------------------------------------------


def compact(store: StoreRoom, job: str = "one") -> dict[str, Any]:
    """As the client asks: until it is done."""
    while not (told := store.call("compact", {"job": job}).body)["done"]:
        pass
    return dict(told)


def thinned(store: StoreRoom, count: int = 1000, kept: int = 50) -> np.ndarray:
    """A store that had ``count`` rows and has ``kept``; the vectors of these."""
    vectors = rows(count, 256)
    ids = [f"id{i}" for i in range(count)]
    for at in range(0, count, 500):
        store.upsert(ids[at : at + 500], vectors[at : at + 500])
    store.healthy()
    store.delete(ids=ids[kept:])
    store.healthy()
    return vectors[:kept]


def ids_of(hits: list[list[Mapping[str, Any]]]) -> list[str]:
    return [hit["id"] for hit in hits[0]]


def test_what_is_not_used_is_given_back_and_everything_is_found(store):
    vectors = thinned(store)
    unused = stats(store)["ledger_free_bytes"]
    assert unused > 1_000_000
    told = compact(store)
    for name in ("ledger", "index"):
        assert told[name]["after"] < told[name]["before"]
    assert told["ledger"]["before"] - told["ledger"]["after"] >= unused
    sizes = stats(store)
    assert sizes["ledger_free_bytes"] == 0
    assert sizes["ledger_bytes"] == told["ledger"]["after"]
    # By the index, which was closed and opened for it.
    assert ids_of(store.search(vectors[7:8], k=1)) == ["id7"]
    store.upsert(["more"], vectors[:1])
    store.healthy()
    assert ids_of(store.search(vectors[:1], k=2)) == ["id0", "more"]
    report = store.call("verify", {}).body
    assert (report["findings"], report["differing"], report["rows"]) == ([], 0, 51)
    assert store.index()["index"]["restarts"] == 0


def test_the_index_is_asked_at_once_though_nobody_calls(
    store, monkeypatch: pytest.MonkeyPatch
) -> None:
    thinned(store, 300)
    monkeypatch.setattr(service, "QUIET_SECONDS", 600.0)
    # The first answer, before it is told for the first time that it has to wait.
    assert store.call("compact", {"job": "one"}).body["done"]


def test_calls_are_answered_between_the_slices(store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "FEWEST_PAGES", 1)
    monkeypatch.setattr(compaction, "MOST_PAGES", 1)
    vectors = thinned(store, 400)
    job = store.post("compact", {"job": "one"})
    wanted = {job: "compact"}
    for turn in range(20):
        body = {"collection": "notes", "k": 1}
        wanted[store.post("search", body, vectors[turn : turn + 1])] = f"id{turn}"
        body = {"collection": "notes", "ids": [f"new{turn}"], "number": store.next_number()}
        wanted[store.post("upsert", body | {"model": None}, vectors[:1])] = "written"
    order = []
    while wanted:
        came = store.channel.sent.get(timeout=ANSWER_SECONDS)
        assert came.kind == "result"
        what = wanted.pop(came.id)
        order.append(what)
        if what.startswith("id"):
            assert ids_of(came.body["hits"]) == [what]
    assert order[-1] == "compact"
    assert stats(store)["chunks"] == 70


def test_a_ledger_of_before_it_could_shrink_by_pages_is_written_anew_once(places):
    with StoreRoom(*places) as store:
        store.upsert([f"id{i}" for i in range(400)], rows(400, 256))
    path = places[0] / "ledger.sqlite3"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA auto_vacuum = NONE")
        db.execute("VACUUM")
    with StoreRoom(*places, incarnation="two") as store:
        store.number = 1000
        store.delete(ids=[f"id{i}" for i in range(50, 400)])
        told = compact(store)
        assert told["ledger"]["after"] < told["ledger"]["before"] - 300_000
        assert len(store.get().body["ids"]) == 50
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA auto_vacuum").fetchone() == (2,)
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_without_room_to_write_it_anew_it_says_so_and_the_index_is_done_all_the_same(
    places, monkeypatch: pytest.MonkeyPatch
) -> None:
    with StoreRoom(*places) as store:
        thinned(store, 400)
    path = places[0] / "ledger.sqlite3"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA auto_vacuum = NONE")
        db.execute("VACUUM")
    monkeypatch.setattr(compaction, "RESERVE_BYTES", 2**60)
    with StoreRoom(*places, incarnation="two") as store:
        told = compact(store)
        assert told["ledger"]["problem"]["code"] == "storage"
        assert "no room" in told["ledger"]["problem"]["message"]
        assert told["index"]["after"] > 0
        assert len(store.get().body["ids"]) == 50


def test_an_index_that_cannot_be_written_anew_takes_what_comes_after_all_the_same(
    places, monkeypatch: pytest.MonkeyPatch
) -> None:
    with StoreRoom(*places) as store:
        thinned(store, 300)
    process = IndexProcess(places[0], faults=False)
    process.plan({}, b"")
    process.reconcile({}, b"")

    def full(folder: Path) -> None:
        raise StorageError("the disk is full")

    monkeypatch.setattr(index_files, "vacuum", full)
    reply = answer(process, {"op": "compact"}, b"")
    assert (reply["error"], reply["problem"]["code"]) == ("typed", "storage")
    assert process.index.has(1)
    found = process.matching(
        {"collection": 1, "ids": None, "where": None, "where_document": None}, b""
    )
    assert len(found["ids"]) == 50
    process.close()


def test_an_index_process_that_ends_meanwhile_ends_the_wait(
    store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "PATIENCE_SECONDS", 0.1)
    vectors = thinned(store, 300)
    pid = store.index()["index"]["pid"]
    os.kill(pid, signal.SIGSTOP)
    while store.call("compact", {"job": "one"}).body["step"] != "index":
        pass
    # Turns of the store's loop, in which it asks the index process; that does not answer.
    for _ in range(5):
        stats(store)
    # By scan.
    assert ids_of(store.search(vectors[:1], k=1)) == ["id0"]
    job = store.post("compact", {"job": "one"})
    os.kill(pid, signal.SIGKILL)
    came = store.answer(job).body
    while not came["done"]:
        came = store.call("compact", {"job": "one"}).body
    assert "SIGKILL during compact" in came["index"]["problem"]["details"]["cause"]
    assert "problem" not in compact(store, "two")["index"]
    assert ids_of(store.search(vectors[:1], k=1)) == ["id0"]


def test_it_waits_for_an_export_and_says_so(store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "PATIENCE_SECONDS", 0.1)
    thinned(store, 400)
    before = stats(store)["ledger_free_bytes"]
    store.call("snapshot_open", {"snapshot": "s"})
    told = store.call("compact", {"job": "one"}).body
    assert (told["done"], told["step"]) == (False, "ledger")
    assert stats(store)["ledger_free_bytes"] == before
    store.call("snapshot_close", {"snapshot": "s"})
    assert compact(store)["ledger"]["after"] > 0
    # Asked once more, as after an answer that was lost.
    assert compact(store) == compact(store)
