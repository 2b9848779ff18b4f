"""A disk that fills up: refused in time, nothing lost, and work goes on when there is room."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from store_worker import index as index_module
from store_worker.index import RESERVE_BYTES, Index
from store_worker.ledger import Ledger
from tests.integration.store_double import StoreRoom
from thoth_core.errors import StorageError

RNG = np.random.default_rng(5)
ONE = {"collection": "notes", "model": None}


def rows(n: int) -> np.ndarray:
    return RNG.normal(size=(n, 4)).astype(np.float32)


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "data", tmp_path / "run"


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], None]:
    """Sets the free bytes of the disk; None: as they are."""

    def tell(size: int | None) -> None:
        double = shutil.disk_usage if size is None else lambda _: SimpleNamespace(free=size)
        monkeypatch.setattr(index_module, "shutil", SimpleNamespace(disk_usage=double))

    return tell


def test_a_write_without_room_is_refused_before_anything_is_written(places, free):
    with StoreRoom(*places) as store:
        store.upsert(["a"], rows(1))
        free(RESERVE_BYTES - 1)
        problem = store.error(
            "upsert", ONE | {"ids": ["b"], "number": store.next_number()}, rows(1)
        )
        assert isinstance(problem, StorageError)
        assert "the disk is full" in str(problem)
        assert store.get().body["ids"] == ["a"]
        assert [hit["id"] for hit in store.search(rows(1))[0]] == ["a"]
        free(None)
        assert store.upsert(["b"], rows(1))["written"] == 1
        assert len(store.search(rows(1))[0]) == 2


def test_what_is_committed_when_the_room_ends_is_answered_only_when_the_index_has_it(
    places, free, monkeypatch
):
    real = Ledger.transaction

    def last_room(self: Ledger):
        free(0)
        return real(self)

    vectors = rows(3)
    with StoreRoom(*places) as store:
        body = ONE | {"ids": ["a", "b"], "number": store.next_number(), "request": "r1"}
        with monkeypatch.context() as patch:
            patch.setattr(Ledger, "transaction", last_room)
            assert isinstance(store.error("upsert", body, vectors[:2]), StorageError)
        # Neither the repetition nor a delete by filter may pass what the index still lacks.
        assert isinstance(store.error("upsert", body, vectors[:2]), StorageError)
        delete = {"collection": "notes", "where": {"n": 1}, "number": store.next_number()}
        assert isinstance(store.error("delete", delete), StorageError)
        search = {"collection": "notes", "k": 1}
        assert isinstance(store.error("search", search, rows(1)), StorageError)
        free(None)
        assert store.call("upsert", body, vectors[:2]).body["written"] == 2
        assert [store.search(vectors[i : i + 1], k=1)[0][0]["id"] for i in (0, 1)] == ["a", "b"]
    assert store.ended is None


def test_a_store_that_starts_without_room_serves_what_it_has_and_catches_up(
    places, free, monkeypatch
):
    vectors = rows(2)
    with StoreRoom(*places) as store:
        store.upsert(["a"], vectors[:1])
    ledger = Ledger.open(places[0] / "ledger.sqlite3", "first")
    with ledger.transaction():
        ledger.log_changes(1, ["a"], "upsert")
    ledger.close()
    free(0)
    with StoreRoom(*places, incarnation="two") as store:
        assert store.get().body["ids"] == ["a"]
        free(None)
        assert store.search(vectors[:1], k=1)[0][0]["id"] == "a"
        assert store.upsert(["b"], vectors[1:])["written"] == 1
    ledger = Ledger.open(places[0] / "ledger.sqlite3", "first")
    assert ledger.pending(1) == []
    ledger.close()


def test_a_ledger_that_another_program_holds_after_the_commit_does_not_end_the_store(
    places, monkeypatch
):
    real = Index.plan
    held: list[sqlite3.Connection] = []

    def plan(self: Index, names: dict[int, str]):
        if names and not held:
            other = sqlite3.connect(places[0] / "ledger.sqlite3", isolation_level=None)
            held.append(other)
            other.execute("BEGIN IMMEDIATE")
        return real(self, names)

    monkeypatch.setattr(Index, "plan", plan)
    monkeypatch.setattr("store_worker.ledger._BUSY_MS", 50)
    # The thread of the store made the other connection, and only a closing one is wanted here.
    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda *a, **k: connect(*a, check_same_thread=False, **k)
    )
    vector = rows(1)
    with StoreRoom(*places) as store:
        body = ONE | {"ids": ["a"], "number": store.next_number(), "request": "r1"}
        assert isinstance(store.error("upsert", body, vector), StorageError)
        held[0].close()
        assert store.call("upsert", body, vector).body["written"] == 1
        assert store.search(vector, k=1)[0][0]["id"] == "a"
    assert store.ended is None


def test_the_write_ahead_log_is_folded_in_when_nothing_is_asked(places, monkeypatch):
    monkeypatch.setattr("store_worker.service.QUIET_SECONDS", 0.05)
    real = Ledger.tidy
    tidied: list[int] = []

    def tidy(self: Ledger) -> None:
        real(self)
        tidied.append(self.path.with_name("ledger.sqlite3-wal").stat().st_size)

    monkeypatch.setattr(Ledger, "tidy", tidy)
    with StoreRoom(*places) as store:
        for i in range(5):
            store.upsert([f"id{i}"], rows(1), texts=["x" * 5000])
        store._thread.join(0.5)
        # Once: a store that nobody asks anything goes on waiting.
        assert tidied[-1] == 0
        assert store.call("count", {"collection": "notes"}).body == {"count": 5}
