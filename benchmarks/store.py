"""The store in figures, beside bare Chroma on the same rows in the same run.

    python -m benchmarks.store                 # ten minutes and 5 GB of disk
    python -m benchmarks.store --quick         # a minute, to see that it works

Every part has services or processes of its own, and leaves nothing behind.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import large, upserts


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--upserts", type=int, default=20_000, help="rows beside bare Chroma")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--large", type=int, default=100_000, help="rows of the large store")
    parser.add_argument("--seconds", type=float, default=20.0, help="of searches under load")
    parser.add_argument("--scan", type=int, action="append", help="default: 100000 and 1000000")
    parser.add_argument("--quick", action="store_true", help="all of it small")
    parser.add_argument("--part", choices=("upserts", "large", "scan"), action="append")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    options = parser.parse_args()
    if options.quick:
        options.upserts, options.rounds, options.large = 2000, 1, 3000
        options.seconds, options.scan = 3.0, [10_000]
    parts = options.part or ["upserts", "large", "scan"]
    found: dict[str, Any] = {"machine": machine()}
    print(f"on {found['machine']}\n", flush=True)
    if "upserts" in parts:
        found["upserts"] = upserts.measure(options.upserts, options.dimension, options.rounds)
        print_upserts(found["upserts"])
    if "large" in parts:
        found["large"] = large.measure(options.large, options.dimension, options.seconds)
        print_large(found["large"])
    if "scan" in parts:
        found["scan"] = scanned(options.scan or [100_000, 1_000_000], options.dimension)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


def scanned(sizes: list[int], dimension: int) -> list[dict[str, Any]]:
    """Each size in a process of its own, so that its memory is its own."""
    found = []
    for rows in sizes:
        with tempfile.TemporaryDirectory() as folder:
            told = Path(folder) / "told.json"
            command = [sys.executable, "-m", "benchmarks.scan", "--rows", str(rows)]
            command += ["--dimension", str(dimension), "--json", str(told)]
            subprocess.run(command, check=True)
            found += json.loads(told.read_text())
    return found


def machine() -> str:
    import chromadb

    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GiB of memory, load {load} before it;"
        f" {platform.system()} {platform.release()}, Python {platform.python_version()},"
        f" Chroma {chromadb.__version__}; {time.strftime('%Y-%m-%d')}"
    )


# -- the table ---------------------------------------------------------------------------------


def print_upserts(found: Mapping[str, Any]) -> None:
    def rates(name: str) -> str:
        return ", ".join(f"{each:,.0f}" for each in found[name])

    line(f"upserts of {found['rows']:,} rows by {found['batch']}, rows/s", "")
    line("  bare Chroma", f"{found['bare_median']:,.0f} ({rates('bare_rows_s')})")
    line("  the service, indexed", f"{found['service_median']:,.0f} ({rates('service_rows_s')})")
    line("  the service, acknowledged", rates("acknowledged_rows_s"))
    line("  indexed beside bare", f"{found['ratio']:.2f}")
    line(
        "  CPU, ms a row",
        f"bare Chroma {found['bare_cpu_ms']:.2f}; index process {found['index_cpu_ms']:.2f},"
        f" store {found['store_cpu_ms']:.2f}",
    )
    print_sizes(found)


def print_large(found: Mapping[str, Any]) -> None:
    line(f"a store of {found['rows']:,} chunks", "")
    line("  rebuild of its index, rows/s", f"{found['rebuild_rows_s']:,.0f}")
    line(
        "  flushes meanwhile",
        f"{found['rebuild_flushes']}, the longest {found['rebuild_flush_longest_s']:.2f} s,"
        f" {100 * found['rebuild_flush_share']:.1f} % of the time",
    )
    line("  thoth verify, s", f"{found['verify_s']:.2f}")
    line("  from start to a healthy index, s", f"{found['start_to_healthy_s']:.1f}")
    line("  upserts while it is searched, rows/s", f"{found['upsert_rows_s_under_search']:,.0f}")
    for name, what in (
        ("search_quiet", "a search, nothing else"),
        ("search_while_rebuilt", "a search while it is rebuilt"),
        ("search_under_load", "a search under upserts"),
        ("search_in_flushes", "the same, in flushes"),
    ):
        each = found[name]
        if each:
            line(
                f"  {what}, ms",
                f"p50 {each['p50_ms']:.1f}, p99 {each['p99_ms']:.0f}, longest"
                f" {each['longest_ms']:.0f} of {each['searches']}",
            )
    print_sizes(found)


def print_sizes(found: Mapping[str, Any]) -> None:
    ledger, index = found["ledger_bytes_per_chunk"], found["index_bytes_per_chunk"]
    line("  bytes a chunk, ledger and index", f"{ledger:,} and {index:,}")


def line(what: str, value: str) -> None:
    print(f"{what:<46} {value}".rstrip(), flush=True)


if __name__ == "__main__":
    main()
