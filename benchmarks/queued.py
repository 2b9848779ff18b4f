"""What a query takes while a hundred thousand texts wait to be embedded, beside one that has the
service for itself.

    python -m benchmarks.queued

Bulk calls of 2,048 short texts from threads of their own fill the queue of dispatch; a query is
asked again and again meanwhile. A model that embeds them faster than they come is too fast
for this. Each figure is of one service, so that the machine is the same.
"""

from __future__ import annotations

import argparse
import os
import statistics
import threading
import time
from typing import Any

from tests.support.service import RealService
from thoth_core import Thoth
from thoth_core.errors import ThothError

CALL = 2048


def measure(model: str, texts: int, queries: int) -> dict[str, Any]:
    service = RealService.make(model, THOTH_EMBED_WORKERS=str(os.cpu_count() or 1))
    stop = threading.Event()
    try:
        service.start()
        with service.client() as thoth:
            thoth.add([f"note {n} about a harbour and its ships" for n in range(500)])
            _queries(thoth, 20)
            alone = _queries(thoth, queries)
            callers = [
                threading.Thread(target=_bulk, args=(service, number, stop), daemon=True)
                for number in range(-(-texts // CALL))
            ]
            for each in callers:
                each.start()
            waiting = _until_queued(thoth, int(0.9 * texts))
            loaded = _queries(thoth, queries)
            left = thoth.status()["queue"]["items"]
            stop.set()
    finally:
        service.close()
    return {"alone": alone, "loaded": loaded, "waiting": waiting, "left": left}


def _queries(thoth: Thoth, many: int) -> list[float]:
    taken = []
    for number in range(many):
        started = time.perf_counter()
        # Another text each time, because equal ones may be remembered.
        thoth.query(f"where is ship {number} at {started}?", k=4)
        taken.append(1000 * (time.perf_counter() - started))
    return taken


def _bulk(service: RealService, number: int, stop: threading.Event) -> None:
    texts = [f"text {n} of caller {number}: the ferry leaves at noon" for n in range(CALL)]
    try:
        with service.client() as thoth:
            thoth.embed(texts)
    except ThothError:
        # At the end the service goes away under it.
        if not stop.is_set():
            raise


def _until_queued(thoth: Thoth, items: int) -> int:
    end = time.monotonic() + 120
    while True:
        waiting = int(thoth.status()["queue"]["items"])
        if waiting >= items:
            return waiting
        assert time.monotonic() < end, f"only {waiting} texts wait"
        time.sleep(0.02)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="all-MiniLM-L6-v2")
    parser.add_argument("--texts", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=100)
    given = parser.parse_args()
    found = measure(given.model, given.texts, given.queries)
    waited, left = found["waiting"], found["left"]
    print(f"{given.model}: {waited:,} texts waited at first, {left:,} at the end")
    for name in ("alone", "loaded"):
        taken = sorted(found[name])
        p99 = taken[min(len(taken) - 1, int(0.99 * len(taken)))]
        print(f"a query, {name}: p50 {statistics.median(taken):.1f} ms, p99 {p99:.1f} ms")


if __name__ == "__main__":
    main()
