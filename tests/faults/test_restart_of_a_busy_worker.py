"""``thoth-supervisor restart`` of a worker that is at something long."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import Make
from tests.faults.watching import TWO_BULK, embedding, pids, status, worker
from tests.support.service import RealService, wait_for

#: Seconds that the unit takes; far more than the commands, also on a busy machine.
LONG = 15
TEXTS = [f"!slow:{LONG}", *[f"a text beside it {n}" for n in range(20)]]


@pytest.fixture
def service(make_service: Make) -> RealService:
    """With two bulk workers."""
    return make_service(THOTH_FAULTS="1", **TWO_BULK).start()


def test_it_is_answered_at_once_delays_no_other_and_counts_once(service: RealService) -> None:
    before = pids(service)
    with service.client() as thoth, ThreadPoolExecutor(1) as pool:
        call = pool.submit(thoth.embed, TEXTS, deadline=100)
        [busy] = embedding(service)
        other = next(n for n in ("embed-bulk-1", "embed-bulk-2") if n != busy["name"])
        for _ in range(2):
            done = service.run("thoth-supervisor", "restart", busy["name"])
            assert done.returncode == 0, done.stderr
            assert not call.done(), "it was not answered at once"
        assert worker(service, busy["name"])["state"] == "DRAINING"
        # The other ones are restarted meanwhile, and calls go on.
        for name in (other, "store", "embed-interactive"):
            assert service.run("thoth-supervisor", "restart", name).returncode == 0
            service.ready_again(name, before[name])
        assert thoth.add(["one"], ids=["a"], deadline=60).embedded == 1
        assert thoth.query("one", k=1, deadline=60)[0].id == "a"
        assert call.result(100).shape == (len(TEXTS), 32)
        service.ready_again(busy["name"], busy["pid"])
        assert [w["restarts"] for w in status(service)["workers"]] == [1, 1, 1, 1]
        assert {w["last_exit"]["reason"] for w in status(service)["workers"]} == {"restart"}
        assert status(service)["counters"]["units_retried"] == 0
    assert status(service)["pid"] == before["supervisor"]


def test_a_stop_meanwhile_ends_it_for_good_after_its_work(service: RealService) -> None:
    with service.client() as thoth, ThreadPoolExecutor(1) as pool:
        call = pool.submit(thoth.embed, TEXTS, deadline=100)
        [busy] = embedding(service)
        assert service.run("thoth-supervisor", "restart", busy["name"]).returncode == 0
        stop = service.popen("thoth-supervisor", "stop")
        wait_for(lambda: status(service)["state"] == "stopping", 30, "it stops")
        refused = service.run("thoth-supervisor", "restart", busy["name"])
        assert refused.returncode == 4
        assert "stopping" in refused.stderr
        assert call.result(100).shape == (len(TEXTS), 32)
        out, err = stop.communicate(timeout=60)
        assert stop.returncode == 0, out + err
        assert "it finishes what is under way" in err
    assert service.processes() == []
