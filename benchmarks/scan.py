"""How long an exact scan of the ledger's vectors takes, and what memory.

    python -m benchmarks.scan --rows 100000 --rows 1000000

For each size: a ledger of random unit vectors is made in a folder of its own, copied into the file
that is scanned, and searched: with the file, with a filter that lets a tenth through, and, for
comparison, with no file at all. Memory is what the process has of its own, and what it has mapped
of the file, which the kernel may take back at any time.
"""

from __future__ import annotations

import os

# As in a worker; before numpy loads OpenBLAS.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from store_worker import ledger_collections
from store_worker.ledger import Ledger
from store_worker.ledger_collections import Collection
from store_worker.scan import Scan
from thoth_core.vectors import Vectors

_BATCH = 5000
_SEED = 3
#: What was printed.
LINES: list[dict[str, Any]] = []


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, action="append", help="default: 100000")
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--searches", type=int, default=200)
    parser.add_argument("-k", type=int, default=10)
    parser.add_argument("--folder", type=Path, help="where to make the ledger (it is removed)")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    options = parser.parse_args()
    print(
        f"{'rows':>9}  {'what':<38} {'p50 ms':>8} {'p99 ms':>8} {'own MiB':>8} {'mapped MiB':>10}"
    )
    for rows in options.rows or [100_000]:
        folder = Path(tempfile.mkdtemp(prefix="thoth-scan-", dir=options.folder))
        try:
            measure(folder, rows, options.dimension, options.searches, options.k)
        finally:
            shutil.rmtree(folder)
    if options.json:
        options.json.write_text(json.dumps(LINES, indent=1))


def measure(folder: Path, rows: int, dimension: int, searches: int, k: int) -> None:
    chance = np.random.default_rng(_SEED)
    ledger = Ledger.open(folder / "ledger.sqlite3", "benchmark")
    started = time.perf_counter()
    collection = fill(ledger, rows, dimension, chance)
    line(rows, "the ledger is made", [time.perf_counter() - started])
    scan = Scan(ledger, collection, folder / "scan")
    started = time.perf_counter()
    scan.build()
    line(
        rows,
        f"the file is made ({scan.size_bytes / 2**20:,.0f} MiB)",
        [time.perf_counter() - started],
    )
    queries = unit(chance.standard_normal((searches, dimension)))

    def timed(count: int, search: Callable[[Vectors], object]) -> list[float]:
        taken = []
        for query in queries[:count]:
            started = time.perf_counter()
            search(query[None, :])
            taken.append(time.perf_counter() - started)
        return taken

    line(rows, f"one query, k = {k}", timed(searches, lambda q: scan.nearest(q, k)))
    some = np.arange(1, rows + 1, 10)
    line(rows, "the same, a tenth let through", timed(searches, lambda q: scan.nearest(q, k, some)))
    started = time.perf_counter()
    scan.nearest(queries[:32], k)
    line(rows, "32 queries together", [time.perf_counter() - started])
    scan.close()
    bare = Scan(ledger, collection, folder / "scan")
    line(rows, "one query, straight from the ledger", timed(3, lambda q: bare.nearest(q, k)))
    ledger.close()


def fill(ledger: Ledger, rows: int, dimension: int, chance: np.random.Generator) -> Collection:
    """A collection of ``rows`` random unit vectors."""
    model = {"name": f"fake/{dimension}", "dimension": dimension}
    with ledger.transaction():
        collection = ledger_collections.for_write(ledger, "scanned", 1, model)
    assert collection is not None
    for start in range(0, rows, _BATCH):
        vectors = unit(chance.standard_normal((min(_BATCH, rows - start), dimension)))
        with ledger.transaction():
            ledger.db.executemany(
                "INSERT INTO chunks (collection, id, number, computed, text, vector)"
                " VALUES (?, ?, 1, 0, ?, ?)",
                [
                    (collection.id, f"id-{start + i}", f"text {start + i}", vector.tobytes())
                    for i, vector in enumerate(vectors)
                ],
            )
    ledger.tidy()
    return collection


def unit(vectors: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> Vectors:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), "<f4")


def line(rows: int, what: str, seconds: list[float]) -> None:
    ordered = sorted(1000 * each for each in seconds)
    p99 = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    p50, (own, mapped) = statistics.median(ordered), memory()
    LINES.append(
        {
            "rows": rows,
            "what": what,
            "p50_ms": p50,
            "p99_ms": p99,
            "own_mib": own,
            "mapped_mib": mapped,
        }
    )
    print(
        f"{rows:>9,}  {what:<38} {p50:>8,.1f} {p99:>8,.1f} {own:>8,.0f} {mapped:>10,.0f}",
        flush=True,
    )


def memory() -> tuple[float, float]:
    """MiB of this process now: its own, and of mapped files."""
    status = Path("/proc/self/status").read_text()
    found = dict(part.split(":", 1) for part in status.splitlines() if ":" in part)
    own, mapped = (int(found[name].split()[0]) / 1024 for name in ("RssAnon", "RssFile"))
    return own, mapped


if __name__ == "__main__":
    main()
