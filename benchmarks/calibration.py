"""What this machine does just now with work that never changes, to stand beside absolute figures:
``python -m benchmarks.calibration``.

A batch through the engine, and a round trip between two processes over ZeroMQ, as the service does
it: ROUTER and DEALER over ipc, Python on both ends.
"""

from __future__ import annotations

import json
import logging
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

ROUNDS = 5
_TRIPS = 1000
#: Texts of the fixed batch, and how often it is run in a round.
_TEXTS, _BATCHES = 8, 10


def measure(size: float = 1.0) -> dict[str, Any]:
    """Seconds of each round, in a process of its own: the engine's batch and a round trip. With a
    ``size`` under 1 a round repeats them less often."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.calibration", str(size)],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"the calibration ended with {done.returncode}: {done.stderr}")
    return dict(json.loads(done.stdout))


def engine_batch(size: float) -> list[float]:
    from benchmarks.speed_texts import MODEL, texts
    from embed_worker.engines import load_engine
    from embed_worker.engines.base import Options

    engine = load_engine(Options(MODEL), logging.getLogger("bench"))
    given = texts("long", _TEXTS, seed=9)
    return _rounds(lambda: engine.embed(given, "document", lambda: None), size * _BATCHES)


def round_trip(size: float) -> list[float]:
    import zmq

    with tempfile.TemporaryDirectory(prefix="thoth-c-", dir="/tmp") as folder:
        endpoint = f"ipc://{folder}/s"
        context = zmq.Context()
        router = context.socket(zmq.ROUTER)
        router.linger = 0
        router.bind(endpoint)
        echo = subprocess.Popen([sys.executable, "-c", _ECHO, endpoint])
        try:
            # It says hello, and then gives back what it gets.
            if not router.poll(10_000):
                raise RuntimeError("the other end of the round trip did not come")
            peer, _ = router.recv_multipart()

            def trip() -> None:
                router.send_multipart([peer, b"x" * 100])
                router.recv_multipart()

            return _rounds(trip, size * _TRIPS)
        finally:
            echo.kill()
            echo.wait()
            context.destroy(linger=0)


_ECHO = """
import sys, zmq
socket = zmq.Context().socket(zmq.DEALER)
socket.connect(sys.argv[1])
socket.send(b"here")
while True:
    socket.send(socket.recv())
"""


def _rounds(act: Callable[[], object], times: float) -> list[float]:
    """The median of each round, in seconds."""
    act()
    found = []
    for _ in range(ROUNDS):
        taken = []
        for _ in range(max(1, round(times))):
            began = time.perf_counter()
            act()
            taken.append(time.perf_counter() - began)
        found.append(statistics.median(taken))
    return found


def show(found: dict[str, Any]) -> None:
    batch, trip = found["engine_batch_s"], found["round_trip_s"]
    print(
        f"a batch of {_TEXTS} texts of 254 word pieces through the engine:"
        f" {1e3 * min(batch):.1f} ms at best, {1e3 * max(batch):.1f} at worst"
    )
    print(
        "a round trip over ZeroMQ:"
        f" {1e6 * min(trip):.0f} us at best, {1e6 * max(trip):.0f} at worst"
    )


if __name__ == "__main__":
    size = float(sys.argv[1]) if sys.argv[1:] else 1.0
    told = {"engine_batch_s": engine_batch(size), "round_trip_s": round_trip(size)}
    if sys.argv[1:]:
        print(json.dumps(told))
    else:
        show(told)
