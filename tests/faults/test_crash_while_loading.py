"""A worker that dies while it loads its model."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.conftest import Make
from tests.faults.waiting_model import PIPE, make_waiting_model
from tests.faults.watching import SLOTS, pids, wait_until_ready, worker
from tests.support.service import RealService, wait_for
from thoth_core.errors import ServiceUnavailable


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make_waiting_model(tmp_path / "model")


def test_a_worker_that_crashes_while_loading_is_started_again(
    make_service: Make, model: Path
) -> None:
    service = make_service(str(model), THOTH_EMBED_WORKERS="1")
    start = service.popen("thoth-supervisor", "start")
    slots = SLOTS[1:3]
    for name in slots:
        pid = _loading(service, name, 0)
        os.kill(pid, signal.SIGSEGV)
    again = [_loading(service, name, 1) for name in slots]
    for name in slots:
        assert worker(service, name)["last_exit"]["signal"] == "SIGSEGV"
    assert start.poll() is None
    (model / PIPE).unlink()
    for pid in again:
        # They wait for the pipe still; the next ones find none.
        os.kill(pid, signal.SIGSEGV)
    out, err = start.communicate(timeout=90)
    assert start.returncode == 0, err
    assert str(pids(service)["supervisor"]) in out
    wait_until_ready(service)
    assert [worker(service, name)["restarts"] for name in slots] == [2, 2]
    with service.client() as thoth:
        assert thoth.embed(["loaded in the end"]).shape == (1, 384)


def _loading(service: RealService, name: str, restarts: int) -> int:
    """The pid of the slot's worker, once it is the one wanted and loads its model."""

    def loads() -> int | None:
        try:
            said = worker(service, name)
        except ServiceUnavailable:
            return None
        fits = said["state"] == "LOADING" and said["restarts"] == restarts
        return said["pid"] if fits else None

    return wait_for(loads, 60, f"{name} is loading") or 0
