"""A whole service on a disk on which no byte is free, as its users see it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Make
from tests.support.service import RealService, wait_for
from tests.support.small_disk import SmallDisk, small_disk
from thoth_core import Thoth
from thoth_core.errors import ServiceUnavailable, StorageError, WorkerFailed

MODEL, OTHER = "fake/32", "fake/16"
N = 300
TEXTS = [f"text number {i}" for i in range(N)]
IDS = [f"id{i}" for i in range(N)]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """Released after the service that is made after it has ended."""
    with small_disk(tmp_path / "disk", 160) as made:
        yield made


@pytest.fixture
def service(disk: SmallDisk, make_service: Make) -> RealService:
    return make_service(
        MODEL, RAG_VECTOR_DB_PATH=str(disk.path / "db"), THOTH_EMBED_WORKERS="1", THOTH_FAULTS="1"
    ).start()


def fill(thoth: Thoth) -> None:
    thoth.add(TEXTS, [{"n": i} for i in range(N)], IDS, "notes")


def all_are_there(thoth: Thoth, collection: str = "notes") -> None:
    """Each is as it was stored; a tenth of them is searched for by its own vector."""
    got = thoth.get(IDS, collection=collection, include=["vectors"])
    assert got.ids == IDS
    assert got.texts == TEXTS
    assert got.vectors is not None
    for id, vector in zip(IDS[::10], got.vectors[::10], strict=True):
        assert thoth.search(vector, k=1, collection=collection)[0].id == id
    assert thoth.count(collection) == N


def is_typed(problem: StorageError, disk: SmallDisk) -> None:
    assert "full" in problem.message + problem.cause
    assert str(disk.path) in problem.message + problem.cause
    assert f"df -h {disk.path}" in problem.fix


def test_a_store_that_dies_on_a_full_disk_comes_back_by_itself(
    service: RealService, disk: SmallDisk
) -> None:
    with service.client() as thoth:
        fill(thoth)
        pid = service.pid("store")
        wait_for(lambda: disk.fill() or not disk.free, 10, "it is full")
        os.kill(pid, signal.SIGKILL)

        def answered() -> str:
            try:
                all_are_there(thoth)
            except (StorageError, WorkerFailed, ServiceUnavailable) as problem:
                return problem.code
            return "all"

        # Of the ledger all is there; what cannot be read meanwhile is refused, not lost.
        assert answered() in ("all", "storage", "worker_failed", "service_unavailable")
        disk.empty()
        wait_for(lambda: answered() == "all", 60, "the store is back, and nobody did anything")
        store = service.worker("store")
        assert store["restarts"] <= 3
        thoth.add(["one more"], ids=["more"], collection="notes")
        assert thoth.count("notes") == N + 1
    _verified(service, N + 1)
    assert "Traceback" not in _logs(service)


def test_a_service_does_not_start_on_a_full_disk_and_does_when_there_is_room(
    service: RealService, disk: SmallDisk
) -> None:
    with service.client() as thoth:
        fill(thoth)
    service.stop()
    disk.fill()
    done = service.run("thoth-supervisor", "start", timeout=90)
    assert done.returncode == 1, done.stdout
    assert "cause: No space left on device" in done.stderr
    assert f"df -h {disk.path}" in done.stderr
    assert "Traceback" not in done.stderr
    assert service.processes() == []
    disk.empty()
    service.start()
    with service.client() as thoth:
        all_are_there(thoth)


def test_export_import_and_compact_on_a_full_disk_do_nothing_by_halves(
    service: RealService, disk: SmallDisk
) -> None:
    file = disk.path / "notes.zip"
    with service.client() as thoth:
        fill(thoth)
        thoth.export(file, ["notes"])
        before = file.read_bytes()
        wait_for(lambda: not service.status()["store"]["index"]["pending"], 30, "the index has all")

        disk.fill()
        with pytest.raises(StorageError) as caught:
            thoth.export(file, ["notes"])
        is_typed_export(caught.value, disk)
        assert file.read_bytes() == before
        with pytest.raises(StorageError):
            thoth.export(disk.path / "new.zip", ["notes"])
        assert {each.name for each in disk.path.iterdir()} == {"db", "ballast", "notes.zip"}

        with pytest.raises(StorageError) as caught:
            thoth.import_(file, as_name="copy")
        is_typed(caught.value, disk)
        assert [each.name for each in thoth.collections()] == ["notes"]

        done = service.run("thoth", "compact", "--json", timeout=60)
        assert done.returncode != 0
        told = json.loads(done.stdout or done.stderr)
        assert "storage" in json.dumps(told)
        assert "Traceback" not in done.stderr
        all_are_there(thoth)

        disk.empty()
        assert thoth.import_(file, as_name="copy").chunks == N
        all_are_there(thoth, "copy")
        assert thoth.export(disk.path / "new.zip").chunks == 2 * N
        done = service.run("thoth", "compact", timeout=60)
        assert done.returncode == 0, done.stderr
        all_are_there(thoth)
    _verified(service, 2 * N)


def is_typed_export(problem: StorageError, disk: SmallDisk) -> None:
    assert problem.cause == "No space left on device"
    assert str(disk.path) in problem.message
    assert f"df -h {disk.path}" in problem.fix


def test_a_collection_is_embedded_anew_when_there_is_room_for_it(
    service: RealService, disk: SmallDisk
) -> None:
    with service.client() as thoth:
        fill(thoth)
    service.stop()
    service.env["RAG_EMBEDDING_MODEL"] = OTHER
    service.start()
    with service.client() as thoth:
        disk.fill()
        with pytest.raises(StorageError) as caught:
            thoth.reembed("notes", OTHER)
        is_typed(caught.value, disk)
        all_are_there(thoth)
        [notes] = thoth.collections()
        assert (notes.name, notes.model) == ("notes", MODEL)
        disk.empty()
        assert thoth.reembed("notes", OTHER).chunks == N
        all_are_there(thoth)
        got = thoth.get(IDS[:1], collection="notes", include=["vectors"])
        assert np.shape(got.vectors) == (1, 16)


def _verified(service: RealService, rows: int) -> None:
    wait_for(
        lambda: service.status()["store"]["index_state"] == "healthy", 60, "the index is healthy"
    )
    done = service.run("thoth", "verify", "--json", timeout=60)
    told = json.loads(done.stdout)
    assert (done.returncode, told["findings"], told["differing"]) == (0, [], 0), told
    assert told["rows"] == rows


def _logs(service: RealService) -> str:
    folder = service.settings().data_dir / "logs"
    return "".join(each.read_text(errors="replace") for each in folder.glob("*.log"))
