"""Chroma alone, with one writer that is killed at random moments: after how many kills it is of no
use any more. And what a stock client finds in a directory, ours or its own.

Run as a program it is the writer, or the one who looks: ``plain.py write|look DIR …``. Both may
crash as they like; no file of theirs may grow without bounds.
"""

from __future__ import annotations

import json
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

BATCH, DIMENSION = 200, 32
NAME = "plain"
#: Of the rows that were acknowledged so many are looked for.
SAMPLE = 500
#: Bounds of a child: bytes of a file, bytes of memory, seconds.
_MAX_FILE, _MAX_MEMORY, _SECONDS = 512 * 1024**2, 12 * 1024**3, 60.0


@dataclass(frozen=True)
class End:
    """How a directory fared: ``kills`` it took, ``rows`` that were acknowledged, and what was wrong
    after the last (empty: nothing)."""

    kills: int
    rows: int
    wrong: str


def run(seed: int, kills: int, until: float) -> list[End]:
    """Kill the writer so many times in all, in a new directory whenever one is of no use."""
    chance, ends = random.Random(f"{seed}-plain"), []
    done = 0
    while done < kills and time.monotonic() < until:
        folder = Path(tempfile.mkdtemp(prefix="thoth-plain-", dir="/tmp"))
        try:
            end = _one(folder, chance, kills - done, until)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        ends.append(end)
        done += max(1, end.kills)
    return ends


def _one(folder: Path, chance: random.Random, most: int, until: float) -> End:
    rows = killed = 0
    while killed < most and time.monotonic() < until:
        rows = _write_until_killed(folder, rows, chance.uniform(0.05, 2.0))
        killed += 1
        ids = sorted(chance.sample(range(rows), min(SAMPLE, rows)))
        told = {"name": NAME, "ids": [_id(row) for row in ids], "rows": ids}
        wrong = look(folder, told)
        if wrong:
            return End(killed, rows, wrong)
    return End(killed, rows, "")


def _write_until_killed(folder: Path, first: int, seconds: float) -> int:
    """Have a writer go on from row ``first``, and kill it; the rows that were acknowledged."""
    writer = subprocess.Popen(
        [sys.executable, "-P", __file__, "write", str(folder), str(first)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert writer.stdout is not None
    with writer:
        # It has opened the directory, and writes.
        line = writer.stdout.readline()
        if line:
            time.sleep(seconds)
        writer.kill()
        said = [line, *writer.stdout]
    return max([first, *(int(each) for each in said if each.endswith("\n"))])


def look(folder: Path, told: dict[str, Any]) -> str:
    """Empty if a stock client finds all of ``ids`` of the collection ``name`` in ``folder``, each
    first by its own vector: of ``vectors``, or that of the row of the same place in ``rows``. Else
    what is wrong."""
    try:
        done = subprocess.run(
            [sys.executable, "-P", __file__, "look", str(folder)],
            input=json.dumps(told),
            capture_output=True,
            text=True,
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {_SECONDS:.0f} s"
    if done.returncode < 0:
        return f"ended by {signal.Signals(-done.returncode).name}"
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["failed"])[-1][:120]
    return done.stdout.strip()


# -- the children -------------------------------------------------------------------------------


def _id(row: int) -> str:
    return f"row-{row}"


def _vectors(start: int) -> Any:
    """Of the ``BATCH`` rows from ``start``."""
    return np.random.default_rng([7, start]).normal(size=(BATCH, DIMENSION)).astype(np.float32)


def _client(folder: str) -> Any:
    import chromadb
    from chromadb.config import Settings

    return chromadb.PersistentClient(folder, settings=Settings(anonymized_telemetry=False))


def _write(folder: str, first: str) -> None:
    handle = _client(folder).get_or_create_collection(
        NAME, configuration={"hnsw": {"space": "cosine"}}, embedding_function=None
    )
    start = int(first)
    while True:
        print(start, flush=True)
        rows = range(start, start + BATCH)
        handle.upsert(
            ids=[_id(row) for row in rows],
            embeddings=_vectors(start),
            documents=[f"the text of row {row}" for row in rows],
            metadatas=[{"row": row} for row in rows],
        )
        start += BATCH


def _look(folder: str) -> None:
    told = json.loads(sys.stdin.read())
    client = _client(folder)
    handle = client.get_collection(told["name"], embedding_function=None)
    ids, wrong = told["ids"], []
    handle.count()
    there = set(handle.get(ids=ids, include=[])["ids"]) if ids else set()
    if len(there) < len(ids):
        wrong.append(f"{len(ids) - len(there)} of {len(ids)} rows are not there")
    if "vectors" in told:
        vectors = np.array(told["vectors"], np.float32)
    else:
        rows = [(row - row % BATCH, row % BATCH) for row in told["rows"]]
        vectors = np.array([_vectors(start)[place] for start, place in rows])
    missed = 0
    for start in range(0, len(ids), 200):
        part = slice(start, start + 200)
        hits = handle.query(query_embeddings=vectors[part], n_results=1, include=[])["ids"]
        missed += sum(each != [id] for id, each in zip(ids[part], hits, strict=True))
    # It is approximate.
    if missed > max(2, len(ids) // 100):
        wrong.append(f"{missed} of {len(ids)} vectors are not found")
    print("; ".join(wrong), flush=True)
    client.close()


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_FSIZE, (_MAX_FILE, _MAX_FILE))
    resource.setrlimit(resource.RLIMIT_AS, (_MAX_MEMORY, _MAX_MEMORY))
    _, _what, *_words = sys.argv
    {"write": _write, "look": _look}[_what](*_words)
