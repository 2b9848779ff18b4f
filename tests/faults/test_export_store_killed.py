"""The store dies under an export and under an import."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Make
from thoth_core.client.transfer import OnChunks
from thoth_core.errors import SnapshotLost

ROWS = 3000


def killing(pid: int, at: int) -> OnChunks:
    """Kills the store when so many chunks are done."""
    left = [pid]

    def tell(done: int, total: int) -> None:
        if done >= at and left:
            os.kill(left.pop(), signal.SIGKILL)

    return tell


@pytest.mark.parametrize("at", [1, ROWS - 1])
def test_an_export_begins_anew_and_is_of_one_state(make_service: Make, at: int) -> None:
    service = make_service().start()
    vectors = np.random.default_rng(1).normal(size=(ROWS, 32)).astype(np.float32)
    with service.client() as thoth:
        ids = [f"i{i}" for i in range(ROWS)]
        thoth.upsert(ids, vectors, collection="notes")
        file = service.root / "x.zip"
        pid = service.pid("store")
        report = thoth.export(file, on_progress=killing(pid, at))
        assert service.pid("store") != pid
        assert report.chunks == ROWS
        if at == 1:
            assert report.begun_anew == 1
        with zipfile.ZipFile(file) as archive:
            rows = [json.loads(line) for line in archive.read("000.jsonl").splitlines()]
    assert [row["id"] for row in rows] == ids
    assert np.array([row["vector"] for row in rows], np.float32).tobytes() == vectors.tobytes()
    assert list(service.root.glob(".x.zip*")) == []


def test_an_export_of_a_store_that_dies_again_and_again_says_so(make_service: Make) -> None:
    service = make_service().start()
    vectors = np.random.default_rng(1).normal(size=(ROWS, 32)).astype(np.float32)
    file = service.root / "x.zip"

    def kill(done: int, total: int) -> None:
        # The one of the last time may have ended, and still be the one that status knows.
        with contextlib.suppress(ProcessLookupError):
            os.kill(service.pid("store"), signal.SIGKILL)

    with service.client() as thoth:
        thoth.upsert([f"i{i}" for i in range(ROWS)], vectors, collection="notes")
        with pytest.raises(SnapshotLost):
            thoth.export(file, on_progress=kill)
        assert not file.exists()
        assert thoth.count("notes") == ROWS
    assert list(service.root.glob(".x.zip*")) == []


def test_an_import_is_finished_by_the_next_store(make_service: Make) -> None:
    service = make_service().start()
    vectors = np.random.default_rng(1).normal(size=(ROWS, 32)).astype(np.float32)
    file = Path(service.root / "x.zip")
    with service.client() as thoth:
        thoth.upsert([f"i{i}" for i in range(ROWS)], vectors, collection="notes")
        thoth.export(file)
        thoth.delete_collection("notes")
        pid = service.pid("store")
        thoth.import_(file, on_progress=killing(pid, 1000))
        assert service.pid("store") != pid
        found = thoth.get(collection="notes", include=["vectors"])
        assert found.ids == [f"i{i}" for i in range(ROWS)]
        assert found.vectors is not None
        assert found.vectors.tobytes() == vectors.tobytes()
        assert [each.name for each in thoth.collections()] == ["notes"]
