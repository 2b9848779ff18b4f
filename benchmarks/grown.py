"""A store that grows: how fast chunks with vectors of their own come in when there are many
already, and what a query takes then.

    python -m benchmarks.grown                # 200,000 chunks: about five minutes
    python -m benchmarks.grown --quick        # 4,000

The time of each tenth is until the index has all of it, and is told while it goes on.
"""

from __future__ import annotations

import time
from typing import Any

from benchmarks import filled, footprint, recovery
from benchmarks.alone import run_alone
from benchmarks.figures import spread
from benchmarks.latency import new_texts
from benchmarks.upserts import IDLE, healthy, wait_for_index
from benchmarks.vectors import batches

_PARTS = 10
_K = 4
#: How fast the last part has to be beside the first one, and how fast we want it.
FLOOR, GOAL = 0.4, 0.8


def measure(quick: bool) -> dict[str, Any]:
    rows, queries = (4_000, 50) if quick else (200_000, 500)
    service = recovery.make()
    part = rows // _PARTS
    taken: list[float] = []
    try:
        service.start()
        with service.client() as client:
            index = healthy(client)
            middle = filled.centres(client)
            for number in range(_PARTS):
                vectors = filled.around(middle, part, seed=100 + number)
                began = time.perf_counter()
                for batch in batches(vectors, filled.BATCH, first=number * part):
                    filled.upsert(client, batch)
                wait_for_index(service, index, (number + 1) * part)
                taken.append(time.perf_counter() - IDLE - began)
                print(
                    f"{(number + 1) * part:9,} chunks: {part / taken[-1]:7,.0f} a second",
                    flush=True,
                )
            healthy(client)
            new = new_texts()
            for _ in range(20):
                client.query(next(new), k=_K)
            asked = []
            for _ in range(queries):
                text, began = next(new), time.perf_counter()
                client.query(text, k=_K)
                asked.append(time.perf_counter() - began)
            memory = footprint.measure(service)
    finally:
        service.close()
    return {
        "chunks": rows,
        "rows_s": [part / each for each in taken],
        "last_to_first": taken[0] / taken[-1],
        "query": spread(asked),
        "memory": memory,
    }


def show(found: dict[str, Any]) -> None:
    rates = found["rows_s"]
    part = found["chunks"] // len(rates)
    print(
        f"\nchunks a second, the first {part:,}: {rates[0]:,.0f}; the last {part:,} of"
        f" {found['chunks']:,}: {rates[-1]:,.0f}, {found['last_to_first']:.2f} of it"
        f" (at least {FLOOR}, wanted {GOAL})"
    )
    query = found["query"]
    print(
        f"a query over {found['chunks']:,} chunks: p50 {query['p50_ms']:.2f} ms,"
        f" p99 {query['p99_ms']:.2f} ms, longest {query['longest_ms']:.1f} ms of"
        f" {query['count']}"
    )
    footprint.show(found["memory"])


if __name__ == "__main__":
    run_alone(__doc__, measure, show)
