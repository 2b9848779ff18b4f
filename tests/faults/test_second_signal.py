"""A second SIGTERM means it: what still runs is not waited for."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults.watching import embedding, not_ended, pids, sockets_of, status
from tests.support.service import RealService, wait_for
from thoth_core.errors import ServiceStopping


def test_a_second_signal_ends_a_service_that_waits_for_a_worker_that_hangs(
    service: RealService,
) -> None:
    processes = pids(service)
    with service.client() as thoth, ThreadPoolExecutor(1) as pool:
        call = pool.submit(thoth.add, ["!hang"], ids=["a"])
        embedding(service)
        os.kill(processes["supervisor"], signal.SIGTERM)
        wait_for(lambda: status(service)["state"] == "stopping", 10, "the service is stopping")
        assert not call.done()
        os.kill(processes["supervisor"], signal.SIGTERM)
        with pytest.raises(ServiceStopping):
            call.result(15)
    assert not_ended(processes, 15) == {}
    assert sockets_of(service) == []
    assert service.run("thoth-supervisor", "status").returncode == 4
