"""The files for scanning are made in small steps, and a search is right at each of them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from store_worker import ledger_chunks, ledger_collections, scans
from store_worker import scan as scanning
from store_worker.ledger import Ledger
from store_worker.ledger_chunks import Row
from store_worker.ledger_collections import Collection
from store_worker.scan import Scan
from store_worker.scans import Scans

D, STEP = 4, 20
RNG = np.random.default_rng(5)


class Room:
    """A ledger with a collection, and its scans. ``steps`` are the rows in the file after each."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ledger = Ledger.open(folder / "ledger.sqlite3", "first")
        self.scans = Scans(self.ledger, folder / "scan")
        self.number = 0
        self.steps: list[int] = []
        real = Scan.step

        def step(scan: Scan) -> bool:
            done = real(scan)
            self.steps.append(scan.slots)
            return done

        monkeypatch.setattr(Scan, "step", step)
        monkeypatch.setattr(scanning, "CHUNK_ROWS", STEP)

    def write(self, collection: str, ids: list[str]) -> Collection:
        self.number += 1
        vectors = RNG.standard_normal((len(ids), D)).astype("<f4")
        with self.ledger.transaction():
            ledger_collections.for_write(self.ledger, collection, self.number, None, D)
            found = ledger_collections.require(self.ledger, collection)
            rows = [
                Row(id, None, None, None, None, vector.tobytes(), False)
                for id, vector in zip(ids, vectors, strict=True)
            ]
            ledger_chunks.upsert(self.ledger, found, self.number, rows)
        return found

    def delete(self, collection: Collection, ids: list[str]) -> None:
        self.number += 1
        with self.ledger.transaction():
            ledger_chunks.delete(self.ledger, collection, self.number, ids)

    def check(self, collection: Collection, query: list[float]) -> None:
        """Five nearest of all, by cosine, are among those found."""
        stored = self.ledger.db.execute(
            "SELECT row, vector FROM chunks WHERE collection = ?", (collection.id,)
        ).fetchall()
        vectors = np.frombuffer(b"".join(v for _, v in stored), "<f4").reshape(-1, D)
        scores = vectors @ np.array(query) / np.linalg.norm(vectors, axis=1)
        nearest = [stored[place][0] for place in np.argsort(-scores)[:5]]
        [found] = self.scans.nearest(collection, np.array([query], np.float32), 5, None)
        assert set(nearest) <= set(found)
        assert set(found) <= {row for row, _ in stored}


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    made = Room(tmp_path, monkeypatch)
    yield made
    made.scans.close()
    made.ledger.close()


@pytest.fixture
def no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """One step, and it is time for something else."""
    monkeypatch.setattr(scans, "SEARCH_SECONDS", 0.0)
    monkeypatch.setattr(scans, "TURN_SECONDS", 0.0)


def ids(start: int, count: int) -> list[str]:
    return [f"id-{n:04}" for n in range(start, start + count)]


@pytest.mark.usefixtures("no_time")
def test_a_file_is_made_a_step_at_a_time_and_each_search_finds_all(room):
    notes = room.write("notes", ids(0, 10 * STEP))
    room.check(notes, [1, 2, 3, 4])
    assert room.steps == [STEP]
    assert room.scans.turn()
    assert room.steps == [STEP, 2 * STEP]
    # Changed where the file has it, and where it has not; deleted in both; new.
    room.write("notes", [*ids(0, 5), *ids(9 * STEP, 5), *ids(10 * STEP, 3)])
    room.delete(notes, [*ids(10, 5), *ids(9 * STEP + 10, 5)])
    for query in ([1, 2, 3, 4], [-1, 0, 2, 1], [0, 0, -3, 1]):
        room.check(notes, query)
    while room.scans.turn():
        room.check(notes, [4, 3, 2, 1])
    assert all(0 <= after - before <= STEP for before, after in pairwise(room.steps))
    assert room.steps[-1] >= 10 * STEP - 7


@pytest.mark.usefixtures("no_time")
def test_a_log_that_is_cut_in_the_middle_of_it_costs_no_change(room):
    notes = room.write("notes", ids(0, 3 * STEP))
    room.check(notes, [1, 2, 3, 4])
    room.write("notes", ids(0, 5))
    room.delete(notes, ids(10, 5))
    steps = len(room.steps)
    room.scans.follow()
    assert len(room.steps) == steps
    room.ledger.note_index({}, room.ledger.last_change())
    assert not list(room.ledger.pending(0, -1))
    room.check(notes, [1, 2, 3, 4])
    while room.scans.turn():
        room.check(notes, [4, 3, 2, 1])


@pytest.mark.usefixtures("no_time")
def test_several_collections_are_made_one_after_the_other_and_a_dropped_one_is_forgotten(room):
    one, two = room.write("one", ids(0, 3 * STEP)), room.write("two", ids(0, 3 * STEP))
    room.check(one, [1, 2, 3, 4])
    room.check(two, [1, 2, 3, 4])
    assert room.steps == [STEP, STEP]
    room.scans.keep([two.id])
    while room.scans.turn():
        room.check(two, [1, 2, 3, 4])
    assert room.steps[-1] == 3 * STEP
    assert not room.scans.turn()


def test_with_time_enough_a_search_makes_the_whole_file_and_a_turn_none_of_it(room, monkeypatch):
    monkeypatch.setattr(scans, "SEARCH_SECONDS", 60.0)
    notes = room.write("notes", ids(0, 5 * STEP + 1))
    room.check(notes, [1, 2, 3, 4])
    assert room.steps[-1] == 5 * STEP + 1
    steps = len(room.steps)
    assert not room.scans.turn()
    assert len(room.steps) == steps
