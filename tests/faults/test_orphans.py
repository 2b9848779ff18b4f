"""Workers that cannot notice anything by themselves do not outlive their supervisor either."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from tests.conftest import Make
from tests.faults.watching import (
    SLOTS,
    SUPERVISOR_GONE,
    TWO_BULK,
    embedding,
    is_stopped,
    not_ended,
    pids,
)
from tests.support.service import RealService, wait_for
from thoth_core.errors import DeadlineExceeded, ServiceUnavailable


@pytest.fixture
def service(make_service: Make) -> RealService:
    """With two bulk workers."""
    return make_service(THOTH_FAULTS="1", **TWO_BULK).start()


def test_a_worker_whose_native_code_holds_the_gil_ends_with_its_supervisor(
    service: RealService,
) -> None:
    processes = pids(service)
    with service.client() as thoth, ThreadPoolExecutor(1) as pool:
        call = pool.submit(thoth.add, ["!gil:30"], deadline=3.0)
        [worker] = embedding(service)
        os.kill(processes["supervisor"], signal.SIGKILL)
        assert not_ended(processes, SUPERVISOR_GONE) == {}
        assert worker["pid"] in processes.values()
        with pytest.raises((DeadlineExceeded, ServiceUnavailable)):
            call.result(30)
    # The index process ends with the call that it is in.
    wait_for(lambda: not service.processes(), SUPERVISOR_GONE, "nothing of the service is left")


def test_workers_that_are_stopped_end_with_their_supervisor(service: RealService) -> None:
    processes = pids(service)
    for name in SLOTS:
        os.kill(processes[name], signal.SIGSTOP)
        wait_for(partial(is_stopped, processes[name]), 10, f"{name} is stopped")
    os.kill(processes["supervisor"], signal.SIGKILL)
    assert not_ended(processes, SUPERVISOR_GONE) == {}
    service.start()
