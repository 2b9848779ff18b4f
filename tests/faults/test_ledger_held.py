"""Another program that holds the ledger: said in time, with who it is, and nothing is lost."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from store_worker import ledger
from tests.conftest import Make
from tests.integration.store_double import StoreRoom
from tests.support.service import wait_for
from thoth_core.errors import StorageError, ThothError

HOLDER = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
if sys.argv[2] == "wholly":
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
db.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read(1)
db.execute("ROLLBACK")
db.close()
"""
#: Nobody waits longer: the wait for the lock, and what a busy machine adds.
BOUND = 25.0


@contextlib.contextmanager
def held(path: Path, how: str = "for writing") -> Iterator[int]:
    """Held by a process, whose pid this is. ``wholly``: nobody may even read."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path), how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process.pid
    finally:
        process.communicate("x", timeout=10)


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "_BUSY_MS", 500)


def rows(n: int) -> np.ndarray:
    return np.random.default_rng(n).normal(size=(n, 4)).astype(np.float32)


def names(problem: ThothError, pid: int, path: Path) -> None:
    assert isinstance(problem, StorageError), repr(problem)
    assert str(path) in problem.message
    assert "another program holds it" in problem.cause
    if sys.platform == "linux":
        assert f"pid {pid}" in problem.cause
        assert f"ps -fp {pid}" in problem.fix
    assert problem.fix


def test_a_ledger_that_is_held_while_the_store_runs_refuses_writes_and_is_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "d" / "ledger.sqlite3"
    with StoreRoom(tmp_path / "d", tmp_path / "r") as store:
        store.upsert(["a", "b"], rows(2))
        store.healthy()
        with held(path) as pid:
            body = {"collection": "notes", "ids": ["c"], "model": None}
            for _ in range(2):
                began = time.monotonic()
                number = {"number": store.next_number()}
                names(store.error("upsert", body | number, rows(1)), pid, path)
                assert time.monotonic() - began < BOUND
            assert [hits[0]["id"] for hits in store.search(rows(2), k=1)] == ["a", "b"]
            assert store.get().body["ids"] == ["a", "b"]
            assert store.call("count", {"collection": "notes"}).body == {"count": 2}
            # Nor is a healthy index touched for it.
            os.kill(store.index()["index"]["pid"], 9)
            wait_for(lambda: _restarted(store), 30, "another index process is there")
            assert [hits[0]["id"] for hits in store.search(rows(2), k=1)] == ["a", "b"]
        assert store.upsert(["c"], rows(1))["written"] == 1
        store.healthy()
        told = store.call("verify", {}).body
        assert (told["findings"], told["differing"], told["rows"]) == ([], 0, 3)
        assert store.index()["index"]["generation"] == 1
    assert "Traceback" not in caplog.text


def _restarted(store: StoreRoom) -> bool:
    store.channel.nudge()
    return bool(store.index()["index"]["restarts"]) and store.index()["index_state"] == "healthy"


@pytest.mark.parametrize("how", ["for writing", "wholly"])
def test_a_ledger_that_is_held_before_the_start_is_a_typed_error(tmp_path: Path, how: str) -> None:
    path = tmp_path / "d" / "ledger.sqlite3"
    with StoreRoom(tmp_path / "d", tmp_path / "r") as store:
        store.upsert(["a", "b"], rows(2))
    with held(path, how) as pid:
        began = time.monotonic()
        with (
            pytest.raises(StorageError) as caught,
            StoreRoom(tmp_path / "d", tmp_path / "r", service="second"),
        ):
            pass
        assert time.monotonic() - began < BOUND
        names(caught.value, pid, path)
    with StoreRoom(tmp_path / "d", tmp_path / "r", service="third") as store:
        assert [hits[0]["id"] for hits in store.search(rows(2), k=1)] == ["a", "b"]
        store.upsert(["c"], rows(1))


def test_a_service_says_who_holds_its_ledger_and_goes_on_when_it_is_let_go(
    make_service: Make,
) -> None:
    service = make_service(THOTH_EMBED_WORKERS="1").start()
    path = service.settings().data_dir / "ledger.sqlite3"
    with service.client() as thoth:
        thoth.add(["one", "two"], ids=["a", "b"], collection="notes")
        with held(path) as pid:
            with pytest.raises(StorageError) as caught:
                thoth.add(["three"], ids=["c"], collection="notes")
            names(caught.value, pid, path)
            assert thoth.query("one", k=1, collection="notes")[0].id == "a"
        thoth.add(["three"], ids=["c"], collection="notes")
        assert thoth.count("notes") == 3
    service.stop()
    with held(path) as pid:
        done = service.run("thoth-supervisor", "start", timeout=90)
        assert done.returncode == 1
        assert f"pid {pid}" in done.stderr
        assert "fix: " in done.stderr
        assert "Traceback" not in done.stderr
        # Whoever holds it is named by the path, and is all that there is.
        assert service.processes() == [pid]
    service.start()
    with service.client() as thoth:
        assert thoth.query("three", k=1, collection="notes")[0].id == "c"
        assert thoth.count("notes") == 3
