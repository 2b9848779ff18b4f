"""Exact search over the vectors of one collection, straight from the ledger.

This answers when the index cannot: while it is verified, rebuilt, busy or behind. The vectors are
copied once into a disposable file that is mapped into memory. Whatever that file has not got, for
want of time or of disk, is read from the ledger during the search; so the file decides how long a
search takes and never what it finds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from store_worker import ledger_queries
from store_worker.ledger import Ledger
from store_worker.ledger_collections import Collection
from store_worker.ledger_errors import translated
from store_worker.nearness import (
    Best,
    Block,
    Doubles,
    Mask,
    Rows,
    exact_scores,
    lengths_of,
    multiplied,
    rankable,
)
from store_worker.scan_file import VectorFile
from thoth_core.errors import InternalError, LedgerDamaged, StorageError
from thoth_core.vectors import Vectors

T = TypeVar("T", bound=np.generic)

#: An entry of the change log: (id, op, row).
Change = tuple[str, str, int | None]

#: Candidates beyond the k best, for rows that the caller drops.
SPARE = 16
#: Rows read from the ledger at once.
CHUNK_ROWS = 4096
#: Vectors that are copied out of the file together, and the most for that: 32 MiB.
_GATHER_BYTES = 32 * 1024 * 1024
#: Rows multiplied at once, and queries: a block of products has 8 MiB at most.
_BLOCK_ROWS = 65_536
_QUERIES = 32
#: With more than this part of the slots allowed it is faster to go through all of them.
_MANY = 0.3
#: Slots below which deleted ones are not worth closing up.
_COMPACT_AT = 4096


class Scan:
    """The vectors of ``collection``, to be searched exactly. For one thread.

    ``ledger`` must see every write that is to be found. Rows that are new since :meth:`build` need
    not be told; those that were changed or deleted are, by :meth:`follow`. ``refusal`` says why the
    file is not complete, if the disk is the reason; scanning goes on without it.
    """

    def __init__(self, ledger: Ledger, collection: Collection, folder: Path) -> None:
        self.collection = collection
        self.refusal: StorageError | None = None
        self._ledger = ledger
        self._folder = folder
        self._dimension = collection.dimension or 0
        self._file: VectorFile | None = None
        self._forget()

    # -- the file -----------------------------------------------------------------------------

    def build(self) -> None:
        """Bring the whole collection into the file."""
        while not self.step():
            pass

    def step(self) -> bool:
        """Bring the next rows of the ledger into the file; whether that were all, or the disk
        takes no more (:attr:`refusal`). Between steps the ledger may be written."""
        self._check_committed()
        if not self._dimension:
            return True
        rows, vectors = self._read(self._upto)
        if not len(rows):
            self.refusal = None
            return True
        try:
            if self._file is None:
                self._file = VectorFile(self._folder, self._dimension)
            self._file.append(vectors)
        except StorageError as problem:
            self.refusal = problem
            return True
        self.refusal = None
        self._note(rows, vectors)
        return len(rows) < CHUNK_ROWS

    def follow(self, changes: Iterable[Change]) -> None:
        """Bring what is in the file up to date with ``changes``. One may be told twice, and in any
        order: what counts is what the ledger has now."""
        self._check_committed()
        touched = set()
        for _, _, row in changes:
            # Without a row it was logged by an older version, before anything was built here.
            if row is not None and row <= self._upto:
                touched.add(row)
        wanted = sorted(touched)
        for start in range(0, len(wanted), CHUNK_ROWS):
            self._refresh(np.array(wanted[start : start + CHUNK_ROWS], np.int64))
        deleted = int(np.count_nonzero(self._deleted[: self._size]))
        if self._size > _COMPACT_AT and deleted * 2 > self._size:
            self._compact()

    def close(self) -> None:
        self._forget()

    @property
    def slots(self) -> int:
        """Vectors in the file, the deleted ones included."""
        return self._size

    @property
    def size_bytes(self) -> int:
        """What the file takes on disk, or will once it is written there."""
        return 4 * self._dimension * self._size

    def _forget(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = None
        # By slot: the row in the ledger, which grows; the length; whether it has been deleted, and
        # whether it counts in a search.
        self._rows: Rows = np.empty(0, np.int64)
        self._lengths: Doubles = np.empty(0, np.float64)
        self._deleted: Mask = np.empty(0, np.bool_)
        self._usable: Mask = np.empty(0, np.bool_)
        self._size = 0
        # Rows up to this one are in the file, or not in the ledger.
        self._upto = 0

    def _note(self, rows: Rows, vectors: Vectors) -> None:
        end = self._size + len(rows)
        if end > len(self._rows):
            room = max(end, 2 * len(self._rows))
            self._rows = _longer(self._rows, room)
            self._lengths = _longer(self._lengths, room)
            self._deleted = _longer(self._deleted, room)
            self._usable = _longer(self._usable, room)
        lengths = lengths_of(vectors)
        self._rows[self._size : end] = rows
        self._lengths[self._size : end] = lengths
        self._deleted[self._size : end] = False
        self._usable[self._size : end] = rankable(self.collection.space, lengths)
        self._size = end
        self._upto = int(rows[-1])

    def _refresh(self, rows: Rows) -> None:
        slots, there = self._slots(rows)
        rows, slots = rows[there], slots[there]
        live, vectors = self._pick(rows)
        kept = np.isin(rows, live, assume_unique=True)
        self._deleted[slots] = ~kept
        self._usable[slots[~kept]] = False
        slots = slots[kept]
        if self._file is None or not len(slots):
            return
        try:
            for slot, vector in zip(slots.tolist(), vectors, strict=True):
                self._file.put(slot, vector[None, :])
        except StorageError as problem:
            # Some slots have a vector that is not the ledger's: the file is worth nothing now.
            self._forget()
            self.refusal = problem
            return
        lengths = lengths_of(vectors)
        self._lengths[slots] = lengths
        self._usable[slots] = rankable(self.collection.space, lengths)

    def _compact(self) -> None:
        """Close up over the deleted slots. Each vector moves to a slot at or before its own, so
        block after block can be moved within the file."""
        if self._file is None:
            return
        live = np.flatnonzero(~self._deleted[: self._size])
        at, count = 0, self._gathered()
        try:
            for start in range(0, len(live), count):
                part = live[start : start + count]
                self._file.put(at, self._file.vectors[part])
                at += len(part)
            self._file.truncate(at)
        except StorageError as problem:
            self._forget()
            self.refusal = problem
            return
        self._rows, self._lengths = self._rows[live], self._lengths[live]
        self._deleted, self._usable = self._deleted[live], self._usable[live]
        self._size = at

    def _check_committed(self) -> None:
        # A row number that is rolled back comes again, with another vector.
        if self._ledger.db.in_transaction:
            raise InternalError("a scan was brought up to date within a transaction")

    def _slots(self, rows: Rows) -> tuple[Rows, Mask]:
        """The slot of each of ``rows``, and whether it has one."""
        mine = self._rows[: self._size]
        slots = np.searchsorted(mine, rows).astype(np.int64)
        there = slots < self._size
        there[there] = mine[slots[there]] == rows[there]
        return slots, there

    def _gathered(self) -> int:
        return max(1, _GATHER_BYTES // (4 * max(1, self._dimension)))

    # -- searching ----------------------------------------------------------------------------

    def nearest(
        self, queries: Vectors, k: int, allowed_rows: Rows | None = None
    ) -> list[list[int]]:
        """Of each of ``queries`` (m, d) the rows of the ledger that may be among its ``k`` nearest,
        the likeliest first: all of those k and some more. Ranked by :func:`exact_scores`, equal
        ones by id, their first k are what a ranking of the whole collection would begin with.

        ``allowed_rows``: only these count.
        """
        found: list[list[int]] = []
        if not self._dimension:
            return [[] for _ in queries]
        if allowed_rows is not None:
            allowed_rows = np.unique(np.asarray(allowed_rows, np.int64))
        for start in range(0, len(queries), _QUERIES):
            group = np.ascontiguousarray(queries[start : start + _QUERIES], np.float32)
            bests = [self._best(query, k + SPARE) for query in group]
            factors = np.stack([best.factor for best in bests])
            for block in self._blocks(allowed_rows):
                for best, products in zip(bests, multiplied(block.vectors, factors), strict=True):
                    best.offer(block, products)
            found += [best.rows().tolist() for best in bests]
        return found

    def _best(self, query: Vectors, k: int) -> Best:
        return Best(self.collection.space, query, k, lambda rows: self._thin(query, rows, k))

    def _blocks(self, allowed: Rows | None) -> Iterator[Block]:
        """The vectors of the collection, those of ``allowed`` if given: from the file, then, from
        the ledger, what the file has not got."""
        if self._file is not None:
            if allowed is None:
                yield from self._mapped(self._file.vectors, self._usable)
            else:
                yield from self._chosen(self._file.vectors, allowed)
        if allowed is not None:
            beyond = allowed[np.searchsorted(allowed, self._upto, side="right") :]
            for start in range(0, len(beyond), CHUNK_ROWS):
                yield self._block(*self._pick(beyond[start : start + CHUNK_ROWS]))
            return
        after = self._upto
        while True:
            rows, vectors = self._read(after)
            if len(rows):
                yield self._block(rows, vectors)
            if len(rows) < CHUNK_ROWS:
                return
            after = int(rows[-1])

    def _mapped(self, vectors: Vectors, usable: Mask) -> Iterator[Block]:
        for start in range(0, self._size, _BLOCK_ROWS):
            part = slice(start, min(start + _BLOCK_ROWS, self._size))
            yield Block(self._rows[part], vectors[part], self._lengths[part], usable[part])

    def _chosen(self, vectors: Vectors, allowed: Rows) -> Iterator[Block]:
        slots, there = self._slots(allowed)
        slots = slots[there]
        slots = slots[self._usable[slots]]
        if len(slots) > _MANY * self._size:
            usable = np.zeros(self._size, np.bool_)
            usable[slots] = True
            yield from self._mapped(vectors, usable)
            return
        count = min(self._gathered(), _BLOCK_ROWS)
        for start in range(0, len(slots), count):
            part = slots[start : start + count]
            yield Block(
                self._rows[part], vectors[part], self._lengths[part], np.ones(len(part), np.bool_)
            )

    def _block(self, rows: Rows, vectors: Vectors) -> Block:
        lengths = lengths_of(vectors)
        return Block(rows, vectors, lengths, rankable(self.collection.space, lengths))

    def _thin(self, query: Vectors, rows: Rows, k: int) -> tuple[Rows, Doubles]:
        """The ``k`` best of ``rows`` by exact score and id."""
        best: list[tuple[float, str, int]] = []
        for start in range(0, len(rows), CHUNK_ROWS):
            picked = self._select("row, id, vector", np.sort(rows[start : start + CHUNK_ROWS]))
            vectors = self._joined([vector for _, _, vector in picked])
            scores = exact_scores(self.collection.space, query, vectors).tolist()
            best += [(-score, id, row) for score, (row, id, _) in zip(scores, picked, strict=True)]
            best.sort()
            del best[k:]
        return (
            np.array([row for _, _, row in best], np.int64),
            np.array([-score for score, _, _ in best], np.float64),
        )

    # -- the ledger ---------------------------------------------------------------------------

    def _read(self, after: int) -> tuple[Rows, Vectors]:
        """The next :data:`CHUNK_ROWS` of the collection after the row ``after``."""
        with translated(self._ledger.path):
            found = self._ledger.db.execute(
                "SELECT row, vector FROM chunks WHERE collection = ? AND row > ?"
                " ORDER BY row LIMIT ?",
                (self.collection.id, after, CHUNK_ROWS),
            ).fetchall()
        return self._arrays(found)

    def _pick(self, rows: Rows) -> tuple[Rows, Vectors]:
        """Those of ``rows``, which are in order, that the collection has."""
        return self._arrays(self._select("row, vector", rows))

    def _select(self, columns: str, rows: Rows) -> list[Any]:
        found: list[Any] = []
        with translated(self._ledger.path):
            for part in ledger_queries.padded_parts(rows.tolist()):
                marks = ",".join("?" * len(part))
                sql = f"SELECT {columns} FROM chunks WHERE row IN ({marks}) AND +collection = ?"
                sql += " ORDER BY row"
                found += self._ledger.db.execute(sql, (*part, self.collection.id)).fetchall()
        return found

    def _arrays(self, found: Sequence[tuple[int, bytes]]) -> tuple[Rows, Vectors]:
        rows = np.array([row for row, _ in found], np.int64)
        return rows, self._joined([vector for _, vector in found])

    def _joined(self, vectors: Sequence[bytes]) -> Vectors:
        width = 4 * self._dimension
        if any(len(each) != width for each in vectors):
            raise LedgerDamaged(
                f"the ledger has a vector that is not of {self._dimension} dimensions, as all of"
                f" the collection {self.collection.name!r} are",
                fix="put a backup of ledger.sqlite3 in its place",
                path=str(self._ledger.path),
            )
        joined = np.frombuffer(b"".join(vectors), "<f4").reshape(len(vectors), self._dimension)
        return joined.astype(np.float32, copy=False)


def _longer(array: npt.NDArray[T], length: int) -> npt.NDArray[T]:
    """``array`` with room for ``length`` elements."""
    longer = np.empty(length, array.dtype)
    longer[: len(array)] = array
    return longer
