"""The index process ends, hangs, or finds its files damaged: the store answers all the same, and
has a good index again."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from store_worker import index_child, index_talk, keeper, service
from store_worker.locks import INDEX_LOCK
from tests.integration.store_double import StoreRoom
from tests.support.service import wait_for
from thoth_core.locks import FileLock

RNG = np.random.default_rng(21)
IDS = [f"id{i}" for i in range(60)]


def rows(n: int, dimension: int = 8) -> np.ndarray:
    return RNG.normal(size=(n, dimension)).astype(np.float32)


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "data", tmp_path / "run"


def has_pending(pid: int, number: signal.Signals) -> bool:
    """Whether a signal waits for a process that is stopped."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    [pending] = [line.split()[1] for line in lines if line.startswith("ShdPnd:")]
    return bool(int(pending, 16) >> (number - 1) & 1)


def found(store: StoreRoom, vectors: np.ndarray) -> list[str]:
    return [store.search(vectors[i : i + 1], k=1)[0][0]["id"] for i in range(0, len(vectors), 5)]


def test_a_search_is_answered_alike_while_there_is_no_index_process(places):
    vectors = rows(60)
    with StoreRoom(*places) as store:
        store.upsert(IDS, vectors)
        store.healthy()
        for restarts, number in enumerate((signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT), 1):
            near, more = vectors[restarts : restarts + 1], [f"id{restarts}", f"more{restarts}"]
            before = store.search(near, k=20)
            pid = store.index()["index"]["pid"]
            os.kill(pid, number)
            assert store.search(near, k=20) == before
            store.upsert(more[1:], near)
            assert [hit["id"] for hit in store.search(near, k=2)[0]] == more
            store.healthy()
            index = store.index()["index"]
            assert index["pid"] != pid
            assert (index["generation"], index["restarts"]) == (1, restarts)
            assert index["last_exit"]["signal"] == number.name
            assert [hit["id"] for hit in store.search(near, k=2)[0]] == more


def test_a_row_that_ends_whatever_index_takes_it_costs_the_others_nothing(places):
    vectors = rows(60)
    texts = ["fine"] * 60
    texts[41] = "this one says !index-abort"
    with StoreRoom(*places, settings={"faults": True}) as store:
        store.upsert(IDS, vectors, texts=texts)
        assert found(store, vectors) == IDS[::5]
        store.healthy(90)
        [row] = store.index()["unindexed"]
        assert (row["collection"], row["id"]) == ("notes", "id41")
        assert "SIGABRT" in row["reason"]
        index = store.index()["index"]
        assert index["generation"] == 1
        # The batch, once more alone, a tenth of that, and the row itself twice.
        assert index["restarts"] == 5
        # By the scan of what no index takes, beside the index.
        assert store.search(vectors[41:42], k=1)[0][0]["id"] == "id41"
        assert found(store, vectors) == IDS[::5]
        # Another text under the same id is another row.
        store.upsert(["id41"], vectors[41:42], texts=["harmless"])
        store.healthy()
        assert store.index()["unindexed"] == []


def test_an_older_version_of_a_row_that_no_index_takes_is_not_found(places):
    vectors = rows(60)
    with StoreRoom(*places, settings={"faults": True}) as store:
        store.upsert(IDS, vectors, texts=["fine"] * 60, metadatas=[{"kind": "old"}] * 60)
        store.healthy()
        text = ["now it says !index-abort"]
        store.upsert(["id41"], vectors[41:42], texts=text, metadatas=[{"kind": "new"}])
        store.healthy(90)
        assert [row["id"] for row in store.index()["unindexed"]] == ["id41"]
        for kind, there in (("old", False), ("new", True)):
            where = {"kind": kind}
            hits = store.search(vectors[41:42], k=60, where=where)[0]
            assert ("id41" in [hit["id"] for hit in hits]) == there
            ids = store.get(where=where).body["ids"]
            assert ("id41" in ids) == there
            assert len(ids) == len(set(ids))
        store.stop("drain")
    # Nor has the index anything left of it.
    import chromadb

    client = chromadb.PersistentClient(str(places[0] / "chroma"))
    collection = client.get_collection("notes", embedding_function=None)
    assert sorted(collection.get()["ids"]) == sorted(set(IDS) - {"id41"})
    client.close()


def test_an_index_that_another_process_has_is_waited_for(places):
    vectors = rows(60)
    with StoreRoom(*places) as store:
        store.upsert(IDS, vectors)
        store.healthy()
    lock = FileLock(places[0] / INDEX_LOCK)
    assert lock.acquire()
    with StoreRoom(*places, incarnation="two") as store:
        assert found(store, vectors) == IDS[::5]

        def tried_again() -> bool:
            return store.index().get("index", {}).get("restarts", 0) >= 2

        wait_for(tried_again, 60, "it was tried again")
        assert str(os.getpid()) in store.index()["index"]["reason"]
        lock.release()
        store.healthy()
        assert store.index()["index"]["generation"] == 1


def test_a_verification_while_the_index_is_filled_leaves_it_alone(places):
    vectors = rows(6000)
    ids = [f"id{i}" for i in range(6000)]
    with StoreRoom(*places) as store:
        for at in range(0, 6000, 500):
            store.upsert(ids[at : at + 500], vectors[at : at + 500])
        store.healthy()
    shutil.rmtree(places[0] / "chroma")
    with StoreRoom(*places, incarnation="two") as store:

        def filled() -> bool:
            progress = (store.index().get("index") or {}).get("progress")
            return progress is not None and progress["done"] >= 500

        wait_for(filled, 60, "some rows are in the index")
        report = store.call("verify", {}).body
        assert (report["findings"], report["index_state"]) == ([], "rebuilding")
        store.healthy(60)
        assert store.index()["index"]["generation"] == 1


def test_a_damaged_index_is_rebuilt_while_everything_is_found(places):
    vectors = rows(60)
    with StoreRoom(*places) as store:
        store.upsert(IDS, vectors)
        store.healthy()
    database = places[0] / "chroma" / "chroma.sqlite3"
    database.write_bytes(database.read_bytes()[:9000])
    with StoreRoom(*places, incarnation="two") as store:
        assert found(store, vectors) == IDS[::5]
        store.healthy()
        assert store.index()["index"]["generation"] == 2
        assert found(store, vectors) == IDS[::5]
        why = store.index()["index"]["begun_because"]
        assert "malformed" in why
    assert not list(places[0].glob("chroma-damaged-*"))
    with StoreRoom(*places, incarnation="three") as store:
        store.healthy()
        # Another store knows it too.
        assert store.index()["index"]["begun_because"] == why


def test_rows_that_the_index_lost_or_never_should_have_are_mended_one_by_one(places):
    vectors = rows(60)
    with StoreRoom(*places) as store:
        store.upsert(IDS, vectors)
        store.healthy()
    import chromadb

    client = chromadb.PersistentClient(str(places[0] / "chroma"))
    collection = client.get_collection("notes", embedding_function=None)
    collection.delete(ids=["id7"])
    collection.upsert(ids=["id8"], embeddings=rows(1))
    collection.upsert(ids=["foreign"], embeddings=vectors[:1])
    client.close()
    with StoreRoom(*places, incarnation="two") as store:
        store.healthy()
        report = store.call("verify", {}).body
        assert (report["findings"], report["differing"]) == ([], 0)
        assert report["found"] == report["asked"] > 0
        assert store.search(vectors[7:8], k=1)[0][0]["id"] == "id7"
        assert store.search(vectors[8:9], k=1)[0][0]["id"] == "id8"


def test_verify_finds_what_is_damaged_while_it_serves_and_has_it_mended(places):
    vectors = rows(60)
    with StoreRoom(*places) as store:
        store.upsert(IDS, vectors)
        store.healthy()
        assert store.call("verify", {}).body["findings"] == []
        shutil.copy(__file__, places[0] / "chroma" / "chroma.sqlite3")
        report = store.call("verify", {}).body
        assert "not a database" in report["findings"][0]
        assert found(store, vectors) == IDS[::5]
        store.healthy()
        assert store.index()["index"]["generation"] == 2


def test_an_index_process_that_hangs_is_ended_and_keeps_no_write_waiting(places, monkeypatch):
    monkeypatch.setattr(keeper, "MOST_BEHIND", 10)
    monkeypatch.setattr(index_talk, "SLOW_SECONDS", 0.2)
    # Or it hangs in putting on disk what it has, for which it is asked when nothing else is.
    monkeypatch.setattr(service, "QUIET_SECONDS", 600.0)
    vectors = rows(60)
    with StoreRoom(*places) as store:
        store.upsert(IDS[:20], vectors[:20])
        store.healthy()
        pid = store.index()["index"]["pid"]
        os.kill(pid, signal.SIGSTOP)
        # Not before, and not for the next one: a busy machine makes any call take two seconds.
        monkeypatch.setattr(index_talk, "HANG_SECONDS", 2.0)
        for start in (20, 40):
            store.upsert(IDS[start : start + 20], vectors[start : start + 20])
        assert found(store, vectors) == IDS[::5]
        wait_for(lambda: store.index()["index"]["pid"] not in (pid, None), 30, "it is replaced")
        monkeypatch.undo()
        store.healthy()
        index = store.index()["index"]
        assert index["pid"] != pid
        assert (index["last_exit"]["signal"], index["last_exit"]["during"]) == ("SIGKILL", "apply")
        assert found(store, vectors) == IDS[::5]
        # It was stopped, so that it could write no stacks.
        told = store.channel.deaths.get(timeout=10).body
        assert (told["pid"], told["why"], told["dump"]) == (pid, "hung in apply", "")
        assert told["seconds"] > 2.0


def test_an_index_process_that_hangs_tells_where_before_it_is_ended(places, monkeypatch):
    vectors = rows(60)
    with StoreRoom(*places) as store:
        store.upsert(IDS, vectors)
        store.healthy()
        pid = store.index()["index"]["pid"]
        os.kill(pid, signal.SIGSTOP)
        monkeypatch.setattr(index_talk, "SLOW_SECONDS", 0.2)
        monkeypatch.setattr(index_talk, "HANG_SECONDS", 0.5)
        monkeypatch.setattr(index_talk, "DUMP_SECONDS", 60.0)
        store.upsert(["more"], vectors[:1])
        # It was asked for its stacks, and gets to run.
        wait_for(lambda: has_pending(pid, signal.SIGUSR1), 30, "it is asked")
        os.kill(pid, signal.SIGCONT)
        store.healthy()
        os.kill(pid, signal.SIGKILL)
        told = store.channel.deaths.get(timeout=30).body
        assert (told["pid"], told["why"]) == (pid, "")
        assert "index_process.py" in told["dump"]


def test_a_question_that_the_index_process_does_not_read_is_answered_all_the_same(
    places, monkeypatch
):
    monkeypatch.setattr(index_child, "SEND_SECONDS", 1)
    vectors = rows(60, 512)
    # More than a socket holds.
    queries = np.concatenate([vectors] * 20)
    with StoreRoom(*places) as store:
        store.upsert(IDS, vectors)
        store.healthy()
        before = store.search(queries, k=1)
        pid = store.index()["index"]["pid"]
        os.kill(pid, signal.SIGSTOP)
        assert store.search(queries, k=1) == before
        store.upsert(["more"], vectors[:1])
        store.healthy()
        assert store.index()["index"]["pid"] != pid


def test_a_collection_that_the_index_has_not_got_yet_is_searched_all_the_same(places):
    with StoreRoom(*places) as store:
        store.healthy()
        for name in ("one", "two", "three"):
            store.upsert(["a"], rows(1), collection=name)
            assert [hit["id"] for hit in store.search(rows(1), collection=name)[0]] == ["a"]
        store.healthy()
        assert store.index()["index"]["restarts"] == 0
