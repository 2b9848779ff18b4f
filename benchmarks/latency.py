"""How long single things take: a text, a query, a query while everything is busy, a restart; and
what memory that needs.

    python -m benchmarks.latency              # three and a half minutes
    python -m benchmarks.latency --quick      # one, to see that it works

One service with the real model, and a store that :mod:`benchmarks.filled` filled.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import filled, footprint, recovery
from benchmarks.bulk_client import BulkClient
from benchmarks.figures import Taken, apart, percentile, spread
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
    chunks: int
    #: Chunks told to the index once more, so that it writes itself to the disk under the load.
    again: int
    singles: int
    queries: int
    steps: int
    seconds: float


FULL = Size(chunks=20_000, again=3_500, singles=400, queries=1000, steps=200, seconds=60.0)
QUICK = Size(chunks=2_000, again=0, singles=40, queries=50, steps=20, seconds=8.0)


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
    new = _new_texts()
    for _ in range(20):
        client.query(next(new), k=_K)
    found: dict[str, Any] = {}
    lone = LoneEngine()
    try:
        found["single"] = single(client, lone, [next(new) for _ in range(size.singles + 20)])
        asked = [next(new) for _ in range(size.queries)]
        found["query"] = spread([_seconds(lambda t=t: client.query(t, k=_K)) for t in asked])
        found["steps_ms"] = steps(client, lone, new, size.steps)
    finally:
        lone.close()
    return found


def single(client: Thoth, lone: LoneEngine, given: Sequence[str]) -> dict[str, Any]:
    """Each text through the service and through the same engine in a process of its own, in
    turns."""
    service, engine = [], []
    for number, text in enumerate(given):
        if number % 2:
            engine.append(lone.embed(text)["embed"])
            service.append(_seconds(lambda t=text: client.embed([t])))
        else:
            service.append(_seconds(lambda t=text: client.embed([t])))
            engine.append(lone.embed(text)["embed"])
    # The first ones are for memory and clocks.
    service, engine = service[20:], engine[20:]
    added = [mine - theirs for mine, theirs in zip(service, engine, strict=True)]
    return {
        "service": spread(service),
        "engine": spread(engine),
        "added_p50_ms": 1000 * (percentile(service, 0.5) - percentile(engine, 0.5)),
        "added_by_pair_p50_ms": 1000 * percentile(added, 0.5),
    }


def steps(client: Thoth, lone: LoneEngine, new: Iterator[str], many: int) -> dict[str, float]:
    """The median of each call by which the way of a query can be told apart, in turns."""
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
    new = _new_texts(seed=43)
    load = BulkClient(service.environ())
    taken: list[Taken] = []
    try:
        load.wait_ready()
        watch = Watch(service.root / "db" / "thoth" / "chroma", look=_LOOK)
        try:
            end = time.monotonic() + size.seconds
            while time.monotonic() < end:
                text, at = next(new), time.time()
                taken.append((at, _seconds(lambda t=text: client.query(t, k=_K))))
                time.sleep(_PAUSE)
        finally:
            windows = watch.end()
        added = load.end()
    finally:
        load.close()
    outside, inside = apart(taken, windows)
    return {
        "query": spread([took for _, took in outside]),
        "query_in_flushes": spread([took for _, took in inside]),
        "flushes_s": [end - start for start, end in windows],
        "added": added,
        "taken": taken,
        "windows": windows,
    }


def _new_texts(seed: int = 41) -> Iterator[str]:
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
    print(f"\n{'milliseconds':58} {'p50':>8} {'p99':>8} {'longest':>8}")
    one = found["single"]
    _line("one short text, client to vector", one["service"])
    _line("  the same engine alone", one["engine"])
    print(f"{'  added by the service':58} {one['added_p50_ms']:8.2f}")
    _line(f"a query over {chunks:,} chunks, idle", found["query"])
    load = found["busy"]
    rate = load["added"]["texts_s"]
    _line(f"  while {rate:.0f} texts/s are added, flushes apart", load["query"])
    _line(f"  in the {len(load['flushes_s'])} flushes of the index", load["query_in_flushes"])
    if load["flushes_s"]:
        print(f"{'  the longest flush, s':58} {max(load['flushes_s']):8.2f}")
    print("\nwhere the time of a query goes, ms (medians)")
    for what, took in parts(found["steps_ms"]):
        print(f"  {what:56} {took:8.2f}")
    print(f"  {'a query':56} {found['steps_ms']['query']:8.2f}")
    recovery.show(found["recovery"])
    footprint.show(found["memory"])


def _line(what: str, told: dict[str, float] | None) -> None:
    if told is None:
        return
    figures = f"{told['p50_ms']:8.2f} {told['p99_ms']:8.2f} {told['longest_ms']:8.2f}"
    print(f"{what:58} {figures}   of {told['count']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="all of it small")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    options = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} before it", flush=True)
    found = measure(options.quick)
    show(found)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
