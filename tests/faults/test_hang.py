"""A text whose embedding never ends."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults.watching import embedding, pids, status
from tests.support.service import RealService, wait_for
from thoth_core.errors import DeadlineExceeded

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
