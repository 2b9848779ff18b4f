"""Workers that are replaced for their age, one after another, under calls of every kind."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from tests.conftest import Make
from tests.faults.watching import SLOTS, TWO_BULK, pids, status, wait_until_ready
from tests.support.service import RealService, wait_for
from thoth_core.errors import PoisonInput

#: Seconds; so short that somebody is always due.
AGE = "3"


class Caller(threading.Thread):
    """Adds, queries and embeds until told to stop; counts what was answered."""

    def __init__(self, service: RealService, number: int, stop: threading.Event) -> None:
        super().__init__(name=f"caller-{number}")
        self.added: dict[str, str] = {}
        self.problem: BaseException | None = None
        self._service = service
        self._number = number
        self._stop_asked = stop

    def run(self) -> None:
        try:
            with self._service.client() as thoth:
                while not self._stop_asked.is_set():
                    id = f"{self._number}-{len(self.added)}"
                    text = f"what row {id} says"
                    assert thoth.add([text], ids=[id], deadline=90).embedded == 1
                    self.added[id] = text
                    assert thoth.query(text, k=1, deadline=90)[0].id == id
                    many = [f"{text} {n}" for n in range(30)]
                    assert thoth.embed(many, deadline=90).shape == (30, 32)
        except BaseException as problem:
            self.problem = problem


def test_each_is_replaced_in_turn_and_every_call_is_answered(make_service: Make) -> None:
    service = make_service(THOTH_WORKER_MAX_AGE=AGE, **TWO_BULK).start()
    before = pids(service)
    stop = threading.Event()
    callers = [Caller(service, number, stop) for number in range(2)]
    for caller in callers:
        caller.start()
    try:

        def all_were_replaced() -> list[dict[str, Any]]:
            workers: list[dict[str, Any]] = status(service)["workers"]
            away = [w["name"] for w in workers if w["state"] not in ("READY", "BUSY")]
            assert len(away) <= 1, f"away at once: {away}"
            return workers if all(w["restarts"] for w in workers) else []

        workers = wait_for(all_were_replaced, 100, "every worker was replaced")
    finally:
        stop.set()
        for caller in callers:
            caller.join(100)
    assert [caller.problem for caller in callers] == [None, None]
    assert {w["name"] for w in workers} == set(SLOTS)
    for worker in workers:
        assert worker["last_exit"]["reason"].startswith("recycled: age ")
        assert worker["last_exit"]["reason"].endswith(f" s over {AGE}")
    said = status(service)
    assert said["pid"] == before["supervisor"]
    # After its work, so nothing of it was done twice.
    assert said["counters"]["units_retried"] == 0
    added = {id: text for caller in callers for id, text in caller.added.items()}
    with service.client() as thoth:
        assert {row.id: row.text for row in thoth.get(limit=None)} == added


def test_a_store_that_is_due_is_not_replaced_in_the_middle_of_an_export(make_service: Make) -> None:
    service = make_service(THOTH_WORKER_MAX_AGE="6").start()
    vectors = np.random.default_rng(1).normal(size=(1200, 32)).astype(np.float32)
    #: The store's process, from when it was due on.
    pids: list[int] = []

    def hold(done: int, total: int) -> None:
        """Stop in the middle until the store is due, and is waited for."""
        pid = service.pid("store")

        def due_or_gone() -> dict[str, Any] | None:
            store = service.worker("store")
            waits = "waits for the end of its export" in str(store["recycling"])
            # Another, if it was due before the export had begun.
            return store if waits or store["pid"] != pid else None

        middle = 0 < done < total
        if pids or (middle and wait_for(due_or_gone, 60, "the store is due")["pid"] == pid):
            pids.append(pid)

    with service.client() as thoth:
        thoth.upsert([f"i{i}" for i in range(len(vectors))], vectors, collection="notes")
        report = thoth.export(service.root / "x.zip", on_progress=hold)
        assert report.chunks == len(vectors)
    assert len(pids) > 1
    assert len(set(pids)) == 1
    # As soon as that is over.
    service.ready_again("store", pids[0])
    assert service.worker("store")["last_exit"]["reason"].startswith("recycled: age ")


#: The service as it is, but with a drain and a ladder that are as short beside THOTH_UNIT_TIMEOUT=6
#: as the defaults are beside 120.
SHORT_DRAIN = """
import functools
from thoth_core.supervisor import service
from thoth_core.supervisor.slots import Policy
policy = Policy(drain_limit=1.0, term_after=0.1, kill_after=0.2)
service.Service = functools.partial(service.Service, policy=policy)
from cli.supervisor import main
import sys
sys.argv = ["thoth-supervisor", "start", "--foreground"]
main()
"""


def test_a_text_that_hangs_is_found_out_though_its_worker_is_due_before_that(
    make_service: Make,
) -> None:
    # It is due while it hangs: three workers are replaced in turn, a second or so each.
    service = make_service(
        THOTH_FAULTS="1",
        THOTH_UNIT_TIMEOUT="6",
        THOTH_WORKER_MAX_AGE="2",
        THOTH_EMBED_WORKERS="1",
    )
    supervisor = service.popen("python", "-c", SHORT_DRAIN)
    try:
        wait_until_ready(service)
        with service.client() as thoth, ThreadPoolExecutor(1) as pool:
            call = pool.submit(thoth.embed, ["fine"] * 9 + ["!hang"] + ["fine too"] * 10)
            with pytest.raises(PoisonInput) as caught:
                call.result(100)
        assert caught.value.indices == [9]
        assert np.isfinite(np.delete(caught.value.partial, 9, axis=0)).all()
        assert status(service)["counters"]["texts_poisoned"] == 1
    finally:
        service.stop()
        supervisor.communicate(timeout=60)
