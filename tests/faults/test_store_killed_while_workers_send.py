"""The store dies with vectors on their way to it: they are sent again, and nothing is embedded
again."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import Make
from tests.faults.watching import TWO_BULK, embedding, is_stopped, pids, status
from tests.support.service import RealService, wait_for

TEXTS = 900


@pytest.fixture
def service(make_service: Make) -> RealService:
    """With two bulk workers."""
    return make_service(THOTH_FAULTS="1", **TWO_BULK).start()


def test_vectors_that_the_store_died_with_are_sent_to_the_next_and_not_embedded_again(
    service: RealService,
) -> None:
    before = pids(service)
    texts = [f"!slow:0.004 text {n}" for n in range(TEXTS)]
    ids = [str(n) for n in range(TEXTS)]
    with service.client() as thoth, ThreadPoolExecutor(1) as pool:
        call = pool.submit(thoth.add, texts, ids=ids, deadline=100)
        embedding(service)
        os.kill(before["store"], signal.SIGSTOP)
        wait_for(lambda: is_stopped(before["store"]), 10, "the store is stopped")
        # It has read none of them to the end.
        handed = wait_for(lambda: status(service)["queue"]["units_handed"], 60, "units are handed")
        os.kill(before["store"], signal.SIGKILL)
        service.ready_again("store", before["store"])
        report = call.result(100)
        assert (report.embedded, report.failed, report.superseded) == (TEXTS, [], [])
        assert thoth.count() == TEXTS
        rows = {row.id: row.text for row in thoth.get(ids=ids)}
        assert rows == dict(zip(ids, texts, strict=True))
        found = thoth.query_many(texts[::100], k=1)
        assert [hits[0].id for hits in found] == ids[::100]
    counters = status(service)["counters"]
    assert counters["units_resent"] >= handed
    assert counters["units_retried"] == 0
    assert counters["texts_embedded"] == TEXTS
    after = pids(service)
    assert after == before | {"store": after["store"]}
