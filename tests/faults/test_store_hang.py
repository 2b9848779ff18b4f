"""A store that stands still is replaced; one that is at something long is left alone."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import Make
from tests.faults.test_ledger_held import held
from tests.faults.watching import pids, status, supervisor_log, worker
from tests.support.service import wait_for
from thoth_core.errors import StorageError
from thoth_core.supervisor.dispatch import STORE_PATIENCE

#: Of a call over the end of one store and the start of another, in seconds.
DEADLINE = 100.0


def test_the_calls_of_a_store_that_stands_still_are_answered_by_the_next(
    make_service: Make,
) -> None:
    service = make_service(THOTH_UNIT_TIMEOUT="1").start()
    before = pids(service)
    with service.client() as thoth, ThreadPoolExecutor(8) as pool:
        thoth.add(["to find", "to delete"], ids=["find", "delete"], collection="notes")
        os.kill(before["store"], signal.SIGSTOP)
        added = [
            pool.submit(
                thoth.add, [f"text {n}"], ids=[f"new {n}"], collection="notes", deadline=DEADLINE
            )
            for n in range(4)
        ]
        deleted = pool.submit(thoth.delete, ids=["delete"], collection="notes", deadline=DEADLINE)
        found = pool.submit(thoth.query, "to find", k=1, collection="notes", deadline=DEADLINE)
        wait_for(lambda: status(service)["queue"]["calls_in_flight"] >= 5, 30, "it has the calls")
        # What needs no store goes on.
        assert thoth.embed(["no store needed"], deadline=30).shape == (1, 32)
        assert [report.result(DEADLINE).embedded for report in added] == [1, 1, 1, 1]
        assert deleted.result(DEADLINE) == 1
        assert [hit.id for hit in found.result(DEADLINE)] == ["find"]
        expected = {"find"} | {f"new {n}" for n in range(4)}
        assert {row.id for row in thoth.get(collection="notes")} == expected
        assert thoth.count("notes") == len(expected)
    exit = worker(service, "store")["last_exit"]
    assert exit["reason"] == "made no progress"
    after = pids(service)
    assert after == before | {"store": after["store"]}
    assert "worker store" in supervisor_log(service)


def test_a_long_check_and_a_ledger_in_other_hands_are_no_hang(make_service: Make) -> None:
    service = make_service(THOTH_UNIT_TIMEOUT="1", THOTH_EMBED_WORKERS="1").start()
    path = service.settings().data_dir / "ledger.sqlite3"
    before = pids(service)
    with service.client() as thoth, ThreadPoolExecutor(1) as pool:
        thoth.add(["one", "two"], ids=["a", "b"], collection="notes")
        wait_for(lambda: status(service)["store"]["index_state"] == "healthy", 30, "an index")
        index = status(service)["store"]["index"]["pid"]
        os.kill(index, signal.SIGSTOP)
        try:
            check = pool.submit(thoth.verify)
            # Nothing else is asked, and so nothing is answered, for longer than a store may stand
            # still.
            end = time.monotonic() + 1.3 * STORE_PATIENCE
            while time.monotonic() < end:
                assert worker(service, "store")["pid"] == before["store"]
                assert not check.done()
                time.sleep(0.5)
            with held(path), pytest.raises(StorageError):
                thoth.add(["three"], ids=["c"], collection="notes", deadline=60)
        finally:
            os.kill(index, signal.SIGCONT)
        report = check.result(60)
        assert (report["findings"], report["differing"], report["rows"]) == ([], 0, 2)
        thoth.add(["three"], ids=["c"], collection="notes")
        assert thoth.count("notes") == 3
    assert pids(service) == before
    assert status(service)["store"]["index"]["pid"] == index
