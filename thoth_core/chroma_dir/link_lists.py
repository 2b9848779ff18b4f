"""``link_lists.bin``: on which level each element is, and its links above level 0."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thoth_core.chroma_dir.files import Bytes, Damaged

Numbers = npt.NDArray[np.int64]

#: A list on some level above 0 is expected for one element in ``M - 1``. The file may hold this
#: many times as much, and a thousand lists besides.
_SLACK = 8
_SLACK_LISTS = 1000


@dataclass(frozen=True, slots=True)
class LinkLists:
    """``levels`` of all elements; and of each list its owner, its level, how many links it has and
    its slots (lists, M), of which those past the count mean nothing."""

    levels: npt.NDArray[np.int32]
    owners: Numbers
    at_level: Numbers
    counts: Numbers
    links: npt.NDArray[np.uint32]


def read(file: Bytes, count: int, neighbours: int, max_level: int) -> LinkLists:
    """Read the lists of ``count`` elements, of ``neighbours`` links at most. :class:`Damaged`."""
    list_bytes = 4 + 4 * neighbours
    least = 4 * count
    most = least + list_bytes * (_SLACK * count // neighbours + _SLACK_LISTS)
    if not least <= file.size <= most:
        raise Damaged(file.name, f"has {file.size:,} bytes, not {least:,} to {most:,}")
    if file.size % 4:
        raise Damaged(file.name, f"has {file.size:,} bytes, which ends in the middle of a number")
    words = np.frombuffer(file.read(0, file.size), "<u4")
    levels = np.zeros(count, np.int32)
    starts: list[tuple[int, int, int]] = []
    element, at = 0, 0
    # Most elements have no list: their size is zero, so the next that is not is looked for at once.
    sizes = np.flatnonzero(words)
    next_size = 0
    while element < count:
        next_size = int(np.searchsorted(sizes, at))
        place = int(sizes[next_size]) if next_size < len(sizes) else len(words)
        skipped = min(place - at, count - element)
        element, at = element + skipped, at + skipped
        if element == count:
            break
        if at >= len(words):
            raise Damaged(file.name, f"ends before element {element:,} of {count:,}")
        size = int(words[at])
        level, rest = divmod(size, list_bytes)
        if rest or level > max_level:
            raise Damaged(file.name, f"gives element {element:,} lists of {size:,} bytes")
        if at + 1 + size // 4 > len(words):
            raise Damaged(file.name, f"ends in the lists of element {element:,} of {count:,}")
        levels[element] = level
        starts.append((element, level, at + 1))
        element, at = element + 1, at + 1 + size // 4
    if at != len(words):
        raise Damaged(file.name, f"goes on for {4 * (len(words) - at):,} bytes after its last list")
    return _lists(words, levels, starts, neighbours)


def _lists(
    words: npt.NDArray[np.uint32],
    levels: npt.NDArray[np.int32],
    starts: list[tuple[int, int, int]],
    neighbours: int,
) -> LinkLists:
    table = np.array(starts, np.int64).reshape(-1, 3)
    owners = np.repeat(table[:, 0], table[:, 1])
    first = np.repeat(np.cumsum(table[:, 1]) - table[:, 1], table[:, 1])
    at_level = np.arange(len(owners)) - first + 1
    offsets = np.repeat(table[:, 2], table[:, 1]) + (at_level - 1) * (neighbours + 1)
    slots = words[offsets[:, None] + np.arange(neighbours + 1)]
    return LinkLists(levels, owners, at_level, slots[:, 0].astype(np.int64), slots[:, 1:])
