"""How long the ledger takes to find the chunks that a pattern for sources means.

    python -m benchmarks.sources

100,000 chunks of 50,000 sources in 100 folders. CPU time, the least of several.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.alone import run_alone
from store_worker.ledger import Ledger
from store_worker.ledger_sources import Narrow, rows_within
from thoth_core.source_globs import compile_globs

_TIMES = 5
_GLOBS = ("/home/me/docs/part07/**", "**/file77.md", "**/*.pdf", "**/*.md")


def source_of(row: int) -> str:
    """Two chunks each, in one of a hundred folders."""
    return f"/home/me/docs/part{row // 2 % 100:02}/file{row // 2}.md"


def measure(quick: bool) -> dict[str, Any]:
    count = 4_000 if quick else 100_000
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger.open(Path(folder) / "ledger.sqlite3", "benchmark")
        with ledger.transaction():
            ledger.db.execute("INSERT INTO collections (id, name, number) VALUES (1, 'notes', 1)")
            ledger.db.executemany(
                "INSERT INTO chunks (collection, id, number, computed, source, vector)"
                " VALUES (1, ?, 1, 1, ?, x'')",
                [(f"id-{row}", source_of(row)) for row in range(count)],
            )
        found = []
        for glob in _GLOBS:
            narrow, times = Narrow(compile_globs([glob]), None), []
            for _ in range(_TIMES):
                start = time.process_time()
                rows = rows_within(ledger, 1, narrow)
                times.append(time.process_time() - start)
            found.append([glob, len(rows), min(times) * 1000])
        ledger.close()
    return {"chunks": count, "patterns": found}


def show(found: dict[str, Any]) -> None:
    print(f"{found['chunks']:,} chunks, two of each source; milliseconds of CPU")
    for glob, rows, least in found["patterns"]:
        print(f"{glob:<28}{least:8.1f} for {rows:,} chunks")


if __name__ == "__main__":
    run_alone(__doc__, measure, show)
