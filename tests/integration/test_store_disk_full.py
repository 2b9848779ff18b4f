"""A disk that fills up: refused in time, nothing lost, and work goes on when there is room."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from store_worker import room
from store_worker.ledger import Ledger
from tests.integration.store_double import StoreRoom
from tests.support.service import wait_for
from thoth_core.disk_room import RESERVE_BYTES
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
        monkeypatch.setattr(room, "shutil", SimpleNamespace(disk_usage=double))

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
        store.healthy()
        # Nobody asks for anything more.
        wait_for(lambda: tidied and tidied[-1] == 0, 60, "it has tidied")
        assert store.call("count", {"collection": "notes"}).body == {"count": 5}
