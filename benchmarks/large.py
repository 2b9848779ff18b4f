"""A large store: how fast its index is rebuilt and verified, and how searches fare meanwhile and
while rows are upserted at full speed.

The ledger is filled directly, which takes seconds; the service then finds that its index lacks
everything, and rebuilds it.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.index_settings import Watch
from benchmarks.upserts import BATCH, healthy
from benchmarks.vectors import batches, crowd
from store_worker import ledger_chunks, ledger_collections
from store_worker.ledger import Ledger
from store_worker.ledger_chunks import Row
from tests.support.service import RealService, wait_for
from thoth_core import Thoth
from thoth_core.ids import text_hash

_NAME = "large"
_K = 10
#: Seconds between two searches of one client.
_PAUSE = 0.02


def measure(rows: int, dimension: int, seconds: float) -> dict[str, Any]:
    service = RealService.make(f"fake/{dimension}", THOTH_EMBED_WORKERS="1")
    try:
        fill(service.root / "db" / "thoth", rows, dimension)
        return _measured(service, rows, dimension, seconds)
    finally:
        service.close()


def fill(folder: Path, rows: int, dimension: int) -> None:
    """A ledger with ``rows`` in one collection, whose changes no index is waiting for."""
    folder.mkdir(parents=True)
    ledger = Ledger.open(folder / "ledger.sqlite3", "benchmark")
    for batch in batches(crowd(rows, dimension), 5000):
        with ledger.transaction():
            collection = ledger_collections.for_write(ledger, _NAME, 1, None, dimension)
            assert collection is not None
            made = [
                Row(id, text, "{}", None, text_hash(text), vector.tobytes(), computed=False)
                for id, text, vector in zip(batch.ids, batch.texts, batch.vectors, strict=True)
            ]
            ledger_chunks.upsert(ledger, collection, 1, made)
    ledger.note_index({}, ledger.last_change())
    ledger.close()


def _measured(service: RealService, rows: int, dimension: int, seconds: float) -> dict[str, Any]:
    chroma = service.root / "db" / "thoth" / "chroma"
    queries = crowd(1000, dimension, seed=1)
    found: dict[str, Any] = {"rows": rows, "dimension": dimension}
    service.start()
    with service.client() as client:
        found |= _rebuilt(client, chroma, queries)
        quiet = search_for(client, queries, min(5.0, seconds))
        found["search_quiet"] = spread(quiet)
        found["verify_s"] = client.verify()["seconds"]
        healthy(client)
    service.stop()
    started = time.perf_counter()
    service.start()
    with service.client() as client:
        healthy(client, 600)
        found["start_to_healthy_s"] = time.perf_counter() - started
        found |= _under_load(service, client, chroma, queries, dimension, seconds)
        healthy(client, 600)
        sizes = client.stats()
        found["ledger_bytes_per_chunk"] = sizes["ledger_bytes_per_chunk"]
        found["index_bytes_per_chunk"] = sizes["index_bytes_per_chunk"]
    return found


def _rebuilt(client: Thoth, chroma: Path, queries: np.ndarray[Any, Any]) -> dict[str, Any]:
    """The rebuild, as ``status`` tells of it, with searches meanwhile."""
    seen: list[tuple[float, int]] = []
    wait_for(lambda: client.status()["store"]["index"]["progress"], 60, "the rebuild has begun")
    watch = Watch(chroma)
    latencies: list[tuple[float, float]] = []
    while True:
        store = client.status()["store"]
        progress = store["index"]["progress"]
        if progress is None:
            break
        if not seen or progress["done"] != seen[-1][1]:
            seen.append((time.perf_counter(), progress["done"]))
        latencies += search_for(client, queries, 0.5)
    windows = watch.end()
    (began, first), (ended, last) = seen[0], seen[-1]
    healthy(client)
    return {
        "rebuild_rows_s": (last - first) / (ended - began),
        "rebuild_flushes": len(windows),
        "rebuild_flush_longest_s": max((end - start for start, end in windows), default=0.0),
        "rebuild_flush_share": sum(end - start for start, end in windows) / (ended - began),
        "search_while_rebuilt": spread(latencies),
    }


def _under_load(
    service: RealService,
    client: Thoth,
    chroma: Path,
    queries: np.ndarray[Any, Any],
    dimension: int,
    seconds: float,
) -> dict[str, Any]:
    """Searches while another client upserts as fast as it can."""
    over, written = threading.Event(), [0]
    more = crowd(50_000, dimension, seed=2)

    def write() -> None:
        with service.client() as writer:
            for batch in batches(more, BATCH, first=10_000_000):
                if over.is_set():
                    return
                writer.upsert(
                    batch.ids, batch.vectors, batch.texts, batch.metadatas, collection=_NAME
                )
                written[0] += len(batch.ids)

    watch = Watch(chroma)
    thread = threading.Thread(target=write)
    thread.start()
    latencies = search_for(client, queries, seconds)
    over.set()
    thread.join()
    windows = watch.end()
    apart = [each for each in latencies if not _in(each, windows)]
    return {
        "upsert_rows_s_under_search": written[0] / seconds,
        "search_under_load": spread(apart),
        "search_in_flushes": spread([each for each in latencies if _in(each, windows)]),
    }


def search_for(
    client: Thoth, queries: np.ndarray[Any, Any], seconds: float
) -> list[tuple[float, float]]:
    """One search after the other for ``seconds``, as (when it began by the wall clock, seconds)."""
    taken = []
    end, turn = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        turn += 1
        at, started = time.time(), time.perf_counter()
        hits = client.search(queries[turn % len(queries)], k=_K, collection=_NAME)
        taken.append((at, time.perf_counter() - started))
        assert len(hits) == _K, hits
        time.sleep(_PAUSE)
    return taken


def _in(search: tuple[float, float], windows: Sequence[tuple[float, float]]) -> bool:
    at, took = search
    return any(at <= end and start <= at + took for start, end in windows)


def spread(latencies: Sequence[tuple[float, float]]) -> dict[str, float] | None:
    ordered = sorted(1000 * took for _, took in latencies)
    if not ordered:
        return None
    return {
        "searches": len(ordered),
        "p50_ms": statistics.median(ordered),
        "p99_ms": ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))],
        "longest_ms": ordered[-1],
    }
