"""Reads the folder of one vector segment: what a flush of Chroma wrote there, or that it did not.

For the check before native code opens the files, and for rescue. Every size is compared with the
others and with the files before it is used, so that a damaged or hostile folder costs no more than
a healthy one of its size. Whether the graph in it is any good is the matter of ``graph``.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from thoth_core.chroma_dir import id_map, link_lists
from thoth_core.chroma_dir.files import Bytes, Damaged
from thoth_core.chroma_dir.id_map import IdMap
from thoth_core.chroma_dir.link_lists import LinkLists
from thoth_core.vectors import Vectors

__all__ = ["Damaged", "Header", "Segment", "read"]

HEADER = "header.bin"
LEVEL0 = "data_level0.bin"
LENGTH = "length.bin"
LINKS = "link_lists.bin"

#: version, offset of level 0, capacity, elements, bytes an element, offset of the label, offset of
#: the vector, top level, entry point, links a list, links a list at level 0, M, 1 / ln M,
#: ef_construction.
_HEADER = struct.Struct("<i6QiI3QdQ")
_VERSION = 1
_NO_ELEMENT = 0xFFFFFFFF
#: Chroma's own bound is far below.
_MAX_DIMENSION = 1_000_000
_MAX_LEVEL = 64
#: hnswlib keeps a count in 16 bits.
_MAX_NEIGHBOURS = 0xFFFF
#: The capacity doubles as elements come; Chroma would allocate whatever stands there.
_CAPACITY_FACTOR = 8
_CAPACITY_BESIDES = 10_000
#: Bytes of ``data_level0.bin`` read at a time.
BLOCK_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Header:
    """``neighbours`` bound a list above level 0, ``neighbours0`` one at level 0. ``entry_point`` is
    None and ``max_level`` -1 of an empty index."""

    dimension: int
    count: int
    capacity: int
    element_bytes: int
    neighbours: int
    neighbours0: int
    entry_point: int | None
    max_level: int
    ef_construction: int

    @property
    def vector_offset(self) -> int:
        return 4 + 4 * self.neighbours0

    @property
    def label_offset(self) -> int:
        return self.vector_offset + 4 * self.dimension


@dataclass(frozen=True, slots=True)
class Segment:
    """The folder of a vector segment. Arrays have one row an element, in the order of the files.

    ``neighbours0`` (count, header.neighbours0): the first ``counts0[i]`` of row i are links, the
    rest means nothing. ``deleted`` elements have a label but no id. ``lengths`` are those that
    the vectors had, and mean nothing unless the space is cosine. ``ids`` is None if there is no
    ``index_metadata.pickle``: Chroma takes such a folder for new.
    """

    folder: Path
    header: Header
    labels: npt.NDArray[np.uint64]
    counts0: npt.NDArray[np.uint16]
    neighbours0: npt.NDArray[np.uint32]
    deleted: npt.NDArray[np.bool_]
    lengths: npt.NDArray[np.float32]
    links: LinkLists
    ids: IdMap | None

    @property
    def dimension(self) -> int:
        return self.header.dimension

    @property
    def count(self) -> int:
        return self.header.count

    @property
    def levels(self) -> npt.NDArray[np.int32]:
        return self.links.levels

    @property
    def vectors(self) -> Vectors:
        """All vectors (count, dimension), mapped from the file. Only of a folder that no other
        program may cut short meanwhile: that would be a SIGBUS. Otherwise :meth:`blocks`."""
        mapped = np.memmap(self.folder / LEVEL0, mode="r", dtype=np.uint8)
        head, count = self.header, self.header.count
        return np.ndarray(
            (count, head.dimension),
            "<f4",
            buffer=mapped,
            offset=head.vector_offset if count else 0,
            strides=(head.element_bytes, 4),
        )

    def blocks(self) -> Iterator[tuple[int, Vectors]]:
        """The vectors, read in pieces: the first row of each, and its vectors. :class:`Damaged`."""
        for start, block in blocks(self.folder / LEVEL0, self.header):
            yield start, vectors_in(block, self.header)


def read(folder: Path, ids: IdMap | None = None) -> Segment:
    """Read the segment in ``folder``, all but its vectors; ``ids`` if they are read already.
    :class:`Damaged`."""
    header = read_header(folder)
    labels = np.empty(header.count, np.uint64)
    counts0 = np.empty(header.count, np.uint16)
    deleted = np.empty(header.count, np.bool_)
    neighbours0 = np.empty((header.count, header.neighbours0), np.uint32)
    for start, block in blocks(folder / LEVEL0, header):
        part = slice(start, start + len(block))
        # The low half is the number of links, the lowest bit of the third byte marks a deletion.
        heads = np.ascontiguousarray(block[:, :4])
        counts0[part] = heads.view("<u2")[:, 0]
        deleted[part] = heads[:, 2] & 1
        links0 = np.ascontiguousarray(block[:, 4 : header.vector_offset])
        neighbours0[part] = links0.view("<u4")
        tail = block[:, header.label_offset : header.label_offset + 8]
        labels[part] = np.ascontiguousarray(tail).view("<u8")[:, 0]
    with Bytes(folder / LENGTH) as file:
        if file.size < 4 * header.count:
            raise Damaged(LENGTH, f"has {file.size:,} bytes, not {4 * header.count:,}")
        lengths = np.frombuffer(file.read(0, 4 * header.count), "<f4")
    with Bytes(folder / LINKS) as file:
        links = link_lists.read(file, header.count, header.neighbours, header.max_level)
    if ids is None:
        ids = read_ids(folder, header.count)
    return Segment(folder, header, labels, counts0, neighbours0, deleted, lengths, links, ids)


def read_header(folder: Path) -> Header:
    """Read ``header.bin``, every number in it checked. :class:`Damaged`."""
    with Bytes(folder / HEADER) as file:
        if file.size != _HEADER.size:
            raise Damaged(HEADER, f"has {file.size:,} bytes, not {_HEADER.size}")
        raw = file.read(0, _HEADER.size)
    (
        version,
        level0_offset,
        capacity,
        count,
        element_bytes,
        label_offset,
        vector_offset,
        max_level,
        entry,
        neighbours,
        neighbours0,
        m,
        factor,
        ef_construction,
    ) = _HEADER.unpack(raw)
    if version != _VERSION:
        raise Damaged(HEADER, f"is of version {version}, not {_VERSION}")
    if not 1 <= neighbours <= _MAX_NEIGHBOURS // 2 or m != neighbours:
        raise Damaged(HEADER, f"allows {neighbours:,} links an element")
    if neighbours0 != 2 * neighbours or level0_offset or vector_offset != 4 + 4 * neighbours0:
        raise Damaged(HEADER, "gives impossible places of links and vectors")
    dimension, rest = divmod(label_offset - vector_offset, 4)
    if rest or not 1 <= dimension <= _MAX_DIMENSION or element_bytes != label_offset + 8:
        raise Damaged(HEADER, f"gives an element {element_bytes:,} bytes")
    if count > capacity or count >= _NO_ELEMENT:
        raise Damaged(HEADER, f"gives {count:,} elements in a room for {capacity:,}")
    if capacity > _CAPACITY_FACTOR * count + _CAPACITY_BESIDES:
        raise Damaged(HEADER, f"gives room for {capacity:,} elements to {count:,}")
    if not (factor > 0 and (neighbours == 1 or math.isfinite(factor))) or not ef_construction:
        raise Damaged(HEADER, "gives impossible parameters of building")
    if count == 0:
        if max_level != -1 or entry != _NO_ELEMENT:
            raise Damaged(HEADER, "gives an entry point of an empty index")
    elif not 0 <= max_level <= _MAX_LEVEL or entry >= count:
        raise Damaged(HEADER, f"gives the entry point {entry:,} on level {max_level}")
    return Header(
        dimension,
        count,
        capacity,
        element_bytes,
        neighbours,
        neighbours0,
        entry if count else None,
        max_level,
        ef_construction,
    )


def blocks(path: Path, header: Header) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
    """``data_level0.bin`` in pieces: the first element of each, and the bytes of its elements (n,
    element_bytes). :class:`Damaged`."""
    with Bytes(path) as file:
        needed = header.count * header.element_bytes
        if file.size < needed:
            raise Damaged(file.name, f"has {file.size:,} bytes, not {needed:,}")
        step = max(1, BLOCK_BYTES // header.element_bytes)
        for start in range(0, header.count, step):
            rows = min(step, header.count - start)
            raw = file.read(start * header.element_bytes, rows * header.element_bytes)
            yield start, np.frombuffer(raw, np.uint8).reshape(rows, header.element_bytes)


def vectors_in(block: npt.NDArray[np.uint8], header: Header) -> Vectors:
    """The vectors (n, dimension) in a piece of ``data_level0.bin``."""
    return np.ndarray(
        (len(block), header.dimension),
        "<f4",
        buffer=block.data,
        offset=header.vector_offset,
        strides=(header.element_bytes, 4),
    )


def read_ids(folder: Path, elements: int) -> IdMap | None:
    """Read ``index_metadata.pickle``; None if there is none. :class:`Damaged`."""
    path = folder / id_map.NAME
    if not path.exists() and not path.is_symlink():
        return None
    with Bytes(path) as file:
        if file.size > id_map.MAX_BYTES:
            raise Damaged(file.name, f"has {file.size:,} bytes")
        return id_map.load(file.read(0, file.size), elements)
