"""The exact scan finds what the ledger has, whatever its file has or has not got."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store_worker import ledger_chunks, ledger_collections, scan_file
from store_worker import scan as scanning
from store_worker.ledger import Ledger
from store_worker.ledger_chunks import Row
from store_worker.nearness import exact_scores, lengths_of, rankable
from store_worker.scan import Scan
from thoth_core.errors import InternalError, LedgerDamaged, StorageError

D = 3
RNG = np.random.default_rng(11)


class Room:
    """A ledger, one collection in it, and a scan of that."""

    def __init__(self, ledger: Ledger, folder: Path, space: str = "cosine") -> None:
        self.ledger = ledger
        self.folder = folder
        self.number = 0
        with ledger.transaction():
            self.number = ledger.db.execute("SELECT count(*) FROM collections").fetchone()[0] + 1
            name = f"room-{self.number}"
            ledger_collections.for_write(ledger, name, self.number, None, D)
            ledger.db.execute("UPDATE collections SET space = ? WHERE name = ?", (space, name))
        self.collection = ledger_collections.require(ledger, name)
        self.scan = Scan(ledger, self.collection, folder)
        self.seen = 0

    def upsert(self, vectors: dict[str, list[float]]) -> None:
        self.number += 1
        rows = [
            Row(id, None, None, None, None, np.array(vector, "<f4").tobytes(), False)
            for id, vector in vectors.items()
        ]
        with self.ledger.transaction():
            ledger_chunks.upsert(self.ledger, self.collection, self.number, rows)

    def delete(self, *ids: str) -> None:
        self.number += 1
        with self.ledger.transaction():
            ledger_chunks.delete(self.ledger, self.collection, self.number, ids)

    def follow(self, *, build: bool = True) -> None:
        changes = self.ledger.db.execute(
            "SELECT seq, id, op, row FROM changes WHERE seq > ? AND collection = ?",
            (self.seen, self.collection.id),
        ).fetchall()
        self.seen = max((seq for seq, *_ in changes), default=self.seen)
        self.scan.follow(change for _, *change in changes)
        if build:
            self.scan.build()

    def nearest(self, query: list[float], k: int, allowed: list[str] | None = None) -> list[str]:
        rows = None if allowed is None else self.rows(allowed)
        wanted = np.array([query], np.float32)
        return self.ranked(wanted[0], self.at(self.scan.nearest(wanted, k, rows)[0]), k)

    def exhaustive(self, query: list[float], k: int, allowed: list[str] | None = None) -> list[str]:
        found = self.at(None)
        if allowed is not None:
            found = {id: vector for id, vector in found.items() if id in allowed}
        return self.ranked(np.array(query, np.float32), found, k)

    def at(self, rows: list[int] | None) -> dict[str, bytes]:
        """The vectors of ``rows``, or all there are, by id."""
        found = self.ledger.db.execute(
            "SELECT row, id, vector FROM chunks WHERE collection = ?", (self.collection.id,)
        )
        return {id: vector for row, id, vector in found if rows is None or row in rows}

    def ranked(self, query: np.ndarray, found: dict[str, bytes], k: int) -> list[str]:
        ids = list(found)
        vectors = np.frombuffer(b"".join(found.values()), "<f4").reshape(-1, D)
        usable = rankable(self.collection.space, lengths_of(vectors))
        scores = np.where(usable, 0.0, np.nan)
        scores[usable] = exact_scores(self.collection.space, query, vectors[usable])
        pairs = [(-s, id) for s, id in zip(scores.tolist(), ids, strict=True) if s == s]
        return [id for _, id in sorted(pairs)[:k]]

    def rows(self, ids: list[str]) -> np.ndarray:
        marks = ",".join("?" * len(ids))
        found = self.ledger.db.execute(
            f"SELECT row FROM chunks WHERE collection = ? AND id IN ({marks})",
            (self.collection.id, *ids),
        )
        return np.array([row for (row,) in found], np.int64)


def some(n: int, start: int = 0) -> dict[str, list[float]]:
    return {f"id-{start + i:04}": RNG.standard_normal(D).tolist() for i in range(n)}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(tmp_path / "ledger.sqlite3", "first")
    yield opened
    opened.close()


@pytest.fixture
def room(ledger: Ledger, tmp_path: Path) -> Iterator[Room]:
    made = Room(ledger, tmp_path / "scan")
    yield made
    made.scan.close()


values = st.sampled_from([0.0, 1.0, -1.0, 2.0, 1 + 2**-23])
vectors = st.lists(values, min_size=D, max_size=D)
names = st.sampled_from("abcdefghijklmnopqrst")
steps = st.lists(
    st.one_of(
        st.tuples(st.just("upsert"), st.dictionaries(names, vectors, min_size=1, max_size=12)),
        st.tuples(st.just("delete"), st.lists(names, min_size=1, max_size=9, unique=True)),
        st.tuples(st.just("follow"), st.none()),
        st.tuples(st.just("step"), st.none()),
    ),
    min_size=1,
    max_size=12,
)


@pytest.mark.parametrize("space", ["cosine", "ip", "l2"])
def test_after_any_writes_it_finds_what_the_ledger_has(ledger, tmp_path, monkeypatch, space):
    # So small that a few rows go through every way there is.
    for name, value in {
        "CHUNK_ROWS": 4,
        "_BLOCK_ROWS": 5,
        "_COMPACT_AT": 3,
        "_GATHER_BYTES": 4 * D * 3,
        "SPARE": 0,
    }.items():
        monkeypatch.setattr(scanning, name, value)
    monkeypatch.setattr("store_worker.nearness.CROWD", 3)

    query = vectors.filter(any)

    @settings(max_examples=150, deadline=None)
    @given(steps, query, st.integers(1, 6), st.lists(names, unique=True))
    def check(script, query, k, allowed):
        room = Room(ledger, tmp_path / "scan", space)
        for step, what in script:
            if step == "upsert":
                room.upsert(what)
            elif step == "delete":
                room.delete(*what)
            elif step == "follow":
                room.follow(build=False)
            else:
                room.scan.step()
        room.follow(build=False)
        for _ in range(2):
            assert room.nearest(query, k) == room.exhaustive(query, k)
            assert room.nearest(query, k, allowed) == room.exhaustive(query, k, allowed)
            room.scan.build()
        room.scan.close()
        # With nothing in the file.
        assert room.nearest(query, k) == room.exhaustive(query, k)
        assert room.nearest(query, k, allowed) == room.exhaustive(query, k, allowed)

    check()


def test_what_the_file_has_not_got_is_read_from_the_ledger(room):
    room.upsert(some(50))
    assert room.nearest([1, 2, 3], 5) == room.exhaustive([1, 2, 3], 5)
    assert room.scan.slots == 0
    room.scan.build()
    assert room.scan.slots == 50
    room.upsert({"new": [1, 2, 3]})
    assert room.nearest([1, 2, 3], 1) == ["new"]
    assert room.scan.slots == 50


def test_several_queries_are_answered_each_for_itself(room):
    room.upsert(some(300))
    room.scan.build()
    queries = RNG.standard_normal((70, D)).astype(np.float32)
    found = room.scan.nearest(queries, 4)
    for query, rows in zip(queries, found, strict=True):
        hits = room.ranked(query, room.at(rows), 4)
        assert hits == room.exhaustive(query.tolist(), 4)


def test_a_thousand_equal_vectors_are_ranked_by_id(room, monkeypatch):
    monkeypatch.setattr("store_worker.nearness.CROWD", 100)
    room.upsert({f"id-{i:04}": [1.0, 1.0, 0.0] for i in reversed(range(1000))})
    room.upsert({"nearer": [1.0, 1.0, 0.5]})
    room.scan.build()
    (rows,) = room.scan.nearest(np.array([[1, 1, 1]], np.float32), 3)
    assert len(rows) < 200
    assert room.nearest([1, 1, 1], 3) == ["nearer", "id-0000", "id-0001"]


def test_a_changed_row_is_found_where_it_is_now(room):
    room.upsert(some(100))
    room.scan.build()
    room.upsert({"id-0050": [9.0, 0.0, 0.1]})
    room.follow()
    assert room.nearest([9.0, 0.0, 0.1], 1) == ["id-0050"]


def test_deleted_rows_are_closed_up_over_when_they_are_most(room, monkeypatch):
    monkeypatch.setattr(scanning, "_COMPACT_AT", 50)
    room.upsert(some(100))
    room.scan.build()
    room.delete(*[f"id-{i:04}" for i in range(50)])
    room.follow()
    assert room.scan.slots == 100
    room.delete("id-0070")
    room.follow()
    assert room.scan.slots == 49
    assert room.nearest([1, 2, 3], 60) == room.exhaustive([1, 2, 3], 60)
    room.upsert(some(10, start=95))
    room.follow()
    assert room.nearest([1, 2, 3], 60) == room.exhaustive([1, 2, 3], 60)


def test_a_zero_vector_that_becomes_another_one_is_found(room, monkeypatch):
    monkeypatch.setattr(scanning, "_COMPACT_AT", 3)
    room.upsert({"zero": [0, 0, 0]} | some(5))
    room.scan.build()
    room.delete(*some(5))
    room.follow()
    room.upsert({"zero": [1, 0, 0]})
    room.follow()
    assert room.nearest([1, 0, 0], 1) == ["zero"]


def test_the_file_has_no_name(room):
    room.upsert(some(10))
    room.scan.build()
    assert room.scan.slots == 10
    assert list(room.folder.iterdir()) == []


def test_a_collection_without_a_dimension_has_nothing_to_find(ledger, tmp_path):
    with ledger.transaction():
        ledger_collections.for_write(ledger, "empty", 1, None, None)
    scan = Scan(ledger, ledger_collections.require(ledger, "empty"), tmp_path / "scan")
    scan.build()
    assert scan.nearest(np.ones((2, 5), np.float32), 3) == [[], []]


def test_nothing_is_taken_from_a_transaction_that_may_be_rolled_back(room):
    room.upsert(some(3))
    with room.ledger.transaction(), pytest.raises(InternalError):
        room.scan.build()
    with room.ledger.transaction(), pytest.raises(InternalError):
        room.scan.follow([])


def test_a_vector_of_another_length_is_called_damage(room):
    room.upsert(some(3))
    with room.ledger.transaction():
        room.ledger.db.execute("UPDATE chunks SET vector = x'00' WHERE row = 2")
    with pytest.raises(LedgerDamaged, match="not of 3 dimensions"):
        room.scan.build()


def test_a_disk_that_is_nearly_full_is_left_to_the_ledger(room, monkeypatch):
    monkeypatch.setattr(scan_file, "RESERVE_BYTES", 2**62)
    room.upsert(some(50))
    room.scan.build()
    assert isinstance(room.scan.refusal, StorageError)
    assert room.scan.slots == 0
    assert room.nearest([1, 2, 3], 5) == room.exhaustive([1, 2, 3], 5)
    monkeypatch.undo()
    room.follow()
    assert room.scan.refusal is None
    assert room.scan.slots == 50


@contextlib.contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """The kernel refuses larger files, as it refuses when a disk or a quota is full. No longer than
    needed: what the tests print may go into a file as well."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_that_cannot_grow_is_searched_as_far_as_it_goes(room, monkeypatch):
    monkeypatch.setattr(scanning, "CHUNK_ROWS", 500)
    room.upsert(some(2000))
    with files_up_to(20 * 1024):
        room.scan.build()
    assert isinstance(room.scan.refusal, StorageError)
    assert 0 < room.scan.slots < 2000
    assert room.nearest([1, 2, 3], 5) == room.exhaustive([1, 2, 3], 5)


FULL_DISK = """
import sys
from pathlib import Path
import numpy as np
from store_worker import scan_file
from thoth_core.errors import StorageError

scan_file.RESERVE_BYTES = 0
file = scan_file.VectorFile(Path(sys.argv[1]), 384)
block = np.arange(100 * 384, dtype=np.float32).reshape(100, 384)
try:
    while True:
        file.append(block)
except StorageError as problem:
    assert "No space left" in str(problem) or "nearly full" in str(problem), problem
assert 500 < len(file) < 700, len(file)
# Every page of what is there can be read, and none was written through the mapping.
assert all(np.array_equal(part, block) for part in file.vectors.reshape(-1, 100, 384))
file.put(0, block[::-1])
assert file.vectors[0, 0] == 99 * 384
print("survived", len(file))
"""


@pytest.mark.parametrize("checked", [True, False])
def test_a_full_disk_is_an_error_and_no_bus_error(tmp_path, checked):
    # A file system of 1 MiB of its own, in namespaces of its own.
    script = FULL_DISK
    if not checked:
        # As when another program takes the space between the check and the write.
        script = script.replace("RESERVE_BYTES = 0", "VectorFile._check_room = lambda *_: None")
    inside = f'mount -t tmpfs -o size=1m none {tmp_path} && exec "$0" -c "$1" {tmp_path}'
    flags = "-m" if os.getuid() == 0 else "-Urm"
    ended = subprocess.run(
        ["unshare", flags, "sh", "-c", inside, sys.executable, script],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if "unshare" in ended.stderr or "mount:" in ended.stderr:
        pytest.skip(f"no file system can be mounted here: {ended.stderr.strip()}")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("survived")
