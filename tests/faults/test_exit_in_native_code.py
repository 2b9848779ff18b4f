"""Native code that ends its process with status 0, as a program that is done: nobody else waits."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Make
from tests.faults.watching import embedding, status, wait_until_ready, worker
from tests.support.service import wait_for
from thoth_core.errors import PoisonInput

#: The service as it is, but for a longer time in which the last words of a worker are waited for,
#: so that a busy machine does not miss it.
PATIENT = """
from thoth_core.supervisor import service
service.LAST_WORDS = 6.0
from cli.supervisor import main
import sys
sys.argv = ["thoth-supervisor", "start", "--foreground"]
main()
"""


def is_zombie(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_the_loop_goes_on_while_the_last_words_of_a_worker_are_waited_for(
    make_service: Make,
) -> None:
    service = make_service(THOTH_FAULTS="1", THOTH_EMBED_WORKERS="1")
    supervisor = service.popen("python", "-c", PATIENT)
    try:
        wait_until_ready(service)
        with service.client() as thoth, ThreadPoolExecutor(1) as pool:
            # A second at first, so that the worker is met at work.
            call = pool.submit(thoth.embed, ["!slow:1"] + ["fine"] * 20 + ["!exit0"])
            [busy] = embedding(service)
            wait_for(lambda: is_zombie(busy["pid"]), 60, "it has ended")
            # All of this is answered before the worker is given up.
            assert thoth.embed(["somebody else's"]).shape == (1, 32)
            assert thoth.collections() == []
            assert worker(service, busy["name"])["pid"] == busy["pid"]
            assert is_zombie(busy["pid"])
            with pytest.raises(PoisonInput) as caught:
                call.result(100)
        assert caught.value.indices == [21]
        assert np.isfinite(caught.value.partial[:21]).all()
        assert status(service)["counters"]["texts_poisoned"] == 1
    finally:
        service.stop()
        supervisor.communicate(timeout=60)
