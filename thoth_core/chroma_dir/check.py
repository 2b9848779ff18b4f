"""Looks a Chroma directory over before native code opens it: what is damaged, and where.

hnswlib and Chroma believe their files. This finds, in pure Python, what would crash them, and what
they would miss without a word. It never writes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from thoth_core.chroma_dir import database, graph, hnsw_files, id_map
from thoth_core.chroma_dir.catalog import DELETE, Catalog, Collection
from thoth_core.chroma_dir.files import Damaged, segment_folder
from thoth_core.chroma_dir.hnsw_files import Segment

#: How long SQLite may look for damage in its own pages: about a gigabyte from a disk.
QUICK_CHECK_SECONDS = 10.0
#: Chroma's vectors of a cosine space have unit length in single precision.
_UNIT_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class Finding:
    """Something damaged. ``collection`` is its name, or "" if it concerns all; ``file`` is the path
    inside the directory; ``reason`` is a clause that goes on after the file's name."""

    collection: str
    file: str
    reason: str

    def __str__(self) -> str:
        place = f"collection {self.collection!r}: " if self.collection else ""
        return f"{place}{self.file} {self.reason}"


def check(
    chroma_dir: Path, *, ours: bool = False, seconds: float = QUICK_CHECK_SECONDS
) -> list[Finding]:
    """What is damaged in a Chroma directory; nothing, if it is healthy or does not exist yet.

    ``ours``: nobody else has the directory open, so that SQLite may roll back in place what a dead
    process had begun, as Chroma would; otherwise the database is copied for that. ``seconds`` bound
    how long SQLite looks at its own pages; what it did not come to counts as healthy. Raises
    ``OSError`` if a copy is needed and cannot be made, ``TimeoutError`` if another program holds
    the database.
    """
    if not chroma_dir.is_dir():
        return []
    if not (chroma_dir / database.NAME).exists():
        left = [each for each in chroma_dir.iterdir() if (each / hnsw_files.HEADER).exists()]
        return [Finding("", database.NAME, "is missing")] if left else []
    try:
        with database.opened(chroma_dir, ours=ours) as db:
            return list(_database(db, seconds)) or list(_collections(db, chroma_dir))
    except Damaged as problem:
        return [Finding("", problem.file, problem.reason)]
    except sqlite3.OperationalError as problem:
        if problem.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise TimeoutError(f"{database.NAME} is locked by another program") from problem
        return [Finding("", database.NAME, f"cannot be read: {problem}")]
    except sqlite3.DatabaseError as problem:
        return [Finding("", database.NAME, f"cannot be read: {problem}")]


def _database(db: sqlite3.Connection, seconds: float) -> Iterator[Finding]:
    missing = database.missing_tables(db)
    if missing:
        yield Finding("", database.NAME, f"has no table {', '.join(missing)}")
        return
    wrong = database.quick_check(db, seconds)
    if wrong is not None:
        yield Finding("", database.NAME, f"has garbled pages: {wrong}")


def _collections(db: sqlite3.Connection, chroma_dir: Path) -> Iterator[Finding]:
    catalog = Catalog(db)
    for collection in catalog.collections():
        for file, reason in _collection(catalog, collection, chroma_dir):
            yield Finding(collection.name, file, reason)


def _collection(
    catalog: Catalog, collection: Collection, chroma_dir: Path
) -> Iterator[tuple[str, str]]:
    if collection.vector_segment is None or collection.metadata_segment is None:
        yield database.NAME, "has lost one of its segments"
        return
    folder = segment_folder(chroma_dir, collection.vector_segment)
    if folder is None:
        yield database.NAME, "has a segment whose name is none of Chroma's"
        return
    if not folder.is_dir():
        if collection.flushed:
            yield f"{folder.name}/", "is missing"
        return
    try:
        segment = _segment(folder, collection)
        if segment is not None:
            wrong = list(problems(segment, collection))
            for each in wrong:
                yield f"{folder.name}/{each.file}", each.reason
            if wrong:
                return
    except Damaged as problem:
        yield f"{folder.name}/{problem.file}", problem.reason
        return
    lost = _without_vector(catalog, collection, segment)
    if lost:
        yield database.NAME, f"has {lost:,} rows whose vectors are nowhere"


def _segment(folder: Path, collection: Collection) -> Segment | None:
    """What is in ``folder``; None if Chroma will take it for new and nothing is lost by that."""
    if not (folder / hnsw_files.HEADER).exists() and not collection.flushed:
        return None
    header = hnsw_files.read_header(folder)
    ids = hnsw_files.read_ids(folder, header.count)
    if ids is None:
        if header.count or collection.flushed:
            raise Damaged(id_map.NAME, "is missing, although the index was written")
        return None
    # Of an empty map Chroma makes an empty index, whatever the other files have.
    return hnsw_files.read(folder, ids) if ids.labels else None


def problems(segment: Segment, collection: Collection) -> Iterator[Damaged]:
    """What is wrong with the graph and the vectors of a segment that could be read."""
    if collection.dimension is not None and segment.dimension != collection.dimension:
        yield Damaged(
            hnsw_files.HEADER,
            f"is of dimension {segment.dimension}, the collection of {collection.dimension}",
        )
        return
    found = list(graph.problems(segment))
    yield from found
    if found:
        return
    lost, live = graph.lost(segment)
    if lost > graph.allowed(live):
        yield Damaged(
            hnsw_files.LEVEL0, f"has {lost:,} of {live:,} vectors where no search comes to them"
        )
    yield from _vectors(segment, collection)


def _vectors(segment: Segment, collection: Collection) -> Iterator[Damaged]:
    wrong = 0
    for start, block in segment.blocks():
        square = np.einsum("ij,ij->i", block, block)
        bad = ~np.isfinite(square)
        if bad.any():
            # Large numbers may only have been too large to square.
            bad[bad] = ~np.isfinite(block[bad]).all(axis=1)
        if collection.space == "cosine":
            lengths = segment.lengths[start : start + len(block)]
            off = np.abs(np.sqrt(square) - 1) > _UNIT_TOLERANCE
            bad |= off & ~((square == 0) & (lengths == 0))
        wrong += int((bad & ~segment.deleted[start : start + len(block)]).sum())
    if wrong:
        yield Damaged(hnsw_files.LEVEL0, f"has {wrong:,} garbled vectors")
    if collection.space == "cosine":
        lengths = segment.lengths[~segment.deleted]
        bad = ~(np.isfinite(lengths) & (lengths >= 0))
        if bad.any():
            yield Damaged(hnsw_files.LENGTH, f"has {int(bad.sum()):,} impossible lengths")


def _without_vector(catalog: Catalog, collection: Collection, segment: Segment | None) -> int:
    """How many rows have no vector, neither in the index nor in the log."""
    ids = segment.ids.labels.keys() if segment is not None and segment.ids is not None else set()
    lost = set(catalog.ids(collection)).difference(ids)
    if lost:
        for entry in catalog.log(collection):
            if entry.operation != DELETE and entry.vector is not None:
                lost.discard(entry.id)
    return len(lost)
