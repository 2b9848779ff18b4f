"""``make simulate``: many histories, one a seed, and a table of what was in them.

Ends with status 1 at the first seed in which something did not hold, and says how to see it again.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from tests.simulation.history import History

#: Seeds that one process takes at once.
SHARE = 20
#: Lines of a bad history that are shown.
SHOWN = 40


@dataclass
class Told:
    """What came of some seeds; ``wrong`` is what did not hold in the last of them, if anything."""

    seeds: int = 0
    events: int = 0
    tally: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def tell(first: int, seeds: int) -> Told:
    """The histories of so many seeds, up to the first that went wrong."""
    told = Told()
    for seed in range(first, first + seeds):
        history = History(seed)
        try:
            history.tell()
        except Exception as problem:
            told.wrong = [
                f"seed {seed}: {type(problem).__name__}: {problem}",
                f"in {history.shape}",
                "the last events:",
                *history.story()[-SHOWN:],
                f"again: python -m tests.simulation.run --first {seed} --seeds 1",
            ]
        told.seeds += 1
        told.events += history.events
        told.tally += history.tally
        if told.wrong:
            break
    return told


def tell_all(first: int, seeds: int, jobs: int) -> Iterator[Told]:
    shares = [(at, min(SHARE, first + seeds - at)) for at in range(first, first + seeds, SHARE)]
    if jobs == 1:
        yield from (tell(*share) for share in shares)
        return
    with ProcessPoolExecutor(jobs) as pool:
        waiting = [pool.submit(tell, *share) for share in shares]
        try:
            for each in waiting:
                yield each.result()
        finally:
            for each in waiting:
                each.cancel()


def table(told: Told, seconds: float) -> str:
    """What was in these histories, one figure a line."""
    tally = told.tally
    rows: list[tuple[str, float]] = [
        ("seeds", told.seeds),
        ("events", told.events),
        ("events a second", told.events / seconds),
        ("seconds", seconds),
    ]
    rows += [(name, tally[name]) for name in ("requests", "accepted", "answers")]
    rows += [(n, tally[n]) for n in ("units", "retries", "resent", "stalls", "poisoned")]
    rows += [(name, tally[name]) for name in sorted(tally) if name.startswith("deaths: ")]
    rows += [(name, tally[name]) for name in sorted(tally) if name.startswith("error: ")]
    faults = sorted(name for name in tally if name.startswith("fault: "))
    rows.append(("faults", sum(tally[name] for name in faults)))
    rows += [(name, tally[name]) for name in faults]
    return "\n".join(f"{name:<45} {figure:>12,.0f}" for name, figure in rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many histories")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    options = parser.parse_args()
    began, total = time.monotonic(), Told()
    for told in tell_all(options.first, options.seeds, options.jobs):
        total.seeds += told.seeds
        total.events += told.events
        total.tally += told.tally
        seconds = time.monotonic() - began
        progress = f"{total.seeds} of {options.seeds} seeds, {total.events:,} events"
        print(f"{progress}, {seconds:.0f} s", file=sys.stderr, flush=True)
        if told.wrong:
            print("\n".join(told.wrong))
            return 1
    print(table(total, time.monotonic() - began))
    print("nothing was lost, doubled, starved, or left without an answer")
    return 0


if __name__ == "__main__":
    sys.exit(main())
