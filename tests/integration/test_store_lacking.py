"""What was written since the index was last told of changes is found beside what it finds."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from store_worker import nearest
from store_worker.recovery_steps import Policy
from tests.integration.store_double import StoreRoom

RNG = np.random.default_rng(5)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StoreRoom]:
    """One whose index is told nothing more after the first changes."""
    monkeypatch.setattr("store_worker.recovery.Policy", partial(Policy, gather=600.0, pause=600.0))
    monkeypatch.setattr("store_worker.service.QUIET_SECONDS", 600.0)
    with StoreRoom(tmp_path / "data", tmp_path / "run") as room:
        yield room
    assert room.ended is None


def no_scan(*_: object) -> None:
    raise AssertionError("looked into the ledger for all rows")


def ids_of(hits: list[dict[str, object]]) -> list[object]:
    return [hit["id"] for hit in hits]


def test_changes_that_the_index_lacks_are_found_without_a_scan(
    store: StoreRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = RNG.normal(size=(40, 4)).astype(np.float32)
    ids = [f"id{i:02}" for i in range(40)]
    store.upsert(ids, vectors, texts=["old"] * 40, metadatas=[{"n": i} for i in range(40)])
    store.healthy()
    monkeypatch.setattr(nearest, "_by_scan", no_scan)
    monkeypatch.setattr(nearest, "matching_now", no_scan)
    # A new one, one that is another now, one that is gone, one that only says something else.
    vectors[1] = -vectors[0]
    store.upsert(["new", "id01"], np.array([vectors[0], vectors[1]]), texts=["new", "moved"])
    store.delete(ids=["id02"])
    store.upsert(["id03"], vectors[3:4], texts=["said anew"], metadatas=[{"n": 100}])
    assert store.index()["index"]["pending"] == 4

    [hits] = store.search(vectors[0:1], k=2)
    assert ids_of(hits) == ["id00", "new"]
    [hits] = store.search(vectors[1:2], k=1)
    assert (ids_of(hits), hits[0]["text"]) == (["id01"], "moved")
    [hits] = store.search(vectors[2:3], k=41)
    assert sorted(ids_of(hits), key=str) == sorted([*ids[:2], *ids[3:], "new"])
    # A filter is asked of them as they are now, whatever the index knows.
    [hits] = store.search(vectors[3:4], k=50, where={"n": {"$gte": 39}})
    assert set(ids_of(hits)) == {"id39", "id03"}
    [hits] = store.search(vectors[3:4], k=50, where={"n": 3})
    assert hits == []
    assert store.get(where_document={"$contains": "anew"}).body["ids"] == ["id03"]
    assert store.delete(where={"n": {"$gte": 39}}) == 2


def test_what_is_next_to_chunks_that_moved_away_is_found(store: StoreRoom) -> None:
    # The nearest thirty in the index are elsewhere now, so that it has to be asked for more.
    query = np.array([1, 0, 0, 0], np.float32)

    def around(centre: np.ndarray, much: float, count: int) -> np.ndarray:
        return (centre + much * RNG.normal(size=(count, 4))).astype(np.float32)

    near, middle = [f"near{i}" for i in range(30)], [f"middle{i}" for i in range(30)]
    store.upsert(near, around(query, 0.01, 30))
    store.upsert(middle, around(query, 0.3, 30))
    store.upsert([f"far{i}" for i in range(100)], around(-query, 0.1, 100))
    store.stop()
    with StoreRoom(store.data_dir, store.runtime_dir.with_name("again"), "second") as again:
        again.healthy()
        again.upsert(["first"], -query[None])
        again.healthy()
        again.upsert(near, around(-query, 0.1, 30))
        assert again.index()["index"]["pending"] == 30
        [hits] = again.search(query[None], k=10)
        assert {str(hit["id"]) for hit in hits} < set(middle)


def test_more_changes_than_that_are_told_at_once(store: StoreRoom) -> None:
    store.upsert(["first"], RNG.normal(size=(1, 4)).astype(np.float32))
    store.healthy()
    store.upsert([f"a{i}" for i in range(255)], RNG.normal(size=(255, 4)).astype(np.float32))
    assert store.index()["index"]["pending"] == 255
    store.upsert(["last"], RNG.normal(size=(1, 4)).astype(np.float32))
    store.healthy()
