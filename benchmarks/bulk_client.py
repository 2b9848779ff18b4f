"""A program that adds texts to a service without a pause, so that every core has work.

``python -m benchmarks.bulk_client`` in the environment of the service's clients; it says "ready"
when its first texts are stored, and how many were when its standard input is closed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

from benchmarks.speed_texts import texts

#: Texts of one call, and calls at once: the next one is there before the last texts of the one
#: before leave a worker without work.
CALL, CALLERS = 256, 2


class BulkClient:
    """That program, as its parent has it."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.bulk_client"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=dict(environ),
        )

    def wait_ready(self) -> None:
        assert self._process.stdout is not None
        if self._process.stdout.readline().strip() != "ready":
            raise RuntimeError(f"the bulk client ended with {self._process.wait()}")

    def end(self) -> dict[str, float]:
        """Texts a second that were stored since it was ready. Waits for the calls that run."""
        said, _ = self._process.communicate(timeout=60)
        stored, seconds = said.split()
        return {"texts": float(stored), "texts_s": float(stored) / float(seconds)}

    def close(self) -> None:
        """If :meth:`end` was not called."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


def main() -> None:
    from thoth_core import Thoth

    given = texts("mixed", 500, seed=21)
    over, ready, stored = threading.Event(), threading.Event(), [0] * CALLERS

    def add(caller: int, thoth: Any) -> None:
        number = 0
        while not over.is_set():
            # Each is a text of its own: equal ones would not be embedded again.
            made = [
                f"{caller}.{number + i}: {given[(number + i) % len(given)]}" for i in range(CALL)
            ]
            thoth.add(made)
            number += CALL
            stored[caller] = number
            ready.set()

    with Thoth(autostart=False) as thoth:
        callers = [threading.Thread(target=add, args=(i, thoth)) for i in range(CALLERS)]
        for each in callers:
            each.start()
        ready.wait()
        before, began = sum(stored), time.perf_counter()
        print("ready", flush=True)
        os.read(sys.stdin.fileno(), 1)
        seconds, done = time.perf_counter() - began, sum(stored) - before
        over.set()
        for each in callers:
            each.join()
    print(done, seconds)


if __name__ == "__main__":
    main()
