"""How long single things take: a text, a query, a query while everything is busy, a restart; and
what memory that needs.

    python -m benchmarks.latency              # three and a half minutes
    python -m benchmarks.latency --quick      # one, to see that it works

One service with the real model, and a store that :mod:`benchmarks.filled` filled.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks import filled, footprint, recovery
from benchmarks.alone import run_alone
from benchmarks.bulk_client import BulkClient
from benchmarks.figures import Taken, apart, percentile, rounds, spread
from benchmarks.index_settings import Watch
from benchmarks.lone_engine import LoneEngine
from benchmarks.speed_texts import texts
from benchmarks.upserts import healthy
from tests.support.service import RealService
from thoth_core import Thoth
from thoth_core.client.base import ping

#: Seconds between two queries while the machine is busy, and between two looks at the index files.
_PAUSE, _LOOK = 0.03, 0.01
_K = 4


@dataclass(frozen=True)
class Size:
    """Of each round: singles, queries and steps while nothing else is done, and seconds of queries
    while everything is busy."""

    chunks: int
    #: Chunks told to the index once more, so that it writes itself to the disk under the load.
    again: int
    rounds: int
    singles: int
    queries: int
    steps: int
    seconds: float


FULL = Size(20_000, 3_500, rounds=5, singles=80, queries=200, steps=40, seconds=12.0)
QUICK = Size(2_000, 0, rounds=2, singles=20, queries=25, steps=10, seconds=4.0)


def measure(quick: bool) -> dict[str, Any]:
    size = QUICK if quick else FULL
    found: dict[str, Any] = {"load_before": os.getloadavg()[0]}
    found["recovery"] = recovery.measure(quick)
    service = recovery.make()
    try:
        service.start()
        with service.client() as client:
            began = time.perf_counter()
            found["store"] = filled.fill(client, size.chunks, size.again)
            healthy(client)
            found["store"]["fill_s"] = time.perf_counter() - began
            found |= quiet(client, size)
            found["busy"] = busy(service, client, size)
            healthy(client)
        found["memory"] = footprint.measure(service)
    finally:
        service.close()
    return found


# -- nothing else to do ------------------------------------------------------------------------


def quiet(client: Thoth, size: Size) -> dict[str, Any]:
    """In rounds, each with a calibration: the same work of an interpreter."""
    new = new_texts()
    lone = LoneEngine()
    loops, singles, queries, told = [], [], [], []
    try:
        # For memory and clocks.
        single(client, lone, [next(new) for _ in range(20)])
        for _ in range(20):
            client.query(next(new), k=_K)
        for _ in range(size.rounds):
            loops.append(_seconds(_loop))
            singles.append(single(client, lone, [next(new) for _ in range(size.singles)]))
            asked = [next(new) for _ in range(size.queries)]
            queries.append([_seconds(lambda t=t: client.query(t, k=_K)) for t in asked])
            told.append(steps(client, lone, new, size.steps))
    finally:
        lone.close()
    added = [percentile(s, 0.5) - percentile(e, 0.5) for s, e in singles]
    return {
        "loop_ms": [1000 * each for each in loops],
        "single": rounds([service for service, _ in singles]),
        "engine": rounds([engine for _, engine in singles]),
        "added_ms": [1000 * each for each in added],
        "query": rounds(queries),
        # Those of one round, so that they belong together.
        "steps_ms": min(told, key=lambda each: each["query"]),
    }


def _loop() -> None:
    total = 0
    for each in range(200_000):
        total += each


def single(
    client: Thoth, lone: LoneEngine, given: Sequence[str]
) -> tuple[list[float], list[float]]:
    """Seconds of each text through the service, and through the same engine in a process of its
    own, in turns."""
    service, engine = [], []
    for number, text in enumerate(given):
        if number % 2:
            engine.append(lone.embed(text)["embed"])
        service.append(_seconds(lambda t=text: client.embed([t])))
        if not number % 2:
            engine.append(lone.embed(text)["embed"])
    return service, engine


def steps(client: Thoth, lone: LoneEngine, new: Iterator[str], many: int) -> dict[str, float]:
    """The median, in ms, of each call by which the way of a query can be told apart, in turns."""
    vectors = client.embed([next(new) for _ in range(many)])
    taken: dict[str, list[float]] = {
        name: [] for name in ("ping", "count", "engine", "tokenizer", "embed", "search", "query")
    }
    for vector in vectors:
        taken["ping"].append(_seconds(lambda: client._do(ping(), None)))
        taken["count"].append(_seconds(client.count))
        alone = lone.embed(next(new))
        taken["engine"].append(alone["embed"])
        taken["tokenizer"].append(alone["tokenizer"])
        taken["embed"].append(_seconds(lambda: client.embed([next(new)])))
        taken["search"].append(_seconds(lambda v=vector: client.search(v, k=_K)))
        taken["query"].append(_seconds(lambda: client.query(next(new), k=_K)))
    return {name: 1000 * percentile(values, 0.5) for name, values in taken.items()}


def parts(took: dict[str, float]) -> list[tuple[str, float]]:
    """Where the time of a query goes, from the medians of :func:`steps`; in ms."""
    known = [
        ("client and dispatch, there and back (ping)", took["ping"]),
        (
            "to the embed worker and back (embed, less ping and engine)",
            took["embed"] - took["ping"] - took["engine"],
        ),
        ("tokenizer", took["tokenizer"]),
        ("model (engine, less tokenizer)", took["engine"] - took["tokenizer"]),
        ("store and index (search, less ping)", took["search"] - took["ping"]),
    ]
    rest = took["query"] - sum(each for _, each in known)
    return [*known, ("what that leaves", rest)]


# -- everything busy ---------------------------------------------------------------------------


def busy(service: RealService, client: Thoth, size: Size) -> dict[str, Any]:
    """Queries while a program adds texts as fast as they are taken; those that a flush of the
    index touches apart."""
    new = new_texts(seed=43)
    load = BulkClient(service.environ())
    taken: list[Taken] = []
    began = 0.0
    try:
        load.wait_ready()
        watch = Watch(service.root / "db" / "thoth" / "chroma", look=_LOOK)
        try:
            began = time.time()
            while time.time() < began + size.rounds * size.seconds:
                text, at = next(new), time.time()
                taken.append((at, _seconds(lambda t=text: client.query(t, k=_K))))
                time.sleep(_PAUSE)
        finally:
            # What it saw first are the files as they were.
            windows = [each for each in watch.end() if each[1] >= began]
        added = load.end()
    finally:
        load.close()
    outside, inside = apart(taken, windows)
    parts: list[list[float]] = [[] for _ in range(size.rounds)]
    for at, took in outside:
        parts[min(int((at - began) / size.seconds), size.rounds - 1)].append(took)
    return {
        "query": rounds(parts),
        "query_in_flushes": spread([took for _, took in inside]),
        "flushes_s": [end - start for start, end in windows],
        "added": added,
        "taken": taken,
        "windows": windows,
    }


def new_texts(seed: int = 41) -> Iterator[str]:
    """Short texts without end, all different: equal ones may be remembered."""
    given = texts("short", 500, seed=seed)
    number = 0
    while True:
        yield f"{number} {given[number % len(given)]}"
        number += 1


def _seconds(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


# -- the table ---------------------------------------------------------------------------------


def show(found: dict[str, Any]) -> None:
    chunks = found["store"]["chunks"]
    print(f"\n{'milliseconds: the best round, and all':52} {_HEAD} {_HEAD}")
    _line("one short text, client to vector", found["single"])
    _line("  the same engine alone", found["engine"])
    added = found["added_ms"]
    print(f"{'  added by the service':52} {min(added):7.2f} {'':15} {median(added):7.2f}")
    _line(f"a query over {chunks:,} chunks, idle", found["query"])
    load = found["busy"]
    _line(f"  while {load['added']['texts_s']:.0f} texts/s are added", load["query"])
    flushes, within = load["flushes_s"], load["query_in_flushes"]
    if flushes:
        print(
            f"  not counted there: {len(flushes)} flushes of the index, {max(flushes):.2f} s the"
            f" longest; the longest of {within['count'] if within else 0} queries in them"
            f" {within['longest_ms'] if within else 0:.0f} ms"
        )
    loops = found["loop_ms"]
    print(f"calibration, a loop of 200,000 in Python: {min(loops):.1f} ms, {median(loops):.1f}")
    print("\nwhere the time of a query goes, ms (medians)")
    for what, took in parts(found["steps_ms"]):
        print(f"  {what:60} {took:8.2f}")
    print(f"  {'a query':60} {found['steps_ms']['query']:8.2f}")
    recovery.show(found["recovery"])
    footprint.show(found["memory"])


_HEAD = f"{'p50':>7} {'p99':>7} {'longest':>7}"


def _line(what: str, told: dict[str, Any]) -> None:
    figures = " ".join(
        f"{told[name][figure]:7.2f}" if told[name] else f"{'':7}"
        for name in ("best", "all")
        for figure in ("p50_ms", "p99_ms", "longest_ms")
    )
    print(f"{what:52} {figures}")


if __name__ == "__main__":
    run_alone(__doc__, measure, show)
