"""Workers that are replaced for their age, one after another, under calls of every kind."""

from __future__ import annotations

import threading
from typing import Any

from tests.conftest import Make
from tests.faults.watching import SLOTS, pids, status
from tests.support.service import RealService, wait_for

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
    service = make_service(THOTH_WORKER_MAX_AGE=AGE).start()
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
