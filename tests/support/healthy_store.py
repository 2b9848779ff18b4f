"""A store of chunks of real texts to damage, and what a healthy one answers.

Run as a program it is a stock Chroma client, which may crash as it likes:
``healthy_store.py flush|look|write DIR FILE``.
"""

from __future__ import annotations

import gc
import hashlib
import json
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np
import numpy.typing as npt

DIMENSION, QUERIES, K = 384, 40, 5
COLLECTION = "topics"
#: Rows that the index has only in Chroma's log, in the one of the two stores that has such rows.
PENDING = 300
_CENTRES = 50
#: A damaged index makes Chroma write files of a hundred gigabytes; no file may pass this.
MAX_FILE = 256 * 1024 * 1024
#: What the ids of other rows than those of the content begin with.
_MORE = "more-"
#: Rows that :func:`stock_write` writes each time, and after how many Chroma flushes its index.
_WRITTEN, _FLUSHED_AFTER = 1500, 1000

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Content:
    """The chunks: row n has the id ``ids[n]``, and so on. ``nearest`` are, for each of ``queries``,
    the ``K`` nearest ids by an exact scan, best first."""

    ids: list[str]
    texts: list[str]
    metadatas: list[dict[str, Any]]
    vectors: Vectors
    queries: Vectors
    nearest: list[list[str]]


def content(rows: int) -> Content:
    """``rows`` chunks, the same at every call."""
    texts, metadatas = [], []
    for name, text in sorted(topics.items()):
        for start in range(0, len(text), 90):
            texts.append(f"{name} {start}: {text[start : start + 160]}")
            metadatas.append({"topic": name, "start": start})
    del texts[rows:], metadatas[rows:]
    assert len(texts) == rows
    rng = np.random.default_rng(7)
    centres = rng.normal(size=(_CENTRES, DIMENSION))
    vectors = centres[rng.integers(_CENTRES, size=rows)] + rng.normal(size=(rows, DIMENSION))
    vectors = _unit(vectors)
    queries = _unit(vectors[rng.choice(rows, QUERIES)] + 0.01 * rng.normal(size=(1, DIMENSION)))
    ids = [hashlib.sha256(text.encode()).hexdigest()[:32] for text in texts]
    order = np.argsort(-(queries @ vectors.T), axis=1)[:, :K]
    nearest = [[ids[row] for row in best] for best in order]
    return Content(ids, texts, metadatas, vectors, queries, nearest)


def _unit(rows: npt.NDArray[Any]) -> Vectors:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@dataclass(frozen=True)
class Unflushed:
    """How many rows of Chroma's log its index on disk lacks, and has."""

    pending: int
    flushed: int


def unflushed(chroma: Path) -> Unflushed:
    """By Chroma's own book; nobody may have it open."""
    db = sqlite3.connect(chroma / "chroma.sqlite3")
    try:
        last = db.execute("SELECT coalesce(max(seq_id), 0) FROM embeddings_queue").fetchone()[0]
        had = db.execute(
            "SELECT coalesce(max(m.seq_id), 0) FROM max_seq_id m"
            " JOIN segments s ON s.id = m.segment_id WHERE s.scope = 'VECTOR'"
        ).fetchone()[0]
    finally:
        db.close()
    return Unflushed(max(0, int(last) - int(had)), int(had))


def ledger_digest(data_dir: Path) -> str:
    """Of every chunk with its vector, in order. The ledger is opened and closed again."""
    db = sqlite3.connect(data_dir / "ledger.sqlite3")
    try:
        rows = db.execute("SELECT id, text, metadata, vector, computed FROM chunks ORDER BY row")
        digest = hashlib.sha256()
        for row in rows:
            digest.update(repr(row).encode())
        return digest.hexdigest()
    finally:
        db.close()


# -- the stock client ---------------------------------------------------------------------------


def stock_look(chroma: Path, told: Path) -> str:
    """Empty if a stock client finds everything in ``chroma`` as it is in ``told``, a file of
    :func:`save`; else what it did not find, what it raised, or the signal that ended it."""
    return _outcome(_program("look", chroma, told))


def stock_write(chroma: Path, told: Path) -> str:
    """The same after that client has written, twice, as much as makes Chroma flush its index: some
    damages do nothing before. What they do then is a matter of what is in memory that hnswlib never
    set: a crash, link lists without end, or none."""
    for _ in range(2):
        wrong = _outcome(_program("write", chroma, told))
        if wrong:
            return wrong
    for links in chroma.glob("*/link_lists.bin"):
        size, rows = links.stat().st_size, links.with_name("length.bin").stat().st_size // 4
        # Four bytes for each, and 68 more for one in sixteen.
        if not 7.5 * rows < size < 20 * rows:
            return f"link_lists.bin has {size:,} bytes for {rows:,} rows"
    return stock_look(chroma, told)


def stock_flush(chroma: Path, told: Path) -> None:
    """Have Chroma write its index files, with everything that is in its log."""
    assert _outcome(_program("flush", chroma, told)) == ""


def _outcome(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode < 0:
        return f"ended by {signal.Signals(-done.returncode).name}"
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["failed"])[-1][:300]
    return done.stdout.strip()


def save(all_of_it: Content, path: Path) -> None:
    """For the stock client, which is another process."""
    np.savez(
        path,
        vectors=all_of_it.vectors,
        words=json.dumps([all_of_it.ids, all_of_it.texts, all_of_it.metadatas]),
    )


def _program(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", __file__, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=60,
    )


def _opened(chroma: str) -> tuple[Any, Any]:
    import chromadb
    from chromadb.config import Settings

    client = chromadb.PersistentClient(chroma, settings=Settings(anonymized_telemetry=False))
    return client, client.get_collection(COLLECTION, embedding_function=None)


def _reopened(chroma: str, sync_threshold: int) -> tuple[Any, Any, int]:
    """With another threshold, and the one that it had: Chroma reads it when it opens."""
    client, handle = _opened(chroma)
    before = int(handle.configuration_json["hnsw"]["sync_threshold"])
    # A read before all else: if the first call is a write, Chroma 1.5.9 takes the rows of its log
    # into the graph once more.
    handle.count()
    handle.modify(configuration={"hnsw": {"sync_threshold": sync_threshold}})
    client.close()
    return *_opened(chroma), before


def _flush(chroma: str, told: str) -> None:
    client, handle, before = _reopened(chroma, 100)
    ids, texts, metadatas, vectors = _load(told)
    there, part = handle.count(), slice(0, 100)
    handle.upsert(
        ids=ids[part],
        embeddings=vectors[part],
        documents=texts[part],
        metadatas=metadatas[part],
    )
    handle.query(query_embeddings=vectors[:1], n_results=1)
    assert handle.count() == there
    handle.modify(configuration={"hnsw": {"sync_threshold": before}})
    client.close()


def _write(chroma: str, told: str) -> None:
    client, handle, _ = _reopened(chroma, _FLUSHED_AFTER)
    there = handle.count()
    vectors = _unit(np.random.default_rng(there).normal(size=(_WRITTEN, DIMENSION)))
    for start in range(0, _WRITTEN, 500):
        ids = [f"{_MORE}{there + row}" for row in range(start, start + 500)]
        handle.upsert(ids=ids, embeddings=vectors[start : start + 500])
    client.close()


def _look(chroma: str, told: str) -> None:
    client, handle = _opened(chroma)
    ids, texts, metadatas, vectors = _load(told)
    wrong = []
    got = handle.get(include=["documents", "metadatas", "embeddings"])
    if (count := handle.count()) != len(got["ids"]):
        wrong.append(f"it counts {count}")
    rows = zip(got["ids"], got["documents"], got["metadatas"], strict=True)
    found = {id: (text, data) for id, text, data in rows if not id.startswith(_MORE)}
    if found != dict(zip(ids, zip(texts, metadatas, strict=True), strict=True)):
        wrong.append(f"{len(found)} rows, and not the right ones")
    stored = dict(zip(got["ids"], got["embeddings"], strict=True))
    mine = zip(ids, vectors, strict=True)
    far = sum(id in stored and not np.allclose(stored[id], own, atol=1e-5) for id, own in mine)
    if far:
        wrong.append(f"{far} have another vector")
    missed = 0
    for start in range(0, len(ids), 500):
        part = slice(start, start + 500)
        hits = handle.query(query_embeddings=vectors[part], n_results=1, include=[])["ids"]
        missed += _missed(ids[part], hits)
    # An approximate index may miss one in a thousand.
    if missed > len(ids) // 1000:
        wrong.append(f"{missed} are not found by their own vectors")
    print("; ".join(wrong), flush=True)
    client.close()


def _missed(ids: Sequence[str], hits: Sequence[Sequence[str]]) -> int:
    return sum(list(each) != [id] for id, each in zip(ids, hits, strict=True))


def _load(told: str) -> tuple[list[str], list[str], list[dict[str, Any]], Vectors]:
    with np.load(told) as file:
        ids, texts, metadatas = json.loads(str(file["words"]))
        return ids, texts, metadatas, file["vectors"]


if __name__ == "__main__":
    _, _what, _chroma, _told = sys.argv
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_FILE, MAX_FILE))
    # It ends soon, and an import leaves nothing to collect: a tenth of a second of a core.
    gc.disable()
    {"flush": _flush, "look": _look, "write": _write}[_what](_chroma, _told)
