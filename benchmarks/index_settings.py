"""How often Chroma should write its vector index to disk: its ``sync_threshold``, measured.

    python -m benchmarks.index_settings --rows 20000

Each threshold has a process of its own, which fills an index as the index process does, and a
second one that opens it again. This process watches the files of the vector segment meanwhile: the
time in which they change is the time in which a kill damages them.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import chromadb
import numpy as np
from chromadb.config import Settings

from store_worker.index import EF_SEARCH, Entry, Index

THRESHOLDS = (1_000, 5_000, 20_000, 100_000, 1_000_000)
#: Two changes that are further apart than this belong to two flushes, in seconds.
_APART = 0.25
_LOOK_SECONDS = 0.002
_SEED = 7
_NAME = "measured"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--upsert", type=int, default=500, help="rows told to Chroma at once")
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--threshold", type=int, action="append", help=f"default: {THRESHOLDS}")
    parser.add_argument("--batch-size", type=int, help="Chroma's own batch_size; default: Chroma's")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--child", choices=("fill", "reopen"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help="where to make the indexes (they are removed)")
    options = parser.parse_args()
    if options.child:
        print(json.dumps((fill if options.child == "fill" else reopen)(options)))
        return
    print(
        f"{'threshold':>9} {'rows/s, 1st quarter':>20} {'last quarter':>13} {'CPU ms/row':>11}"
        f" {'longest call s':>15} {'flushes':>8} {'open s each':>12} {'longest s':>10}"
        f" {'% of the time':>14} {'reopened s':>11} {'MiB on disk':>12}"
    )
    figures = []
    for threshold in options.threshold or THRESHOLDS:
        found = measure(options, threshold)
        figures.append(found)
        print(
            f"{threshold:>9} {found['first_quarter_rows_s']:>20,.0f}"
            f" {found['last_quarter_rows_s']:>13,.0f} {found['cpu_ms_row']:>11.2f}"
            f" {found['longest_call_s']:>15.2f} {found['flushes']:>8}"
            f" {found['flush_mean_s']:>12.3f} {found['flush_longest_s']:>10.3f}"
            f" {100 * found['flush_share']:>14.1f} {found['reopen_s']:>11.2f}"
            f" {found['disk_mib']:>12.1f}",
            flush=True,
        )
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


def measure(options: argparse.Namespace, threshold: int) -> dict[str, Any]:
    folder = Path(tempfile.mkdtemp(prefix="thoth-index-", dir=options.folder))
    try:
        watch = Watch(folder)
        filled = ask(options, "fill", threshold, folder)
        windows = watch.end()
        reopened = ask(options, "reopen", threshold, folder)
        size = sum(each.stat().st_blocks * 512 for each in folder.rglob("*") if each.is_file())
    finally:
        shutil.rmtree(folder)
    open_seconds = [end - start for start, end in windows]
    return {
        "threshold": threshold,
        "batch_size": options.batch_size,
        "rows": options.rows,
        **filled,
        "flushes": len(windows),
        "flush_mean_s": sum(open_seconds) / max(1, len(windows)),
        "flush_longest_s": max(open_seconds, default=0.0),
        "flush_share": sum(open_seconds) / filled["fill_s"],
        **reopened,
        "disk_mib": size / 2**20,
    }


def ask(options: argparse.Namespace, what: str, threshold: int, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.index_settings", "--child", what]
    command += ["--rows", str(options.rows), "--upsert", str(options.upsert)]
    command += ["--dimension", str(options.dimension), "--threshold", str(threshold)]
    command += ["--folder", str(folder)]
    if options.batch_size:
        command += ["--batch-size", str(options.batch_size)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


# -- in a process of its own -------------------------------------------------------------------


def fill(options: argparse.Namespace) -> dict[str, float]:
    make(options)
    opened = Index.open(options.folder, "benchmark", threading.Lock())
    opened.attach({1: _NAME})
    vectors = unit(options.rows, options.dimension)
    took: list[float] = []
    for start in range(0, options.rows, options.upsert):
        part = vectors[start : start + options.upsert]
        entries = [
            Entry(f"id-{start + i}", each.tobytes(), f"text {start + i} " * 20, '{"source": "x"}')
            for i, each in enumerate(part)
        ]
        began = time.perf_counter()
        opened.apply(1, entries, [])
        took.append(time.perf_counter() - began)
    opened.close()
    quarter = max(1, len(took) // 4)
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "fill_s": sum(took),
        "first_quarter_rows_s": quarter * options.upsert / sum(took[:quarter]),
        "last_quarter_rows_s": quarter * options.upsert / sum(took[-quarter:]),
        "longest_call_s": max(took),
        "cpu_ms_row": 1000 * (used.ru_utime + used.ru_stime) / options.rows,
    }


def make(options: argparse.Namespace) -> None:
    hnsw = {"space": "cosine", "sync_threshold": options.threshold[0], "ef_search": EF_SEARCH}
    if options.batch_size:
        hnsw["batch_size"] = options.batch_size
    settings = Settings(anonymized_telemetry=False)
    client: Any = chromadb.PersistentClient(path=str(options.folder), settings=settings)
    client.create_collection(_NAME, configuration={"hnsw": hnsw}, embedding_function=None)
    client.close()


def reopen(options: argparse.Namespace) -> dict[str, float]:
    started = time.perf_counter()
    opened = Index.open(options.folder, "benchmark", threading.Lock())
    opened.attach({1: _NAME})
    counted = time.perf_counter() - started
    opened.nearest(1, unit(1, options.dimension), 10, None, None)
    searched = time.perf_counter() - started
    opened.close()
    return {"reopen_count_s": counted, "reopen_s": searched}


def unit(rows: int, dimension: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    vectors = np.random.default_rng(_SEED).standard_normal((rows, dimension), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


# -- flush windows -----------------------------------------------------------------------------


@dataclass
class Watch:
    """Looks every ``look`` seconds at when the files of the vector segments in ``folder`` were
    last changed."""

    folder: Path
    look: float = _LOOK_SECONDS
    _changes: list[tuple[float, bool]] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def end(self) -> list[tuple[float, float]]:
        """The windows, as (start, end) in seconds."""
        self._over.set()
        self._thread.join()
        return grouped(sorted(self._changes))

    def _look(self) -> None:
        seen: dict[str, int] = {}
        while not self._over.wait(self.look):
            times = self._times()
            # Written at the end of each flush: what was before the first only made empty files.
            flushed = any(Path(name).name == "index_metadata.pickle" for name, _ in times)
            for name, changed in times:
                if seen.get(name) != changed:
                    seen[name] = changed
                    self._changes.append((changed / 1e9, flushed))

    def _times(self) -> list[tuple[str, int]]:
        found = []
        for place in os.scandir(self.folder):
            if not place.is_dir():
                continue
            for each in os.scandir(place.path):
                try:
                    found.append((each.path, each.stat().st_mtime_ns))
                except FileNotFoundError:
                    continue
        return found


def grouped(changes: Sequence[tuple[float, bool]]) -> list[tuple[float, float]]:
    """Changes that are close together, as (first, last); only groups that have a flush."""
    windows: list[tuple[float, float, bool]] = []
    for at, flushed in changes:
        if windows and at - windows[-1][1] <= _APART:
            windows[-1] = windows[-1][0], at, windows[-1][2] or flushed
        else:
            windows.append((at, at, flushed))
    return [(first, last) for first, last, flushed in windows if flushed]


if __name__ == "__main__":
    main()
