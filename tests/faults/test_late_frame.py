"""A write that arrives after a newer one of the same id changes nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest

from tests.faults.watching import BULK, embedding, pids, stopped
from tests.support.service import RealService
from thoth_core import AddReport, Thoth

#: Seconds for a call whose worker goes on again.
SOON = 30.0


@pytest.fixture
def thoth(shared: RealService) -> Iterator[Thoth]:
    """Another client than the one whose write is late."""
    with shared.client() as client:
        client.add(["the neighbour"], ids=["neighbour"])
        yield client


@contextmanager
def late_add(
    service: RealService, id: str, collection: str | None = None
) -> Iterator[Future[AddReport]]:
    """An accepted ``add`` of ``id`` and of one more, which stands still in a worker that is
    stopped; the other bulk worker goes on. After the block so does the first, slowly."""
    workers = [pids(service)[name] for name in BULK]
    texts = [f"!slow:0.2 the late text of {id}", f"its companion {id}"]
    with service.client() as slow, ThreadPoolExecutor(1) as pool, stopped(workers):
        ids = [id, f"{id}-companion"]
        call = pool.submit(slow.add, texts, ids=ids, collection=collection)
        [holder] = embedding(service)
        for pid in workers:
            if pid != holder["pid"]:
                os.kill(pid, signal.SIGCONT)
        yield call
        assert not call.done()


def test_a_late_add_does_not_bring_a_deleted_chunk_back(shared: RealService, thoth: Thoth) -> None:
    thoth.add(["an older text"], ids=["deleted"])
    with late_add(shared, "deleted") as late:
        assert thoth.delete(ids=["deleted"]) == 1
    assert late.result(SOON).superseded == [0]
    assert list(thoth.get(ids=["deleted"])) == []
    assert "deleted" not in {hit.id for hit in thoth.query("the late text of deleted", k=50)}
    assert len(thoth.get(ids=["deleted-companion"])) == 1


def test_a_late_add_of_an_id_that_never_was_there_stays_deleted(
    shared: RealService, thoth: Thoth
) -> None:
    with late_add(shared, "never") as late:
        assert thoth.delete(ids=["never"]) == 0
    assert late.result(SOON).superseded == [0]
    assert list(thoth.get(ids=["never"])) == []


def test_a_late_add_does_not_undo_a_newer_upsert(shared: RealService, thoth: Thoth) -> None:
    vector = np.eye(32, dtype=np.float32)[:1]
    with late_add(shared, "newer-vector") as late:
        assert thoth.upsert(["newer-vector"], vector, texts=["the caller's own"]).written == 1
    assert late.result(SOON).superseded == [0]
    [row] = thoth.get(ids=["newer-vector"], include=["vectors"])
    assert row.text == "the caller's own"
    assert row.vector is not None
    assert np.array_equal(row.vector, vector[0])


def test_a_late_add_does_not_undo_a_newer_add(shared: RealService, thoth: Thoth) -> None:
    with late_add(shared, "newer-text") as late:
        # The other bulk worker embeds it.
        assert thoth.add(["the newer text"], ids=["newer-text"], deadline=SOON).superseded == []
    assert late.result(SOON).superseded == [0]
    [row] = thoth.get(ids=["newer-text"])
    assert row.text == "the newer text"


def test_a_late_add_does_not_fill_a_deleted_collection(shared: RealService, thoth: Thoth) -> None:
    thoth.add(["something"], ids=["x"], collection="short-lived")
    with late_add(shared, "y", "short-lived") as late:
        assert thoth.delete_collection("short-lived") == 1
    assert late.result(SOON).superseded == [0, 1]
    assert "short-lived" not in {each.name for each in thoth.collections()}
