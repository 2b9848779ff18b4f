"""Whether the graph of a segment holds together: what hnswlib follows without looking.

Pure: arrays in, reasons out.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from thoth_core.chroma_dir import hnsw_files, id_map
from thoth_core.chroma_dir.hnsw_files import Damaged, Segment
from thoth_core.vectors import Vectors

#: Healthy graphs of 5,000 to 100,000 elements, texts and random vectors, after updates of all and
#: deletions of a third, had up to 0.8 % of their distinct vectors out of reach.
_ALLOWED_SHARE = 0.05
_ALLOWED = 20

Flags = npt.NDArray[np.bool_]


def problems(segment: Segment) -> Iterator[Damaged]:
    """What is wrong with numbers that hnswlib uses as places in memory, and with the labels."""
    yield from _levels(segment)
    yield from _level0(segment)
    yield from _upper(segment)
    yield from _ids(segment)


def reachable(segment: Segment) -> Flags:
    """For each element whether any search can come to it, by links that :func:`problems` passed.

    A search goes down from the entry point over the lists above level 0, and spreads from wherever
    that ends.
    """
    head = segment.header
    reached = np.zeros(head.count, np.bool_)
    if head.entry_point is None:
        return reached
    reached[head.entry_point] = True
    upper = segment.links
    slots = np.arange(head.neighbours)
    for level in range(head.max_level, 0, -1):
        of_level = np.flatnonzero(upper.at_level == level)
        row_of = np.full(head.count, -1, np.int64)
        row_of[upper.owners[of_level]] = of_level
        frontier = np.flatnonzero(reached)
        while len(frontier):
            rows = row_of[frontier]
            rows = rows[rows >= 0]
            links = upper.links[rows][slots < upper.counts[rows, None]]
            frontier = _newly(reached, links)
    slots = np.arange(head.neighbours0)
    frontier = np.flatnonzero(reached)
    while len(frontier):
        used = slots < segment.counts0[frontier, None]
        frontier = _newly(reached, segment.neighbours0[frontier][used])
    return reached


def allowed(live: int) -> int:
    """How many of ``live`` elements a healthy graph may have out of reach."""
    return _ALLOWED + int(_ALLOWED_SHARE * live)


def lost(segment: Segment) -> tuple[int, int]:
    """How many live elements no search comes to, and how many are live.

    Among many equal vectors hnswlib leaves most without a link to them (4,906 of 5,000 equal ones,
    after updates): as long as one of them is found nothing is missed, so that only vectors none of
    which is in reach count, if there are more than a healthy graph may have.
    """
    live = ~segment.deleted
    reached = reachable(segment) & live
    missed = live & ~reached
    total, count = int(live.sum()), int(missed.sum())
    if count > allowed(total):
        prints = np.empty(segment.count, np.uint64)
        for start, block in segment.blocks():
            prints[start : start + len(block)] = _fingerprints(block)
        count = int((~np.isin(prints[missed], prints[reached])).sum())
    return count, total


def _fingerprints(vectors: Vectors) -> npt.NDArray[np.uint64]:
    """A number for each row, equal for equal rows and hardly ever otherwise."""
    words = np.ascontiguousarray(vectors).view("<u4").astype(np.uint64)
    random = np.random.default_rng(0)
    factors = random.integers(1, 2**63, words.shape[1], dtype=np.uint64) * np.uint64(2) + np.uint64(
        1
    )
    prints: npt.NDArray[np.uint64] = (words * factors).sum(axis=1, dtype=np.uint64)
    return prints


def _newly(reached: Flags, links: npt.NDArray[np.uint32]) -> npt.NDArray[np.int64]:
    fresh = np.zeros_like(reached)
    fresh[links] = True
    fresh &= ~reached
    reached |= fresh
    return np.flatnonzero(fresh)


def _levels(segment: Segment) -> Iterator[Damaged]:
    head = segment.header
    if head.entry_point is None:
        return
    top = int(segment.levels.max())
    if top != head.max_level:
        yield Damaged(
            hnsw_files.LINKS, f"has elements up to level {top}, the header says {head.max_level}"
        )
    elif segment.levels[head.entry_point] != head.max_level:
        yield Damaged(hnsw_files.HEADER, "gives an entry point that is not on the top level")


def _level0(segment: Segment) -> Iterator[Damaged]:
    head = segment.header
    many = segment.counts0 > head.neighbours0
    if many.any():
        yield Damaged(
            hnsw_files.LEVEL0,
            f"gives {_count(many)} more than {head.neighbours0} links at level 0",
        )
        return
    outside = segment.neighbours0 >= head.count
    if outside.any():
        # Only then, because slots past the count may hold anything.
        outside &= np.arange(head.neighbours0) < segment.counts0[:, None]
        wrong: Flags = np.logical_or.reduce(outside, axis=1)
        if wrong.any():
            yield Damaged(
                hnsw_files.LEVEL0, f"links {_count(wrong)} to elements that are not there"
            )


def _upper(segment: Segment) -> Iterator[Damaged]:
    head, links = segment.header, segment.links
    many = links.counts > head.neighbours
    if many.any():
        yield Damaged(
            hnsw_files.LINKS, f"has {int(many.sum()):,} lists of more than {head.neighbours} links"
        )
        return
    used = np.arange(head.neighbours) < links.counts[:, None]
    outside = used & (links.links >= head.count)
    if outside.any():
        yield Damaged(
            hnsw_files.LINKS,
            f"has {int(outside.any(axis=1).sum()):,} lists with links to elements that are not"
            " there",
        )
        return
    # What is on no such level has no list there, and hnswlib would read past its memory.
    levels = segment.levels[np.where(used, links.links, 0)]
    low = used & (levels < links.at_level[:, None])
    if low.any():
        yield Damaged(
            hnsw_files.LINKS,
            f"has {int(low.any(axis=1).sum()):,} lists with links to elements that are not on their"
            " level",
        )


def _ids(segment: Segment) -> Iterator[Damaged]:
    ids = segment.ids
    if ids is None:
        return
    ordered = np.sort(segment.labels)
    if len(ordered) and (ordered[1:] == ordered[:-1]).any():
        yield Damaged(hnsw_files.LEVEL0, "gives two elements the same label")
        return
    if ids.total != segment.count:
        yield Damaged(id_map.NAME, f"is of {ids.total:,} elements, the index has {segment.count:,}")
        return
    live = np.sort(segment.labels[~segment.deleted])
    mapped = np.sort(np.fromiter(ids.ids, np.uint64, len(ids.ids)))
    if not np.array_equal(live, mapped):
        lacking = len(np.setdiff1d(live, mapped)) + len(np.setdiff1d(mapped, live))
        yield Damaged(id_map.NAME, f"and the index differ in {lacking:,} labels")


def _count(rows: Flags) -> str:
    found = int(rows.sum())
    return "one element" if found == 1 else f"{found:,} elements"
