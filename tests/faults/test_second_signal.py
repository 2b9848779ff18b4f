"""A second SIGTERM means it: what still runs is not waited for. A first one counts from the moment
in which the service has its data directory."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import Make
from tests.faults.watching import embedding, not_ended, pids, sockets_of, status
from tests.support.service import RealService, wait_for
from thoth_core.errors import ServiceStopping
from thoth_core.locks import holder


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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_before_anything_is_started_ends_it_in_order(
    make_service: Make, number: signal.Signals
) -> None:
    service = make_service(THOTH_EMBED_WORKERS="1")
    lock = service.settings().data_dir / "lock"
    process = service.popen("thoth-supervisor", "start", "--foreground")
    end = time.monotonic() + 30
    # With hardly a pause: a moment later its loop would hear it anyway. But a look takes the lock.
    while not (lock.exists() and holder(lock) == process.pid):
        assert time.monotonic() < end
        time.sleep(0.001)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    assert service.processes() == []
