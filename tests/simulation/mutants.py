"""``make mutants``: each planted bug, and the first seeds that find it. Ends with status 1 if one
is not found within ``--seeds``."""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.history import History
from tests.simulation.mutations import MUTATIONS


def hunt(index: int, seeds: int, finds: int) -> list[tuple[int, str]]:
    """The first seeds that find this bug, and by what."""
    found = []
    for seed in range(seeds):
        history = History(seed)
        with MUTATIONS[index].planted():
            try:
                history.tell()
            except Exception as problem:
                found.append((seed, f"{type(problem).__name__}: {problem}"))
        if len(found) == finds:
            break
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many histories each")
    parser.add_argument("--finds", type=int, default=1, help="how many that find it")
    parser.add_argument("--only", default="", help="those with this in their name")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    options = parser.parse_args()
    wanted = [i for i, m in enumerate(MUTATIONS) if options.only in m.name]
    began, missed = time.monotonic(), 0
    with ProcessPoolExecutor(options.jobs) as pool:
        hunts = [(i, pool.submit(hunt, i, options.seeds, options.finds)) for i in wanted]
        for index, each in hunts:
            found = each.result()
            missed += not found
            seeds = ", ".join(str(seed) for seed, _ in found) or "NOT FOUND"
            print(f"{MUTATIONS[index].name}: {seeds}", flush=True)
            if found:
                print(f"    {found[0][1][:150]}")
    print(f"{len(wanted) - missed} of {len(wanted)} found, {time.monotonic() - began:.0f} s")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
