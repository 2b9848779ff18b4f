"""A text whose embedding never ends."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.conftest import Make
from tests.faults.watching import TWO_BULK, embedding, pids, status, wait_until_ready
from tests.support.service import RealService, wait_for
from thoth_core.errors import DeadlineExceeded, PoisonInput

DEADLINE = 2.0


def test_a_call_that_hangs_ends_at_its_deadline_and_the_others_are_undisturbed(
    shared: RealService,
) -> None:
    before = pids(shared)
    began = time.monotonic()
    with shared.client() as stuck, shared.client() as other, ThreadPoolExecutor(1) as pool:
        call = pool.submit(stuck.add, ["!hang"], ids=["stuck"], deadline=DEADLINE)
        [hanging] = embedding(shared)
        for number in range(5):
            text = f"undisturbed {number}"
            assert other.add([text], ids=[str(number)], deadline=30).embedded == 1
            assert other.query(text, k=1, deadline=30)[0].id == str(number)
        with pytest.raises(DeadlineExceeded):
            call.result(30)
        # Long before anything but the deadline would have ended it.
        assert DEADLINE - 0.1 <= time.monotonic() - began < 20
        assert other.embed([f"text {n}" for n in range(100)], deadline=30).shape == (100, 32)
        assert {row.id for row in other.get()} == {"0", "1", "2", "3", "4"}
    assert pids(shared) == before
    assert status(shared)["queue"]["requests"] == 0
    # Whoever ends the worker that hangs gets a new one at once, and nobody is blamed.
    os.kill(hanging["pid"], signal.SIGKILL)
    shared.ready_again(hanging["name"], hanging["pid"])
    wait_for(lambda: status(shared)["state"] == "ready", 60, "everything is ready")


@pytest.mark.parametrize("text", ["!hang", "!gil:600"])
def test_a_text_that_always_hangs_its_worker_is_given_up_and_the_others_are_embedded(
    make_service: Make, text: str
) -> None:
    """``!gil`` holds the interpreter's lock in native code, so that no thread of the worker, and
    no beat, goes on; only the supervisor can end it."""
    service = make_service(THOTH_FAULTS="1", THOTH_UNIT_TIMEOUT="1", **TWO_BULK).start()
    supervisor = status(service)["pid"]
    with service.client() as thoth:
        with pytest.raises(PoisonInput) as caught:
            thoth.embed(["fine", text, "fine too"])
        assert caught.value.indices == [1]
        assert np.isfinite(caught.value.partial[[0, 2]]).all()
        # It is remembered as one that crashes is: no worker has it again.
        with pytest.raises(PoisonInput):
            thoth.embed([text], deadline=30)
        assert status(service)["counters"]["texts_barred"] == 1
    exits = [w["last_exit"] for w in status(service)["workers"] if w["last_exit"]]
    assert exits
    assert {exit["reason"] for exit in exits} == {"made no progress"}
    assert status(service)["pid"] == supervisor


#: The service as it is, but for a silence of half of THOTH_UNIT_TIMEOUT=4, as with the defaults.
SILENCE_OF_2 = """
import functools
from thoth_core.supervisor import service
service.Limits = functools.partial(service.Limits, silence=2.0)
from cli.supervisor import main
import sys
sys.argv = ["thoth-supervisor", "start", "--foreground"]
main()
"""


def test_calls_with_and_behind_a_text_that_hangs_do_not_end_before_its_worker(
    make_service: Make,
) -> None:
    service = make_service(THOTH_FAULTS="1", THOTH_UNIT_TIMEOUT="4", THOTH_EMBED_WORKERS="1")
    supervisor = service.popen("python", "-c", SILENCE_OF_2)
    try:
        wait_until_ready(service)
        with service.client() as thoth, ThreadPoolExecutor(3) as pool:
            guilty = pool.submit(thoth.embed, ["fine"] * 9 + ["!hang"] + ["fine too"] * 10)
            embedding(service)
            behind = [pool.submit(thoth.embed, [f"behind {n}"] * 20) for n in range(2)]
            with pytest.raises(PoisonInput) as caught:
                guilty.result(100)
            assert caught.value.indices == [9]
            assert np.isfinite(np.delete(caught.value.partial, 9, axis=0)).all()
            assert [call.result(100).shape for call in behind] == [(20, 32), (20, 32)]
    finally:
        service.stop()
        supervisor.communicate(timeout=60)


def test_an_interactive_worker_that_hangs_is_replaced_after_its_caller_has_gone(
    make_service: Make,
) -> None:
    service = make_service(THOTH_FAULTS="1", THOTH_UNIT_TIMEOUT="2", **TWO_BULK).start()
    before = pids(service)["embed-interactive"]
    with service.client() as thoth:
        thoth.embed(["before it"])
        with pytest.raises(DeadlineExceeded):
            thoth.embed(["!hang"], deadline=5)
        service.ready_again("embed-interactive", before)
        assert thoth.embed(["after it"], deadline=30).shape == (1, 32)
