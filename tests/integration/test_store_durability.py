"""What a store has acknowledged outlives it, and what it has not does no harm."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import chromadb
import numpy as np
import pytest
from chromadb.config import Settings

from store_worker import calls_read, index_child, keeper
from store_worker import ledger as ledger_module
from store_worker.index import SYNC_THRESHOLD
from store_worker.ledger import Ledger
from tests.integration.store_double import StoreRoom
from thoth_core.errors import LedgerDamaged, StorageError

ROOT = Path(__file__).parents[2]
RNG = np.random.default_rng(11)


def rows(n: int, dimension: int = 4) -> np.ndarray:
    return RNG.normal(size=(n, dimension)).astype(np.float32)


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "data", tmp_path / "run"


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> Callable[[StoreRoom], None]:
    """Has the index process of a store stand still, once it has everything."""
    # It cannot answer when it is told to put all on disk, nor to end.
    monkeypatch.setattr(keeper, "SETTLE_SECONDS", 0.2)
    monkeypatch.setattr(index_child, "CLOSE_SECONDS", 0.2)

    def stop(store: StoreRoom) -> None:
        store.healthy()
        os.kill(store.index()["index"]["pid"], signal.SIGSTOP)

    return stop


def stock_client(path: Path) -> chromadb.api.ClientAPI:
    return chromadb.PersistentClient(path=str(path), settings=Settings(anonymized_telemetry=False))


def test_everything_is_there_after_a_restart_and_the_epoch_tells_supervisors_apart(places):
    vectors = rows(30)
    with StoreRoom(*places) as store:
        store.upsert([f"id{i}" for i in range(30)], vectors, texts=["t"] * 30)
        store.delete(ids=["id3"])
        before = store.search(vectors[:1], k=30)
    with StoreRoom(*places, incarnation="two") as store:
        assert (store.ready["epoch"], store.ready["chunks"]) == (1, 29)
        assert store.search(vectors[:1], k=30) == before
    with StoreRoom(*places, service="second", incarnation="three") as store:
        assert store.ready["epoch"] == 2


def test_what_the_index_never_saw_is_found_at_once_and_told_at_the_next_start(places, stopped):
    vectors = rows(4)
    with StoreRoom(*places) as store:
        store.upsert(["a", "b", "gone"], vectors[:3], texts=["one", "two", "three"])
        stopped(store)
        store.upsert(["a", "c"], vectors[2:], texts=["ONE", "c"])
        store.delete(ids=["gone"])
        found = {hit["id"]: hit["text"] for hit in store.search(vectors[2:3], k=9)[0]}
        assert found == {"a": "ONE", "b": "two", "c": "c"}
        assert store.get(where_document={"$contains": "ONE"}).body["ids"] == ["a"]
        store.stop("stop")
    with StoreRoom(*places, incarnation="two") as store:
        store.healthy()
        hits = store.search(vectors[2:3], k=9)[0]
        assert {hit["id"]: hit["text"] for hit in hits} == found
    client = stock_client(places[0] / "chroma")
    ledger = Ledger.open(places[0] / "ledger.sqlite3", "first")
    assert set(client.get_collection("notes", embedding_function=None).get()["ids"]) == set(found)
    assert ledger.pending(0, 10) == []
    ledger.close()
    client.close()


def test_an_index_that_is_gone_is_made_again_from_the_ledger(places):
    vectors = rows(1200)
    ids = [f"id{i}" for i in range(1200)]
    with StoreRoom(*places) as store:
        for start in range(0, 1200, 400):
            part = slice(start, start + 400)
            store.upsert(ids[part], vectors[part], metadatas=[{"n": 1}] * 400)
        store.upsert(["x"], rows(1, 8), collection="wide")
        store.healthy()
    shutil.rmtree(places[0] / "chroma")
    with StoreRoom(*places, incarnation="two") as store:
        for i in range(0, 1200, 100):
            assert store.search(vectors[i : i + 1], k=1)[0][0]["id"] == ids[i]
        assert len(store.get(where={"n": 1}).body["ids"]) == 1200
        assert len(store.search(rows(1, 8), collection="wide")[0]) == 1


@pytest.mark.parametrize(
    ("kind", "body", "left"),
    [
        ("rename_collection", {"collection": "old", "to": "new"}, ["new", "other"]),
        ("delete_collection", {"collection": "old"}, ["other"]),
        ("create_collection", {"collection": "made", "model": None}, ["made", "old", "other"]),
    ],
)
def test_a_change_of_collections_that_the_index_never_saw_is_made_up_for(
    places, stopped, kind, body, left
):
    with StoreRoom(*places) as store:
        store.upsert(["a"], rows(1), collection="old")
        store.upsert(["a"], rows(1), collection="other")
        stopped(store)
        store.call(kind, body | {"number": store.next_number()})
        for name in set(left) - {"made"}:
            assert len(store.search(rows(1), collection=name)[0]) == 1
        store.stop("stop")
    with StoreRoom(*places, incarnation="two") as store:
        store.healthy()
        for name in set(left) - {"made"}:
            assert len(store.search(rows(1), collection=name)[0]) == 1
    client = stock_client(places[0] / "chroma")
    assert sorted(each.name for each in client.list_collections()) == left
    client.close()


def test_a_stock_chroma_client_reads_the_directory_while_thoth_is_stopped(places):
    vectors = rows(3)
    metadatas = [{"n": 1, "tags": ["x", "y"]}, None, {"b": True}]
    with StoreRoom(*places) as store:
        store.upsert(list("abc"), vectors, texts=["one", None, "three"], metadatas=metadatas)
        store.call(
            "rename_collection",
            {"collection": "notes", "to": "papers", "number": store.next_number()},
        )
        store.healthy()
    client = stock_client(places[0] / "chroma")
    collection = client.get_collection("papers", embedding_function=None)
    found = collection.get(include=["embeddings", "documents", "metadatas"])
    assert found["ids"] == ["a", "b", "c"]
    assert found["documents"] == ["one", None, "three"]
    assert found["metadatas"] == metadatas
    np.testing.assert_allclose(found["embeddings"], vectors, rtol=1e-6)
    assert collection.query(query_embeddings=vectors[2:], n_results=1)["ids"] == [["c"]]
    graph = collection.configuration_json["hnsw"]
    assert (graph["space"], graph["sync_threshold"]) == ("cosine", SYNC_THRESHOLD)
    client.close()


def test_another_programs_chroma_directory_beside_it_is_not_touched(tmp_path):
    client = stock_client(tmp_path)
    client.create_collection("theirs", embedding_function=None).add(
        ids=["x"], embeddings=rows(1), documents=["their words"]
    )
    client.close()

    def state() -> dict[str, str]:
        return {
            str(path.relative_to(tmp_path)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in tmp_path.rglob("*")
            if path.is_file() and "thoth" not in path.parts and "run" not in path.parts
        }

    before = state()
    assert before
    with StoreRoom(tmp_path / "thoth", tmp_path / "run") as store:
        store.upsert(["a"], rows(1), collection="theirs")
        assert store.get(collection="theirs").body["ids"] == ["a"]
    assert state() == before


def test_a_collection_that_somebody_made_in_the_index_is_moved_aside_and_never_dropped(places):
    with StoreRoom(*places) as store:
        store.upsert(["a"], rows(1))
        store.healthy()
    client = stock_client(places[0] / "chroma")
    client.create_collection("theirs", embedding_function=None).add(
        ids=["x"], embeddings=rows(1), documents=["their words"]
    )
    client.close()
    with StoreRoom(*places, incarnation="two") as store:
        store.upsert(["b"], rows(1), collection="theirs")
        assert store.get(collection="theirs").body["ids"] == ["b"]
        store.healthy()
    client = stock_client(places[0] / "chroma")
    aside = client.get_collection("theirs-aside", embedding_function=None)
    assert aside.get()["documents"] == ["their words"]
    client.close()


def test_many_waiting_writes_share_a_few_commits(places, monkeypatch):
    commits, held = 0, threading.Event()
    real = Ledger.transaction

    def counted(self: Ledger):
        nonlocal commits
        commits += 1
        return real(self)

    def hold(*given: object):
        held.wait(30)
        return {"count": 0}, ()

    with StoreRoom(*places) as store:
        store.upsert(["first"], rows(1))
        store.healthy()
        monkeypatch.setattr(Ledger, "transaction", counted)
        with monkeypatch.context() as patch:
            patch.setitem(calls_read.READS, "count", hold)  # type: ignore[arg-type]
            store.post("count", {"collection": "notes"})
            calls = []
            for i in range(60):
                body = {"collection": "notes", "ids": [f"id{i}"], "model": None}
                calls.append(store.post("upsert", body | {"number": store.next_number()}, rows(1)))
            held.set()
            store.channel.sent.get(timeout=30)
            for call in calls:
                store.answer(call)
        assert store.call("count", {"collection": "notes"}).body == {"count": 61}
    # One for whatever was taken before it was held, one for the rest, and two about the index.
    assert commits <= 5


def test_searches_and_writes_go_on_while_the_index_process_stands_still(places, stopped):
    vectors = rows(1500)
    ids = [f"id{i}" for i in range(1500)]
    with StoreRoom(*places) as store:
        store.upsert(ids, vectors)
        stopped(store)
        assert store.delete(ids=ids[:1000]) == 1000
        assert {hit["id"] for hit in store.search(vectors[:1], k=900)[0]} == set(ids[1000:])
        store.upsert(["more"], vectors[:1])
        assert store.search(vectors[:1], k=1)[0][0]["id"] == "more"
        os.kill(store.index()["index"]["pid"], signal.SIGCONT)
        store.healthy()
        assert {hit["id"] for hit in store.search(vectors[:1], k=900)[0]} == {*ids[1000:], "more"}


def test_writes_after_the_first_search_are_not_slowed_by_the_rows_before(places):
    vectors = rows(2000, 64)
    with StoreRoom(*places) as store:
        store.healthy()
        started = time.monotonic()
        for i in range(0, 2000, 500):
            ids = [f"id{j}" for j in range(i, i + 500)]
            store.upsert(ids, vectors[i : i + 500])
        store.healthy()
        # What this is about cost five seconds.
        filling = max(4.0, time.monotonic() - started)
        store.search(vectors[:1])
        started = time.monotonic()
        store.upsert(["one more"], vectors[:1] * 2)
        store.healthy()
        assert time.monotonic() - started < filling


CRASHER = """
import sys, numpy as np
from pathlib import Path
from tests.integration.store_double import StoreRoom
where, text = sys.argv[1:]
with StoreRoom(Path(where) / "data", Path(where) / "run", settings={"faults": True}) as store:
    store.upsert(["good"], np.ones((1, 4), "f4"), texts=["fine"])
    store.upsert(["bad"], np.ones((1, 4), "f4") * 2, texts=[text])
    print("answered")
"""


@pytest.mark.parametrize(("text", "survivors"), [("!store-segv", 1), ("!store-segv-after", 2)])
def test_a_store_that_dies_of_sigsegv_has_all_that_was_committed(tmp_path, text, survivors):
    done = subprocess.run(
        [sys.executable, "-c", CRASHER, str(tmp_path), text],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == -signal.SIGSEGV, done.stderr
    assert "answered" not in done.stdout
    with StoreRoom(tmp_path / "data", tmp_path / "run", incarnation="two") as store:
        assert store.ready["chunks"] == survivors
        assert len(store.search(np.ones((1, 4), "f4"), k=9)[0]) == survivors


def test_a_stale_socket_is_unlinked_and_a_drain_answers_what_was_taken(places):
    places[1].mkdir()
    stale = places[1] / "store-dead.sock"
    stale.touch()
    with StoreRoom(*places) as store:
        assert not stale.exists()
        calls = [
            store.post(
                "upsert",
                {"collection": "notes", "ids": [f"id{i}"], "model": None, "number": i + 1},
                rows(1),
            )
            for i in range(5)
        ]
        store.stop("drain")
        for call in calls:
            assert store.answer(call).body["written"] == 1
    assert store.ended is None
    assert not (places[0] / "ledger.sqlite3-wal").exists()


def test_a_full_disk_refuses_what_does_not_fit_and_the_store_goes_on(places, monkeypatch):
    real = ledger_module._configure

    def small(db: sqlite3.Connection, path: Path) -> None:
        real(db, path)
        db.execute("PRAGMA max_page_count = 60")

    monkeypatch.setattr(ledger_module, "_configure", small)
    with StoreRoom(*places) as store:
        store.upsert(["a"], rows(1), texts=["one"])
        body = {"collection": "notes", "model": None}
        large = body | {"ids": list("bcde"), "texts": ["x" * 200_000] * 4}
        problem = store.error("upsert", large | {"number": store.next_number()}, rows(4))
        assert isinstance(problem, StorageError)
        assert "the disk is full" in problem.cause
        assert [hit["id"] for hit in store.search(rows(1), k=9)[0]] == ["a"]
        assert store.upsert(["f"], rows(1), texts=["fits"])["written"] == 1
    assert store.ended is None


def test_ids_that_only_the_index_still_has_are_dropped_and_others_take_their_place(places):
    vectors = rows(60)
    ids = [f"id{i:02}" for i in range(60)]
    with StoreRoom(*places) as store:
        store.upsert(ids, vectors)
        order = [hit["id"] for hit in store.search(vectors[:1], k=60)[0]]
    ledger = Ledger.open(places[0] / "ledger.sqlite3", "first")
    ledger.db.executemany("DELETE FROM chunks WHERE id = ?", [(id,) for id in order[:40]])
    ledger.close()
    with StoreRoom(*places, incarnation="two") as store:
        assert [hit["id"] for hit in store.search(vectors[:1], k=5)[0]] == order[40:45]
        assert len(store.search(vectors[:1], k=50)[0]) == 20


def test_a_store_that_ends_by_damage_waits_for_no_index(places, stopped, monkeypatch):
    def damaged(*_: object) -> None:
        raise LedgerDamaged("the ledger is damaged")

    with StoreRoom(*places) as store:
        store.upsert(["a"], rows(1))
        stopped(store)
        # The index will not have it, however long one waits.
        store.upsert(["b"], rows(1))
        monkeypatch.setitem(calls_read.READS, "count", damaged)
        began = time.monotonic()
        assert store.error("count", {"collection": "notes"}).code == "ledger_damaged"
        store._thread.join(30)
        assert time.monotonic() - began < keeper.FINISH_SECONDS
    assert isinstance(store.ended, LedgerDamaged)
