"""Chroma without Thoth, in a process of its own: it makes the directories that tests damage, and
says what it still finds in them. It may crash there as it likes.

Run as a program: ``stock_chroma.py build|probe|grow DIR JSON``.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

#: Flushes come often, so that small stores have been flushed and have rows in the log besides.
SYNC_THRESHOLD = 1000
BATCH = 250
#: A damaged index makes Chroma write files of a hundred gigabytes; no file in a test may pass this.
_MAX_FILE = 256 * 1024 * 1024


@dataclass(frozen=True)
class Made:
    """A collection: ids ``c-0`` to ``c-<rows - 1>`` with text and metadata, of which ``pending``
    are written last, without a flush. Then ``updated`` rows get other vectors and ``deleted`` ones
    are deleted, counted from the first."""

    name: str
    rows: int = 5000
    dimension: int = 32
    space: str = "cosine"
    pending: int = 0
    updated: int = 0
    deleted: int = 0
    seed: int = 1

    def vectors(self) -> Any:
        """As they were given to Chroma before any update, (rows, dimension)."""
        rng = np.random.default_rng(self.seed)
        centres = rng.standard_normal((20, self.dimension))
        own = rng.standard_normal((self.rows, self.dimension))
        return (own + 2 * centres[np.arange(self.rows) % 20]).astype(np.float32)

    def ids(self) -> list[str]:
        return [f"c-{i}" for i in range(self.rows)]

    def text(self, row: int) -> str:
        return f"row {row} of {self.name}: the ferry leaves at {row % 24} o'clock"

    def metadata(self, row: int) -> dict[str, Any]:
        return {"row": row, "half": row / 2, "even": row % 2 == 0, "group": f"g{row % 7}"}


@dataclass(frozen=True)
class Seen:
    """What stock Chroma said about a collection: how many rows it has, and of the probed ones how
    many were found by their own vector."""

    count: int
    probed: int
    found: int


@dataclass(frozen=True)
class Outcome:
    """Of a probe: ``ended`` is "" or how the process ended, ``error`` what Chroma raised."""

    ended: str
    error: str
    seen: dict[str, Seen] = field(default_factory=dict)

    @property
    def well(self) -> bool:
        """Whether everything that was looked for was found."""
        return bool(self.seen) and not self.ended and not self.error and self.share >= 0.99

    @property
    def share(self) -> float:
        probed = sum(each.probed for each in self.seen.values())
        return sum(each.found for each in self.seen.values()) / max(probed, 1)

    def __str__(self) -> str:
        return self.ended or self.error or f"finds {self.share:.0%}"


def build(path: Path, *collections: Made) -> None:
    """Make a Chroma directory as its users do, in a process that has ended when this returns."""
    _child("build", path, [asdict(each) for each in collections]).check_returncode()


def probe(path: Path, *collections: Made, every: int = 25) -> Outcome:
    """What stock Chroma finds in ``path``, which it may change."""
    done = _child("probe", path, {"every": every, "made": [asdict(each) for each in collections]})
    failure = _failure(done)
    if failure is not None:
        return failure
    seen = {name: Seen(**each) for name, each in json.loads(done.stdout).items()}
    return Outcome("", "", seen)


def grow(path: Path, made: Made, rows: int = 1500) -> Outcome:
    """Write that many further rows, so that Chroma flushes its index, open it anew and write as
    many again, and :func:`probe` then."""
    for turn in (1, 2):
        failure = _failure(_child("grow", path, {"rows": rows, "turn": turn, "of": asdict(made)}))
        if failure is not None:
            return failure
    for links in path.glob("*/link_lists.bin"):
        size = links.stat().st_size
        elements = links.with_name("length.bin").stat().st_size // 4
        # Four bytes for each, and 68 more on average for one in fifteen.
        if elements > 5000 and not 7.5 * elements < size < 9.5 * elements:
            return Outcome("", f"link_lists.bin has {size:,} bytes for {elements:,} rows")
    return probe(path, made)


def _failure(done: subprocess.CompletedProcess[str]) -> Outcome | None:
    if done.returncode < 0:
        return Outcome(signal.Signals(-done.returncode).name, "")
    if done.returncode:
        return Outcome("", done.stderr.strip().splitlines()[-1][:300])
    return None


def _child(what: str, path: Path, told: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", __file__, what, str(path), json.dumps(told)],
        capture_output=True,
        text=True,
        timeout=110,
    )


def _open(path: str) -> Any:
    import gc
    import resource

    # It ends soon, and an import leaves nothing to collect: a tenth of a second of a core.
    gc.disable()
    import chromadb
    from chromadb.config import Settings

    resource.setrlimit(resource.RLIMIT_FSIZE, (_MAX_FILE, _MAX_FILE))
    return chromadb.PersistentClient(path, settings=Settings(anonymized_telemetry=False))


def _build(path: str, told: list[dict[str, Any]]) -> None:
    client = _open(path)
    for each in told:
        made = Made(**each)
        handle = client.create_collection(
            made.name,
            metadata={"made": "by stock Chroma"},
            configuration={"hnsw": {"space": made.space, "sync_threshold": SYNC_THRESHOLD}},
            embedding_function=None,
        )
        vectors, ids = made.vectors(), made.ids()
        first = made.rows - made.pending
        _write(handle, made, 0, first)
        if made.updated:
            handle.update(ids=ids[: made.updated], embeddings=vectors[: made.updated] + 1)
        if made.deleted:
            handle.delete(ids=ids[: made.deleted])
        _write(handle, made, first, made.rows)
    client.close()


def _write(handle: Any, made: Made, first: int, end: int) -> None:
    vectors, ids = made.vectors(), made.ids()
    for start in range(first, end, BATCH):
        rows = range(start, min(start + BATCH, end))
        handle.upsert(
            ids=[ids[row] for row in rows],
            embeddings=vectors[rows.start : rows.stop],
            documents=[made.text(row) for row in rows],
            metadatas=[made.metadata(row) for row in rows],
        )


def _probe(path: str, told: dict[str, Any]) -> dict[str, Any]:
    client = _open(path)
    seen = {}
    for each in told["made"]:
        made = Made(**each)
        handle = client.get_collection(made.name, embedding_function=None)
        count = handle.count()
        rows = [r for r in range(0, made.rows, told["every"]) if r >= made.deleted]
        vectors = made.vectors()
        vectors[: made.updated] += 1
        found = 0
        for start in range(0, len(rows), 50):
            part = rows[start : start + 50]
            hits = handle.query(
                query_embeddings=vectors[part], n_results=1, include=["embeddings", "documents"]
            )
            for place, row in enumerate(part):
                found += (
                    hits["ids"][place] == [f"c-{row}"]
                    and hits["documents"][place] == [made.text(row)]
                    and np.allclose(hits["embeddings"][place][0], vectors[row], 1e-3)
                )
        seen[made.name] = {"count": count, "probed": len(rows), "found": int(found)}
    client.close()
    return seen


def _grow(path: str, told: dict[str, Any]) -> None:
    client = _open(path)
    rows, turn = told["rows"], told["turn"]
    made = Made(**told["of"])
    handle = client.get_collection(made.name, embedding_function=None)
    handle.count()
    more = Made(made.name, rows, made.dimension, seed=made.seed + turn)
    for start in range(0, more.rows, BATCH):
        part = slice(start, start + BATCH)
        ids = [f"more-{turn}-{id}" for id in more.ids()[part]]
        handle.upsert(ids=ids, embeddings=more.vectors()[part])
    client.close()


if __name__ == "__main__":
    _, _what, _path, _told = sys.argv
    _done = {"build": _build, "probe": _probe, "grow": _grow}[_what](_path, json.loads(_told))
    print(json.dumps(_done))
