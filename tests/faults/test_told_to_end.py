"""Workers that are told to end while they have work: by the operator, or by anybody's signal."""

from __future__ import annotations

import os
import signal
import threading

from tests.faults.watching import embedding, status, worker
from tests.support.service import RealService, wait_for
from thoth_core import Thoth

#: Seconds: two units and a start take two of them. A drain that new work keeps alive takes as long
#: as the load.
LOAD = 7.0
EACH = 0.012


def long_add(thoth: Thoth, name: str, seconds: float) -> tuple[threading.Thread, list[str]]:
    """Add texts that take the two bulk workers about ``seconds``, in units of about fifty."""
    filler = "abcdefghi " * 480
    count = int(2 * seconds / EACH)
    texts = [f"!slow:{EACH} {name} {n} {filler}" for n in range(count)]
    ids = [f"{name}-{n}" for n in range(count)]
    thread = threading.Thread(target=lambda: thoth.add(texts, ids=ids))
    thread.start()
    return thread, ids


def test_a_restart_under_load_is_done_as_soon_as_the_work_at_hand(shared: RealService) -> None:
    with shared.client() as thoth:
        load, ids = long_add(thoth, "restart", LOAD)
        old = embedding(shared)[0]
        assert shared.run("thoth-supervisor", "restart", old["name"]).returncode == 0
        shared.ready_again(old["name"], old["pid"])
        assert load.is_alive(), "it took as long as the load"
        old_store = shared.pid("store")
        assert shared.run("thoth-supervisor", "restart", "store").returncode == 0
        shared.ready_again("store", old_store)
        load.join(60)
        assert not load.is_alive()
        assert len(list(thoth.get(ids=ids))) == len(ids)


def test_sigterm_from_outside_costs_nothing_but_the_process(shared: RealService) -> None:
    with shared.client() as thoth:
        load, ids = long_add(thoth, "term", 4.0)
        for _ in range(3):
            old = shared.pid("embed-bulk-1")
            os.kill(old, signal.SIGTERM)
            shared.ready_again("embed-bulk-1", old)
        load.join(60)
        assert not load.is_alive()
        assert len(list(thoth.get(ids=ids))) == len(ids)
    last_exit = worker(shared, "embed-bulk-1")["last_exit"]
    assert last_exit["signal"] == "SIGTERM"
    assert not status(shared)["counters"]["texts_poisoned"]


def test_queries_go_on_while_the_worker_that_is_kept_for_them_stands_still(
    shared: RealService,
) -> None:
    stopped = shared.pid("embed-interactive")
    with shared.client() as thoth:
        thoth.add(["a text to find"], ids=["find"])
        os.kill(stopped, signal.SIGSTOP)
        try:
            # What it takes before it is full waits for it.
            waiting = [
                threading.Thread(target=lambda n=n: thoth.embed([f"waits {n}"])) for n in range(2)
            ]
            for thread in waiting:
                thread.start()
            wait_for(
                lambda: status(shared)["queue"]["units_embedding"] >= 2, 60, "it has taken both"
            )
            found = thoth.query("a text to find", k=1, deadline=10)
            assert [hit.id for hit in found] == ["find"]
        finally:
            os.kill(stopped, signal.SIGCONT)
        for thread in waiting:
            thread.join(20)
            assert not thread.is_alive()
