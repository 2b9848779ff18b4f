"""The index is looked at while others write: what they write meanwhile is no fault of its."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Lock

import numpy as np
import pytest

from store_worker import compare, ledger_chunks, ledger_collections, ledger_queries
from store_worker.follower import Follower
from store_worker.index import Index
from store_worker.ledger import Ledger
from store_worker.ledger_chunks import Row

ROWS, D = 700, 8
RNG = np.random.default_rng(5)


class Room:
    """A ledger with one collection, and an index that has all of it."""

    def __init__(self, folder: Path) -> None:
        self.ledger = Ledger.open(folder / "ledger.sqlite3", "first")
        with self.ledger.transaction():
            ledger_collections.for_write(self.ledger, "notes", 1, None, D)
        self.collection = ledger_collections.require(self.ledger, "notes")
        self.writes = 1
        self.write()
        self.reader = Ledger.reader(folder / "ledger.sqlite3")
        self.chroma = folder / "chroma"
        self.index = Index.open(self.chroma, self.ledger.ident, Lock())
        self.follower = Follower(self.reader, self.index)
        self.follower.reconcile()
        self.applied = 0
        while self.applied < self.ledger.last_change():
            self.applied, _ = self.follower.apply(self.applied, 500, {})

    def write(self) -> None:
        """Give every row another vector."""
        self.writes += 1
        vectors = RNG.normal(size=(ROWS, D)).astype("<f4")
        rows = [
            Row(f"id{n}", None, None, None, None, vectors[n].tobytes(), False) for n in range(ROWS)
        ]
        with self.ledger.transaction():
            ledger_chunks.upsert(self.ledger, self.collection, self.writes, rows)

    def close(self) -> None:
        self.index.close()
        self.reader.db.close()
        self.ledger.close()


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    made = Room(tmp_path)
    yield made
    made.close()


def before(monkeypatch: pytest.MonkeyPatch, owner: object, name: str, then: object) -> None:
    """Have ``then`` called before the function ``name`` of ``owner`` is."""
    original: Callable[..., object] = getattr(owner, name)

    def both(*words: object, **named: object) -> object:
        then()  # type: ignore[operator]
        return original(*words, **named)

    monkeypatch.setattr(owner, name, both)


def test_a_sample_is_found_while_every_row_is_written_anew(room, monkeypatch):
    before(monkeypatch, room.index, "nearest", room.write)
    sample = room.follower.sample(room.applied, {}, 20, random.Random(1))
    assert (sample["asked"], sample["found"]) == (20, 20)
    assert room.writes > 20


def test_nothing_differs_while_every_row_is_written_anew(room, monkeypatch):
    before(monkeypatch, ledger_queries, "count", room.write)
    assert compare.differing(room.chroma, room.reader, room.applied, {}) == ([], ROWS)
    # What was written is no secret the next time.
    assert compare.differing(room.chroma, room.reader, room.applied, {}) == ([], ROWS)
    last = room.ledger.last_change()
    [[collection, ids]], _ = compare.differing(room.chroma, room.reader, last, {})
    assert (collection, len(ids)) == (room.collection.id, ROWS)
    # But for those that are to be written by themselves.
    last = room.ledger.last_change()
    [[_, others]], _ = compare.differing(room.chroma, room.reader, last, {collection: {ids[0]}})
    assert sorted(others) == sorted(ids[1:])
