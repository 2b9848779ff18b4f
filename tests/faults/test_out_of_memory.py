"""Workers that take too much memory: more than their bound, or more than there is."""

from __future__ import annotations

import os
import resource
import signal
from typing import Any

import pytest

from tests.conftest import Make
from tests.faults.watching import pids, status, supervisor_log, worker
from tests.support.service import RealService, wait_for
from thoth_core.errors import WorkerRaised

#: Megabytes: far over what a worker with the fake model takes, and what the bad text takes besides.
BOUND, GROWTH = 300, 400
#: More texts than an interactive call may have, so that a bulk worker gets them.
FILLER = [f"a text beside it {n}" for n in range(20)]


@pytest.fixture
def bounded(make_service: Make) -> RealService:
    settings = {"THOTH_WORKER_MEMORY_MB": str(BOUND), "THOTH_EMBED_WORKERS": "1"}
    return make_service(THOTH_FAULTS="1", **settings).start()


def recycled(service: RealService, old: int) -> dict[str, Any]:
    """The bulk worker that took the place of ``old``, once it is ready."""
    return service.ready_again("embed-bulk-1", old)


def test_a_worker_over_its_bound_is_replaced_after_its_work_and_nobody_is_blamed(
    bounded: RealService,
) -> None:
    before = pids(bounded)
    with bounded.client() as thoth:
        texts = [f"!grow:{GROWTH}", *FILLER]
        assert len(list(thoth.add(texts, ids=[str(n) for n in range(len(texts))]))) == len(texts)
        measured = wait_for(
            lambda: worker(bounded, "embed-bulk-1")["memory_bytes"], 30, "it is measured"
        )
        # Whatever it has at hand it finishes.
        assert thoth.embed([f"!slow:0.2 {n}" for n in range(20)], deadline=60).shape == (20, 32)
        new = recycled(bounded, before["embed-bulk-1"])
        assert thoth.embed(texts[1:], deadline=60).shape == (20, 32)
        assert thoth.query("a text beside it 3", k=1)[0].text == "a text beside it 3"
    assert measured
    assert new["last_exit"]["reason"].startswith("recycled: memory ")
    assert new["last_exit"]["reason"].endswith(f" MB over {BOUND}")
    assert new["restarts"] == 1
    said = status(bounded)
    assert said["counters"]["units_retried"] == 0
    assert said["counters"]["texts_poisoned"] == 0
    after = pids(bounded)
    assert after == before | {"embed-bulk-1": after["embed-bulk-1"]}


def test_one_that_has_grown_again_at_once_is_left_alone_and_the_status_says_so(
    bounded: RealService,
) -> None:
    with bounded.client() as thoth:
        first = bounded.pid("embed-bulk-1")
        thoth.embed([f"!grow:{GROWTH}", *FILLER])
        second = recycled(bounded, first)["pid"]
        thoth.embed([f"!grow:{GROWTH} again", *FILLER])
        why = wait_for(lambda: worker(bounded, "embed-bulk-1")["recycling"], 30, "it is noticed")
        assert "left alone" in why
        assert bounded.pid("embed-bulk-1") == second
        assert thoth.embed(FILLER, deadline=30).shape == (20, 32)
    assert "THOTH_WORKER_MEMORY_MB" in supervisor_log(bounded)
    assert "left alone" in bounded.run("thoth-supervisor", "status").stdout


def test_a_text_for_which_there_is_no_memory_is_an_error_and_no_death(
    service: RealService,
) -> None:
    before = pids(service)
    for name in before:
        if name.startswith("embed"):
            limit = 4 * 1024**3
            resource.prlimit(before[name], resource.RLIMIT_AS, (limit, limit))
    with service.client() as thoth:
        with pytest.raises(WorkerRaised) as caught:
            thoth.embed(["!grow:5000", *FILLER])
        assert caught.value.indices == [0]
        assert thoth.embed(["after it"]).shape == (1, 32)
    assert pids(service) == before


def test_the_index_process_is_shown_with_its_memory(service: RealService) -> None:
    with service.client() as thoth:
        thoth.add(["one"], ids=["a"])

        def shown() -> bool:
            index = status(service)["store"]["index"]
            # That is what Python with Chroma takes at least.
            return bool(index) and (index["rss_bytes"] or 0) > 10_000_000

        wait_for(shown, 30, "it is shown")
        old = status(service)["store"]["index"]["pid"]
        os.kill(old, signal.SIGKILL)
        wait_for(lambda: status(service)["store"]["index"]["pid"] not in (None, old), 30, "another")
        wait_for(shown, 30, "it is shown")
