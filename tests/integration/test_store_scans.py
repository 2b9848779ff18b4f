"""The store makes a file for scanning by itself, between other work."""

from __future__ import annotations

from pathlib import Path
from queue import SimpleQueue

import numpy as np
import pytest

from store_worker import scan, scans
from store_worker.index_talk import IndexTalk
from store_worker.scan import Scan
from tests.integration.store_double import StoreRoom

ROWS = 300


def test_a_search_does_not_wait_for_the_whole_file_and_the_store_makes_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: SimpleQueue[int] = SimpleQueue()
    real = Scan.step

    def step(each: Scan) -> bool:
        done = real(each)
        sizes.put(each.slots)
        return done

    def no_process(talk: IndexTalk) -> None:
        raise OSError("there is to be no index, which would answer instead")

    monkeypatch.setattr(IndexTalk, "spawn", no_process)
    monkeypatch.setattr(Scan, "step", step)
    monkeypatch.setattr(scan, "CHUNK_ROWS", 10)
    monkeypatch.setattr(scans, "SEARCH_SECONDS", 0.0)
    monkeypatch.setattr(scans, "TURN_SECONDS", 0.0)
    vectors = np.random.default_rng(3).normal(size=(ROWS, 8)).astype(np.float32)
    with StoreRoom(tmp_path / "data", tmp_path / "run") as store:
        store.upsert([f"id{i}" for i in range(ROWS)], vectors)
        [[hit]] = store.search(vectors[-1:], k=1)
        assert hit["id"] == f"id{ROWS - 1}"
        # Nobody asks for anything more.
        made = [sizes.get(timeout=30)]
        while made[-1] < ROWS:
            made.append(sizes.get(timeout=30))
    assert made == list(range(10, ROWS + 1, 10))
    assert store.ended is None
