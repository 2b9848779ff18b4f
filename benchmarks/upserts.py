"""Upserts through the whole service beside upserts into bare Chroma, on the same rows.

Either is measured until its index has everything, and is new each time. Bare Chroma is a process of
its own with one client and Chroma's own settings; it puts its rows into the graph while it is told
them, and is asked to count and to search at the end so that nothing is left for later.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.vectors import batches, crowd
from tests.support.service import RealService, wait_for
from thoth_core import Thoth

BATCH = 500
#: Seconds without any work after which a process has nothing to do.
IDLE = 0.1


def measure(rows: int, dimension: int, rounds: int) -> dict[str, Any]:
    """Both in turns, ``rounds`` times."""
    bare, service = [], []
    for _ in range(rounds):
        bare.append(_bare_elsewhere(rows, dimension))
        service.append(through_service(rows, dimension))
    bare_rate = statistics.median(each["rows_s"] for each in bare)
    rate = statistics.median(each["rows_s"] for each in service)
    return {
        "rows": rows,
        "dimension": dimension,
        "batch": BATCH,
        "bare_rows_s": [each["rows_s"] for each in bare],
        "service_rows_s": [each["rows_s"] for each in service],
        "acknowledged_rows_s": [each["acknowledged_rows_s"] for each in service],
        "bare_median": bare_rate,
        "service_median": rate,
        "ratio": rate / bare_rate,
        "bare_cpu_ms": statistics.median(each["cpu_ms"] for each in bare),
        "index_cpu_ms": statistics.median(each["index_cpu_ms"] for each in service),
        "store_cpu_ms": statistics.median(each["store_cpu_ms"] for each in service),
        "ledger_bytes_per_chunk": service[-1]["ledger_bytes_per_chunk"],
        "index_bytes_per_chunk": service[-1]["index_bytes_per_chunk"],
    }


def through_service(rows: int, dimension: int) -> dict[str, float]:
    vectors = crowd(rows, dimension)
    service = RealService.make(f"fake/{dimension}", THOTH_EMBED_WORKERS="1")
    try:
        service.start()
        with service.client() as client:
            index, store = healthy(client), service.pid("store")
            before = _cpu(index), _cpu(store)
            started = time.perf_counter()
            for batch in batches(vectors, BATCH):
                client.upsert(batch.ids, batch.vectors, batch.texts, batch.metadatas)
            acknowledged = time.perf_counter() - started
            wait_for_index(service, index, rows)
            indexed = time.perf_counter() - IDLE - started
            after = _cpu(index), _cpu(store)
            healthy(client)
            assert client.count() == rows
            sizes = client.stats()
    finally:
        service.close()
    return {
        "rows_s": rows / indexed,
        "acknowledged_rows_s": rows / acknowledged,
        "index_cpu_ms": 1000 * (after[0] - before[0]) / rows,
        "store_cpu_ms": 1000 * (after[1] - before[1]) / rows,
        "ledger_bytes_per_chunk": sizes["ledger_bytes_per_chunk"],
        "index_bytes_per_chunk": sizes["index_bytes_per_chunk"],
    }


def healthy(client: Thoth, seconds: float = 120) -> int:
    """Wait until the index has everything; the pid of its process."""

    def there() -> int | None:
        store = client.status()["store"]
        good = store["index_state"] == "healthy" and not store["index"]["pending"]
        return store["index"]["pid"] if good else None

    return int(wait_for(there, seconds, "the index is healthy") or 0)


def wait_for_index(service: RealService, pid: int, rows: int) -> None:
    """Until the index has ``rows`` and its process is idle; ``status`` is a second old."""
    path = service.root / "db" / "thoth" / "chroma" / "chroma.sqlite3"
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:

        def has_all() -> bool:
            return bool(db.execute("SELECT count(*) FROM embeddings").fetchone()[0] == rows)

        wait_for(has_all, 600, f"the index has {rows} rows")
    used, since = _cpu(pid), time.perf_counter()
    while time.perf_counter() - since < IDLE:
        time.sleep(0.01)
        now = _cpu(pid)
        if now != used:
            used, since = now, time.perf_counter()


def _cpu(pid: int) -> float:
    """Seconds of a core that a process has used, in steps of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _bare_elsewhere(rows: int, dimension: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.upserts", str(rows), str(dimension)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def bare(rows: int, dimension: int) -> dict[str, float]:
    """Rows a second into bare Chroma, and CPU time a row."""
    import chromadb
    from chromadb.config import Settings

    vectors = crowd(rows, dimension)
    with tempfile.TemporaryDirectory(prefix="thoth-bare-") as folder:
        settings = Settings(anonymized_telemetry=False)
        client: Any = chromadb.PersistentClient(path=folder, settings=settings)
        handle = client.create_collection(
            "notes", configuration={"hnsw": {"space": "cosine"}}, embedding_function=None
        )
        started, used = time.perf_counter(), time.process_time()
        for batch in batches(vectors, BATCH):
            handle.upsert(
                ids=batch.ids,
                embeddings=batch.vectors,
                documents=batch.texts,
                metadatas=batch.metadatas,
            )
        assert handle.count() == rows
        handle.query(query_embeddings=vectors[:1], n_results=10, include=[])
        took, used = time.perf_counter() - started, time.process_time() - used
        client.close()
    return {"rows_s": rows / took, "cpu_ms": 1000 * used / rows}


if __name__ == "__main__":
    os.environ.setdefault("ANONYMIZED_TELEMETRY", "False")
    print(json.dumps(bare(int(sys.argv[1]), int(sys.argv[2]))))
