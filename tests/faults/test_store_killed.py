"""The store dies in the middle of writes from several clients."""

from __future__ import annotations

import os
import signal
import threading

import numpy as np
import pytest

from tests.faults.watching import pids, status, worker
from tests.support.service import RealService, wait_for

CLIENTS, ROWS = 3, 5


class Writer(threading.Thread):
    """Adds batch after batch until told to stop; ``acknowledged`` has the text of each id."""

    def __init__(
        self, service: RealService, collection: str, number: int, stop: threading.Event
    ) -> None:
        super().__init__(name=f"writer-{number}")
        self.acknowledged: dict[str, str] = {}
        self.problem: BaseException | None = None
        self._service = service
        self._collection = collection
        self._number = number
        self._stop_asked = stop

    def run(self) -> None:
        try:
            with self._service.client() as thoth:
                batch = 0
                while not self._stop_asked.is_set():
                    ids = [f"{self._number}-{batch}-{row}" for row in range(ROWS)]
                    texts = [f"!slow:0.01 what client and batch and row {id} say" for id in ids]
                    report = thoth.add(texts, ids=ids, collection=self._collection)
                    assert list(report) == ids
                    assert (report.failed, report.superseded) == ([], [])
                    self.acknowledged.update(zip(ids, texts, strict=True))
                    batch += 1
        except BaseException as problem:
            self.problem = problem


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV], ids=["SIGKILL", "SIGSEGV"])
def test_what_was_acknowledged_is_there_and_found_and_nothing_is_there_twice(
    shared: RealService, number: signal.Signals
) -> None:
    collection = f"over-{number.name}"
    before = pids(shared)
    stop = threading.Event()
    writers = [Writer(shared, collection, each, stop) for each in range(CLIENTS)]
    for writer in writers:
        writer.start()
    try:
        for _ in range(2):
            _wait_for_more(writers)
            # While calls are open.
            wait_for(lambda: status(shared)["queue"]["requests"] >= CLIENTS - 1, 30, "calls")
            old = pids(shared)["store"]
            os.kill(old, number)
            shared.ready_again("store", old)
        _wait_for_more(writers)
    finally:
        stop.set()
        for writer in writers:
            writer.join(60)
    assert [writer.problem for writer in writers] == [None] * CLIENTS
    expected = {id: text for writer in writers for id, text in writer.acknowledged.items()}
    assert worker(shared, "store")["last_exit"]["signal"] == number.name
    after = pids(shared)
    assert after == before | {"store": after["store"]}
    _check(shared, collection, expected)


def _wait_for_more(writers: list[Writer]) -> None:
    """Each client has two more batches acknowledged."""
    wanted = [len(writer.acknowledged) + 2 * ROWS for writer in writers]

    def all_have() -> bool:
        assert [writer.problem for writer in writers] == [None] * CLIENTS
        return all(len(w.acknowledged) >= n for w, n in zip(writers, wanted, strict=True))

    wait_for(all_have, 60, "more adds are acknowledged")


def _check(service: RealService, collection: str, expected: dict[str, str]) -> None:
    with service.client() as thoth:
        assert thoth.count(collection) == len(expected)
        rows = thoth.get(collection=collection)
        assert len(rows) == len(expected)
        assert {row.id: row.text for row in rows} == expected
        assert len(thoth.get(ids=list(expected), collection=collection)) == len(expected)
        ids, texts = list(expected), list(expected.values())
        found = thoth.query_many(texts, k=1, collection=collection)
        for id, hits in zip(ids, found, strict=True):
            assert [hit.id for hit in hits] == [id]
            assert np.isclose(hits[0].score, 1.0, atol=1e-5)
