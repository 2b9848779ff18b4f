"""SIGTERM to the supervisor: what it took is finished, and nothing new is taken."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.conftest import Make
from tests.faults.watching import (
    BULK,
    TWO_BULK,
    embedding,
    not_ended,
    pids,
    sockets_of,
    status,
    stopped,
    supervisor_pid,
    wait_until_ready,
)
from tests.support.service import RealService, wait_for
from thoth_core.errors import ServiceStopping


def test_what_is_in_flight_is_answered_and_what_comes_later_goes_to_the_next_service(
    make_service: Make,
) -> None:
    service = make_service(THOTH_FAULTS="1", **TWO_BULK)
    supervisor = service.popen("thoth-supervisor", "start", "--foreground")
    wait_until_ready(service)
    before = pids(service)
    assert before["supervisor"] == supervisor.pid
    with service.client() as early, service.client() as late, ThreadPoolExecutor(2) as pool:
        late.collections()
        with stopped(before[name] for name in BULK):
            adds = [
                pool.submit(early.add, [f"!slow:0.2 {id}", f"{id} too"], ids=[id, f"{id}2"])
                for id in ("a", "b")
            ]
            embedding(service, 2)
            os.kill(supervisor.pid, signal.SIGTERM)
            assert _stopping(service)["queue"]["requests"] == 2
            with pytest.raises(ServiceStopping):
                late.embed(["too late"])
            # A client that may start services goes to the next one with it.
            command = service.popen("thoth", "embed", "for the next one")
        assert [list(add.result(30)) for add in adds] == [["a", "a2"], ["b", "b2"]]
    _, log = supervisor.communicate(timeout=30)
    assert supervisor.returncode == 0, log
    assert not_ended(before, 0) == {}
    _, err = command.communicate(timeout=60)
    assert command.returncode == 0, err
    wait_until_ready(service)
    assert supervisor_pid(service) != supervisor.pid
    with service.client() as thoth:
        assert {row.id for row in thoth.get()} == {"a", "a2", "b", "b2"}
        assert thoth.query("b too")[0].id == "b2"
    service.stop()
    assert sockets_of(service) == []


def _stopping(service: RealService) -> dict[str, Any]:
    """The first status that says that the service is stopping."""

    def said() -> dict[str, Any] | None:
        now = status(service)
        return now if now["state"] == "stopping" else None

    found = wait_for(said, 10, "the service is stopping")
    assert found is not None
    return found
