"""The vectors in the folder of a vector segment, as far as they can still be read: for a rescue.

``hnsw_files`` refuses a folder that is damaged anywhere. Here only three things matter: where in
``data_level0.bin`` a vector is, which id it belongs to, and how long it was. Each is had from
somewhere else if its own file is of no use. The graph is not looked at. Nothing is written.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from thoth_core.chroma_dir import hnsw_files, id_map
from thoth_core.chroma_dir.files import Bytes, Damaged
from thoth_core.chroma_dir.hnsw_files import Header
from thoth_core.vectors import Vectors

#: Chroma's vectors of a cosine space have unit length in single precision.
_UNIT_TOLERANCE = 1e-3
#: How far a vector of the log may be from the same one on disk, which was normalised in between.
_SAME = 1e-4
#: Vectors looked at to tell a cosine space by.
_SOME = 100


class Flushed:
    """An open segment; close it. ``notes`` say what was told in another way than by its own file,
    as clauses. ``labels`` is the label of each id that is known so far."""

    def __init__(self, folder: Path, header: Header, space: str | None) -> None:
        """``header`` gives the places; what it says of the count is only an upper bound. ``space``
        None: to be told by the vectors. :class:`Damaged` if there is nothing to be read."""
        self.notes: list[str] = []
        self.labels: dict[str, int] = {}
        #: Whether every id that the index has is in ``labels``.
        self.whole = False
        #: Vectors given out whose length was not to be had; they got unit length.
        self.without_length = 0
        self.garbled = 0
        self._folder = folder
        path = folder / hnsw_files.LEVEL0
        with Bytes(path) as file:
            slots = min(header.count, file.size // header.element_bytes)
        if slots < header.count:
            self.notes.append(f"{path.name} ends after {slots:,} of {header.count:,} vectors")
        self.header = replace(header, count=slots)
        #: The place of each label, those of deleted rows included.
        self.places: dict[int, int] = {}
        self._live: list[int] = []
        self._read_labels(path)
        self._lengths = self._read_lengths()
        self._file = Bytes(path)
        self.space = space or self._told_space()

    def close(self) -> None:
        self._file.__exit__(None, None, None)

    # -- which id has which vector -------------------------------------------------------------

    def read_ids(self) -> None:
        """Read the map of ids, or what can be read of it."""
        path = self._folder / id_map.NAME
        try:
            found = hnsw_files.read_ids(self._folder, self.header.count)
            if found is None:
                raise Damaged(path.name, "is missing")
        except Damaged as problem:
            self.notes.append(f"{path.name} {problem.reason}")
            with contextlib.suppress(Damaged), Bytes(path) as file:
                if file.size <= id_map.MAX_BYTES:
                    self.labels = id_map.salvage(file.read(0, file.size))
            return
        self.labels, self.whole = found.labels, True

    def tell_ids(self, order: Sequence[str], late: set[str], known: Mapping[str, Vectors]) -> bool:
        """Tell the ids by their order, for a map that cannot be read: labels are given in the order
        of the first writes, which is ``order``. ``late`` have been written since, so they may not
        be here yet; ``known`` are vectors that must be here. Whether all that is known agrees."""
        if not self._live or len(self._live) > len(order):
            return False
        if not late.issuperset(order[len(self._live) :]):
            return False
        told = dict(zip(order, self._live, strict=False))
        if any(told.get(id) != label for id, label in self.labels.items()):
            return False
        if not known and len(self._live) != len(order):
            return False
        before, self.labels = self.labels, told
        for id, vector in known.items():
            mine = self.vector(id)
            if mine is None or not _same(mine, vector, self.space):
                self.labels = before
                return False
        self.notes.append("its ids were told by the order in which they were written")
        self.whole = True
        return True

    # -- vectors -------------------------------------------------------------------------------

    def vector(self, id: str) -> Vectors | None:
        """The vector of ``id`` as Chroma gives it out; None if it is not there or garbled."""
        place = self.places.get(self.labels.get(id, -1))
        if place is None:
            return None
        vector = self._at(place)
        if not np.isfinite(vector).all():
            self.garbled += 1
            return None
        if self.space != "cosine":
            return vector
        length = self._lengths[place] if place < len(self._lengths) else np.float32(np.nan)
        usable = bool(np.isfinite(length)) and length >= 0
        if abs(float(np.linalg.norm(vector)) - 1) > _UNIT_TOLERANCE:
            # A zero vector stays one, and its length is zero too.
            if not (usable and length == 0 and not vector.any()):
                self.garbled += 1
                return None
            return vector
        if not usable or length == 0:
            self.without_length += 1
            return vector
        whole: Vectors = vector * length
        return whole

    # -- reading -------------------------------------------------------------------------------

    def _read_labels(self, path: Path) -> None:
        head = self.header
        for start, block in hnsw_files.blocks(path, head):
            labels = np.ascontiguousarray(block[:, head.label_offset : head.label_offset + 8])
            deleted = block[:, 2] & 1
            numbers = labels.view("<u8")[:, 0].tolist()
            for row, (label, gone) in enumerate(zip(numbers, deleted.tolist(), strict=True)):
                # Room that was never used has junk in it.
                if self.places.setdefault(label, start + row) == start + row and not gone:
                    self._live.append(label)
        self._live.sort()

    def _read_lengths(self) -> npt.NDArray[np.float32]:
        try:
            with Bytes(self._folder / hnsw_files.LENGTH) as file:
                size = min(file.size // 4, self.header.count) * 4
                return np.frombuffer(file.read(0, size), "<f4")
        except Damaged:
            return np.empty(0, np.float32)

    def _told_space(self) -> str:
        rows = [self._at(place) for place in list(self.places.values())[:_SOME]]
        unit = all(abs(float(np.linalg.norm(each)) - 1) <= _UNIT_TOLERANCE for each in rows)
        return "cosine" if rows and unit else "l2"

    def _at(self, place: int) -> Vectors:
        head = self.header
        raw = self._file.read(place * head.element_bytes + head.vector_offset, 4 * head.dimension)
        return np.frombuffer(raw, "<f4")


def opened(folder: Path, dimension: int | None, neighbours: int, space: str | None) -> Flushed:
    """The segment in ``folder``, of a collection of which that much is known. :class:`Damaged` if
    nothing can be read of it."""
    notes = []
    try:
        header = hnsw_files.read_header(folder)
        if dimension is not None and header.dimension != dimension:
            raise Damaged(hnsw_files.HEADER, f"is of dimension {header.dimension}")
    except Damaged as problem:
        if not dimension or neighbours < 1:
            raise
        notes.append(f"{hnsw_files.HEADER} {problem.reason}")
        header = _without_header(folder, dimension, neighbours)
    flushed = Flushed(folder, header, space)
    try:
        flushed.notes[:0] = notes
        flushed.read_ids()
        if notes and not _plausible(flushed):
            raise Damaged(hnsw_files.HEADER, "cannot be read, and the places are not as usual")
    except BaseException:
        flushed.close()
        raise
    return flushed


def _without_header(folder: Path, dimension: int, neighbours: int) -> Header:
    """The header as it must have been, for as many elements as there is room for."""
    element = 4 + 4 * 2 * neighbours + 4 * dimension + 8
    with Bytes(folder / hnsw_files.LEVEL0) as file:
        slots = file.size // element
    return Header(dimension, slots, slots, element, neighbours, 2 * neighbours, None, -1, 0)


def _plausible(flushed: Flushed) -> bool:
    """Whether what was read at these places are labels: most of the map's are among them, or, if
    there is no map, most are small numbers."""
    places = flushed.places
    if flushed.labels:
        return sum(label in places for label in flushed.labels.values()) * 2 > len(flushed.labels)
    bound = 1000 * (len(places) + 1000)
    return bool(places) and sum(0 < label < bound for label in places) * 2 > len(places)


def _same(mine: Vectors, other: Vectors, space: str) -> bool:
    if mine.shape != other.shape:
        return False
    size = max(float(np.linalg.norm(mine)), float(np.linalg.norm(other)), 1e-30)
    if space == "cosine":
        norms = float(np.linalg.norm(mine)) * float(np.linalg.norm(other))
        return norms > 0 and float(np.dot(mine, other)) / norms > 1 - _SAME
    return float(np.linalg.norm(mine - other)) <= _SAME * size


def segments(directory: Path) -> Iterable[Path]:
    """The folders in ``directory`` that have vectors in them, by name."""
    return sorted(each.parent for each in directory.glob(f"*/{hnsw_files.LEVEL0}"))
