"""What a store has acknowledged outlives it, and what it has not does no harm."""

from __future__ import annotations

import hashlib
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import chromadb
import numpy as np
import pytest
from chromadb.config import Settings

from store_worker import ledger as ledger_module
from store_worker.applier import Applier, IndexBroken
from store_worker.index import Index, IndexFailed
from store_worker.ledger import Ledger
from tests.integration.store_double import StoreRoom
from thoth_core.errors import StorageError

ROOT = Path(__file__).parents[2]
RNG = np.random.default_rng(11)


def rows(n: int, dimension: int = 4) -> np.ndarray:
    return RNG.normal(size=(n, dimension)).astype(np.float32)


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "data", tmp_path / "run"


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


def test_a_commit_that_the_index_never_saw_is_replayed_at_the_next_start(places, monkeypatch):
    vectors = rows(4)
    with StoreRoom(*places) as store:
        store.upsert(["a", "b", "gone"], vectors[:3], texts=["one", "two", "three"])
        with monkeypatch.context() as patch:

            def broken(*_: object) -> None:
                raise IndexFailed("no")

            patch.setattr(Index, "apply", broken)
            body = {"collection": "notes", "model": None, "ids": ["a", "c"], "texts": ["ONE", "c"]}
            store.post("upsert", body | {"number": store.next_number()}, vectors[2:])
            store.post(
                "delete", {"collection": "notes", "ids": ["gone"], "number": store.next_number()}
            )
            store._thread.join(30)
    assert isinstance(store.ended, IndexBroken)
    # Neither was acknowledged, because neither could be found.
    assert store.channel.sent.empty()
    with StoreRoom(*places, incarnation="two") as store:
        found = {hit["id"]: hit["text"] for hit in store.search(vectors[2:3], k=9)[0]}
        assert found["a"] == "ONE"
        assert found["c"] == "c"
        assert store.get(where_document={"$contains": "ONE"}).body["ids"] == ["a"]
    client = stock_client(places[0] / "chroma")
    ledger = Ledger.open(places[0] / "ledger.sqlite3", "first")
    assert set(client.get_collection("notes", embedding_function=None).get()["ids"]) == set(found)
    assert ledger.pending(10) == []
    ledger.close()
    client.close()


def test_a_call_that_fails_once_in_the_index_is_retried_and_answered(places, monkeypatch):
    failures = iter([IndexFailed("once")])
    real = Index.apply

    def shaky(self: Index, *given: object) -> None:
        problem = next(failures, None)
        if problem is not None:
            raise problem
        real(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Index, "apply", shaky)
    with StoreRoom(*places) as store:
        assert store.upsert(["a"], rows(1))["written"] == 1
        assert [hit["id"] for hit in store.search(rows(1))[0]] == ["a"]


def test_an_index_that_is_gone_is_made_again_from_the_ledger(places):
    vectors = rows(1200)
    ids = [f"id{i}" for i in range(1200)]
    with StoreRoom(*places) as store:
        for start in range(0, 1200, 400):
            part = slice(start, start + 400)
            store.upsert(ids[part], vectors[part], metadatas=[{"n": 1}] * 400)
        store.upsert(["x"], rows(1, 8), collection="wide")
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
    places, monkeypatch, kind, body, left
):
    with StoreRoom(*places) as store:
        store.upsert(["a"], rows(1), collection="old")
        store.upsert(["a"], rows(1), collection="other")
        with monkeypatch.context() as patch:

            def broken(*_: object) -> None:
                raise IndexFailed("no")

            patch.setattr(Index, "take", broken)
            store.post(kind, body | {"number": store.next_number()})
            store._thread.join(30)
    assert store.channel.sent.empty()
    with StoreRoom(*places, incarnation="two") as store:
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
    client = stock_client(places[0] / "chroma")
    collection = client.get_collection("papers", embedding_function=None)
    found = collection.get(include=["embeddings", "documents", "metadatas"])
    assert found["ids"] == ["a", "b", "c"]
    assert found["documents"] == ["one", None, "three"]
    assert found["metadatas"] == metadatas
    np.testing.assert_allclose(found["embeddings"], vectors, rtol=1e-6)
    assert collection.query(query_embeddings=vectors[2:], n_results=1)["ids"] == [["c"]]
    graph = collection.configuration_json["hnsw"]
    assert (graph["space"], graph["sync_threshold"]) == ("cosine", 1_000_000)
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
    client = stock_client(places[0] / "chroma")
    client.create_collection("theirs", embedding_function=None).add(
        ids=["x"], embeddings=rows(1), documents=["their words"]
    )
    client.close()
    with StoreRoom(*places, incarnation="two") as store:
        store.upsert(["b"], rows(1), collection="theirs")
        assert store.get(collection="theirs").body["ids"] == ["b"]
    client = stock_client(places[0] / "chroma")
    aside = client.get_collection("theirs-aside", embedding_function=None)
    assert aside.get()["documents"] == ["their words"]
    client.close()


def test_many_waiting_writes_share_a_few_commits(places, monkeypatch):
    commits = 0
    real = Ledger.transaction

    def counted(self: Ledger):
        nonlocal commits
        commits += 1
        return real(self)

    with StoreRoom(*places) as store:
        store.upsert(["first"], rows(1))
        monkeypatch.setattr(Ledger, "transaction", counted)
        with store.channel.critical:
            calls = []
            for i in range(60):
                body = {"collection": "notes", "ids": [f"id{i}"], "model": None}
                calls.append(store.post("upsert", body | {"number": store.next_number()}, rows(1)))
        for call in calls:
            store.answer(call)
        assert store.call("count", {"collection": "notes"}).body == {"count": 61}
    # One for whatever was taken before the index was held, one for the rest, one at the end.
    assert commits <= 4


def test_a_search_is_answered_between_the_steps_of_a_large_write(places, monkeypatch):
    with StoreRoom(*places) as store:
        store.upsert([f"id{i}" for i in range(1500)], rows(1500))
        real = Applier.step
        asked: list[str] = []

        def step(self: Applier) -> bool:
            if not asked:
                asked.append(store.post("count", {"collection": "notes"}))
            return real(self)

        monkeypatch.setattr(Applier, "step", step)
        body = {"collection": "notes", "ids": [f"id{i}" for i in range(1500)]}
        write = store.post("delete", body | {"number": store.next_number()})
        answers = [store.channel.sent.get(timeout=30) for _ in range(2)]
        assert [answer.id for answer in answers] == [asked[0], write]
        assert answers[1].body == {"deleted": 1500}
        assert store.search(rows(1)) == [[]]


def test_writes_after_the_first_search_are_not_slowed_by_the_rows_before(places):
    vectors = rows(2000, 64)
    with StoreRoom(*places) as store:
        started = time.monotonic()
        for i in range(0, 2000, 500):
            ids = [f"id{j}" for j in range(i, i + 500)]
            store.upsert(ids, vectors[i : i + 500])
        filling = time.monotonic() - started
        store.search(vectors[:1])
        started = time.monotonic()
        store.upsert(["one more"], vectors[:1] * 2)
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


def test_a_search_that_the_index_fails_on_is_refused_and_others_are_served(places, monkeypatch):
    real = Index.nearest

    def picky(self: Index, owner: int, vectors: np.ndarray, n: int, where: object, *more: object):
        if where is not None:
            raise IndexFailed("this filter is my undoing")
        return real(self, owner, vectors, n, where, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(Index, "nearest", picky)
    with StoreRoom(*places) as store:
        store.upsert(["a"], rows(1))
        body = {"collection": "notes", "k": 1, "where": {"n": 1}}
        assert isinstance(store.error("search", body, rows(1)), StorageError)
        assert len(store.search(rows(1))[0]) == 1


def test_an_index_on_which_every_search_fails_ends_the_store(places, monkeypatch):
    def broken(*_: object) -> None:
        raise IndexFailed("no")

    with StoreRoom(*places) as store:
        store.upsert(["a"], rows(1))
        monkeypatch.setattr(Index, "nearest", broken)
        store.post("search", {"collection": "notes", "k": 1}, rows(1))
        store._thread.join(30)
    assert isinstance(store.ended, IndexBroken)
    assert store.channel.sent.empty()
