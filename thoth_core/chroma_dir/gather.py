"""What there still is of a collection, healthy or not: each row with its text, metadata and vector.

A row is in the tables of ``chroma.sqlite3``; its vector is in the files of the index, in the log of
writes, or in both. Which of them counts is what Chroma itself would do on opening: the index has
everything up to an entry of the log, and what comes after that entry is newer. Where one is lost
the other stands in. Nothing is written to the directory, and only plain files are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from thoth_core.chroma_dir import flushed, id_map
from thoth_core.chroma_dir.catalog import (
    ADD,
    DELETE,
    UPDATE,
    Catalog,
    Collection,
    Entry,
    Metadata,
    merged,
)
from thoth_core.chroma_dir.files import Damaged, segment_folder
from thoth_core.chroma_dir.flushed import Flushed
from thoth_core.vectors import Vectors

#: Rows whose vectors are looked up together.
_ROWS = 500
#: Where a vector was found.
INDEX, LOG = "index", "log"


@dataclass(slots=True)
class Found:
    """A row. ``origin`` is :data:`INDEX`, :data:`LOG`, or "" if there is no vector."""

    id: str
    text: str | None
    metadata: Metadata
    vector: Vectors | None = None
    origin: str = ""


@dataclass(slots=True)
class _Late:
    """What the log has of a row and the tables have not. ``fresh``: the row begins here."""

    fresh: bool = False
    deleted: bool = False
    changes: list[Metadata] = field(default_factory=list)


class Gathered:
    """One collection. ``notes`` say what was found out of order, as clauses.
    ``sqlite3.DatabaseError`` from any of it if the database turns out to be damaged after all: then
    :meth:`.source.Source.salvage`, and again."""

    def __init__(
        self, directory: Path, catalog: Catalog | None, collection: Collection, *, lossy: bool
    ) -> None:
        self.directory = directory
        self.collection = collection
        self.notes: list[str] = []
        self._catalog = catalog
        self._lossy = lossy
        #: The log entry that last wrote each row of the tables, rows in order of their first write.
        self._written: dict[str, int] = dict(catalog.written(collection)) if catalog else {}
        self._index = self._opened_index(directory)
        self._late: dict[str, _Late] = {}
        # The entries with the vector of each id, in the index already and after it.
        self._in_index: dict[str, int] = {}
        self._after_index: dict[str, int] = {}
        self._deleted: set[str] = set()
        #: Rows that only the index has.
        self._alone = 0
        try:
            self._read_log()
            if self._index is not None and not self._index.whole:
                self._tell_ids(self._index)
        except BaseException:
            self.close()
            raise

    @property
    def space(self) -> str:
        return self._index.space if self._index is not None else self.collection.space

    @property
    def dimension(self) -> int | None:
        if self.collection.dimension is None and self._index is not None:
            return self._index.header.dimension
        return self.collection.dimension

    @property
    def unread(self) -> bool:
        """Whether there is an index here that could not be read as far as it goes: somebody else
        may know better. Of one that was read what is not found is not there."""
        segment = self.collection.vector_segment
        if self._lossy or segment is None or not self.collection.flushed:
            return False
        folder = segment_folder(self.directory, segment)
        if folder is None or not folder.is_dir():
            return False
        return self._index is None or not self._index.whole

    def close(self) -> None:
        if self._index is not None:
            self._index.close()

    def closing_notes(self) -> list[str]:
        """What was found out of order while the rows were read."""
        notes, index = list(self.notes), self._index
        if self._alone:
            notes.append(
                f"{self._alone:,} rows are in the index alone: they have no text and no metadata,"
                " and some may have been deleted"
            )
        if index is not None:
            notes += index.notes
            if index.garbled:
                notes.append(f"{index.garbled:,} vectors in the index are garbled")
            if index.without_length:
                notes.append(
                    f"the lengths of {index.without_length:,} vectors are lost: they have length 1"
                )
        return notes

    def rows(self) -> Iterator[Found]:
        """All rows, in the order of their first write. May be read again."""
        if self._index is not None:
            self._index.garbled = self._index.without_length = 0
        self._alone = 0
        batch: list[Found] = []
        for each in self._bare():
            batch.append(each)
            if len(batch) >= _ROWS:
                yield from self._with_vectors(batch)
                batch = []
        yield from self._with_vectors(batch)

    # -- rows ---------------------------------------------------------------------------------

    def _bare(self) -> Iterator[Found]:
        seen: set[str] = set()
        for row in self._catalog.rows(self.collection) if self._catalog else ():
            late = self._late.get(row.id)
            if row.id in seen or (late is not None and late.deleted):
                continue
            seen.add(row.id)
            text, metadata = (None, {}) if late and late.fresh else (row.text, row.metadata)
            yield _changed(row.id, text, metadata, late)
        for id, late in self._late.items():
            if late.fresh and not late.deleted and id not in seen:
                seen.add(id)
                yield _changed(id, None, {}, late)
        if self._lossy and self._index is not None:
            for id in self._index.labels:
                if id not in seen and id not in self._deleted:
                    self._alone += 1
                    yield Found(id, None, {})

    def _with_vectors(self, batch: list[Found]) -> list[Found]:
        self._from_log(batch, self._after_index)
        for row in batch:
            if row.vector is None and self._index is not None:
                row.vector = self._flushed(self._index, row.id)
                row.origin = INDEX if row.vector is not None else ""
        self._from_log([row for row in batch if row.vector is None], self._in_index)
        return batch

    def _flushed(self, index: Flushed, id: str) -> Vectors | None:
        try:
            return index.vector(id)
        except Damaged as problem:
            # Cut short meanwhile, or on a bad block.
            if str(problem) not in self.notes:
                self.notes.append(str(problem))
            return None

    def _from_log(self, batch: list[Found], entries: dict[str, int]) -> None:
        wanted = {entries[row.id]: row for row in batch if row.id in entries}
        if self._catalog is None or not wanted:
            return
        for seq, vector in self._catalog.vectors_at(list(wanted)).items():
            if np.isfinite(vector).all():
                wanted[seq].vector, wanted[seq].origin = vector, LOG

    # -- the log ------------------------------------------------------------------------------

    def _read_log(self) -> None:
        if self._catalog is None:
            return
        # Of a database that lost rows the log may have some of them.
        applied = 0 if self._lossy else self._catalog.applied(self.collection)
        for entry in self._catalog.log(self.collection):
            self._note_vector(entry)
            if entry.seq > max(applied, self._written.get(entry.id, 0)):
                self._note_row(entry)

    def _note_vector(self, entry: Entry) -> None:
        id, flushed_before = entry.id, entry.seq <= self.collection.flushed
        if entry.operation == DELETE:
            self._in_index.pop(id, None)
            self._after_index.pop(id, None)
            if not flushed_before:
                self._deleted.add(id)
            return
        if entry.vector is None:
            return
        if entry.operation == ADD and self._is_there(entry):
            # Chroma leaves alone what is there.
            return
        if flushed_before:
            self._in_index[id] = entry.seq
        else:
            self._after_index[id] = entry.seq

    def _is_there(self, entry: Entry) -> bool:
        id = entry.id
        if id in self._in_index or id in self._after_index:
            return True
        if id in self._deleted:
            return False
        if self._index is not None and self._index.whole and entry.seq > self.collection.flushed:
            return id in self._index.labels
        # A row that was written last before this entry was not written by it.
        return 0 < self._written.get(id, 0) < entry.seq and not self._is_late(entry)

    def _is_late(self, entry: Entry) -> bool:
        return self._catalog is not None and entry.seq > self._catalog.applied(self.collection)

    def _note_row(self, entry: Entry) -> None:
        id, late = entry.id, self._late.get(entry.id)
        there = not late.deleted if late is not None else id in self._written
        if entry.operation == DELETE:
            self._late[id] = _Late(deleted=True)
            return
        if there and entry.operation == ADD:
            return
        if not there and entry.operation == UPDATE and not self._lossy:
            return
        if not there:
            # Behind whatever was there before.
            self._late.pop(id, None)
            late = self._late[id] = _Late(fresh=True)
        elif late is None:
            late = self._late[id] = _Late()
        late.changes.append(entry.changes)

    # -- the index ----------------------------------------------------------------------------

    def _opened_index(self, directory: Path) -> Flushed | None:
        each = self.collection
        if each.vector_segment is None:
            return None
        folder = segment_folder(directory, each.vector_segment)
        if folder is None or not folder.is_dir():
            if each.flushed:
                self.notes.append("the folder of its index is missing")
            return None
        if not (each.flushed or self._lossy or (folder / id_map.NAME).exists()):
            # Nothing was flushed yet, all of it is in the log.
            return None
        try:
            return flushed.opened(folder, each.dimension, each.neighbours, each.space or None)
        except Damaged as problem:
            if each.flushed or not each.metadata_segment:
                self.notes.append(f"nothing can be read of its index: {problem}")
            return None

    def _tell_ids(self, index: Flushed) -> None:
        # What was deleted since is among the labels still, and nobody knows where.
        if self._catalog is None or self._deleted:
            return
        known = {id: entry for id, entry in self._in_index.items() if id not in self._after_index}
        vectors = self._catalog.vectors_at(list(known.values()))
        index.tell_ids(
            list(self._written),
            set(self._after_index),
            {id: vectors[entry] for id, entry in known.items() if entry in vectors},
        )


def _changed(id: str, text: str | None, metadata: Metadata, late: _Late | None) -> Found:
    for changes in late.changes if late is not None else ():
        text, metadata = merged(text, metadata, changes)
    return Found(id, text, metadata)
