"""What a short text takes the engine when it comes a while after the last one.

    python -m benchmarks.after_idle            # half a minute

One process, no service, all in turns. Between two texts it sleeps, or computes something small that
keeps the core awake. On a machine of one's own the two hardly differ. On a host that others use
too, what the engine had in the caches is gone after some milliseconds, whichever of the two it did,
and is read from memory again: that is in each query of somebody who asks now and then.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from benchmarks.alone import run_alone
from benchmarks.figures import percentile
from benchmarks.latency import new_texts
from benchmarks.speed_texts import MODEL

#: Of each kind, in so many turns.
_TURNS, _TEXTS = 6, 40


def spin(seconds: float) -> None:
    """Compute, and touch hardly any memory."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


BETWEEN: dict[str, Callable[[], None]] = {
    "nothing": lambda: None,
    "1 ms asleep": lambda: time.sleep(0.001),
    "3 ms asleep": lambda: time.sleep(0.003),
    "10 ms asleep": lambda: time.sleep(0.01),
    "10 ms of computing": lambda: spin(0.01),
}


def measure(quick: bool) -> dict[str, list[float]]:
    """Seconds of each text, by what was done before it."""
    from embed_worker.engines import load_engine
    from embed_worker.engines.base import Options

    engine = load_engine(Options(MODEL), logging.getLogger("bench"))
    new = new_texts()
    for _ in range(_TEXTS):
        engine.embed([next(new)], "query", lambda: None)
    taken: dict[str, list[float]] = {name: [] for name in BETWEEN}
    for _ in range(1 if quick else _TURNS):
        for name, wait in BETWEEN.items():
            for _ in range(_TEXTS):
                text = next(new)
                wait()
                began = time.perf_counter()
                engine.embed([text], "query", lambda: None)
                taken[name].append(time.perf_counter() - began)
    return taken


def show(taken: dict[str, list[float]]) -> None:
    print(f"{'before each text':24} {'p10':>6} {'p50':>6} {'p90':>6}  ms")
    for name, seconds in taken.items():
        figures = " ".join(f"{1000 * percentile(seconds, part):6.2f}" for part in (0.1, 0.5, 0.9))
        print(f"{name:24} {figures}")


if __name__ == "__main__":
    run_alone(__doc__, measure, show)
