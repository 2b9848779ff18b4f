"""How long a search takes that is narrowed to sources, by patterns and by a filter of their names.

    python -m benchmarks.sources

A service with 50,000 chunks of as many sources in 100 folders; vectors in crowds, 384 dimensions.
Each search is the caller's own vector, from the client's call to its answer; the median of several.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from typing import Any

from benchmarks.alone import run_alone
from benchmarks.vectors import batches, crowd
from tests.support.service import RealService, wait_for
from thoth_core import Thoth
from thoth_core.errors import ThothError

_DIMENSION = 384
_TIMES = 5


def source_of(row: int) -> str:
    """One chunk each, in one of a hundred folders."""
    return f"/home/me/docs/part{row % 100:02}/file{row}.md"


def measure(quick: bool) -> dict[str, Any]:
    count = 4_000 if quick else 50_000
    service = RealService.make(f"fake/{_DIMENSION}")
    try:
        service.start()
        with service.client() as client:
            for batch in batches(crowd(count, _DIMENSION), 2000):
                rows = [int(id.removeprefix("id-")) for id in batch.ids]
                sources = [{"source": source_of(row)} for row in rows]
                # Short: how long a text is means nothing here, and takes Chroma minutes.
                texts = [f"chunk {row}" for row in rows]
                client.upsert(batch.ids, batch.vectors, texts, sources)
            wait_for(lambda: _settled(service), 600, "the index has everything")
            return {"chunks": count, "searches": _searches(client, count)}
    finally:
        service.close()


def _settled(service: RealService) -> bool:
    store = service.status()["store"]
    return store["index_state"] == "healthy" and not store["index"]["pending"]


def _searches(client: Thoth, count: int) -> list[list[Any]]:
    names = [source_of(row) for row in range(count)]
    kinds: list[tuple[str, Mapping[str, Any]]] = [
        ("everything", {}),
        ("one file by its whole name", {"source": names[77]}),
        ("one file by its last part", {"source": "file77.md"}),
        ("one folder of 100", {"source": "/home/me/docs/part07/"}),
        ("ten folders", {"source": "/home/me/docs/part7?/*"}),
        ("fifty folders", {"source": "/home/me/docs/part?[02468]/*"}),
        ("all sources", {"source": "*.md"}),
        ("no source", {"source": "*.pdf"}),
    ]
    kinds += [
        (f"$in with {some:,} names", {"where": {"source": {"$in": names[:some]}}})
        for some in (100, 1_000, 10_000, len(names))
    ]
    queries = crowd(_TIMES, _DIMENSION, seed=99)
    found: list[list[Any]] = []
    for what, narrow in kinds:
        times: list[float] = []
        try:
            for query in queries:
                start = time.perf_counter()
                client.search(query, 4, **narrow)
                times.append(time.perf_counter() - start)
        except ThothError as problem:
            found.append([what, None, str(problem)])
        else:
            found.append([what, statistics.median(times) * 1000, ""])
    return found


def show(found: dict[str, Any]) -> None:
    print(f"{found['chunks']:,} chunks; milliseconds of a search")
    for what, median, problem in found["searches"]:
        print(f"{what:<32}" + (f"{median:10.1f}" if median is not None else f"  {problem}"))


if __name__ == "__main__":
    run_alone(__doc__, measure, show)
