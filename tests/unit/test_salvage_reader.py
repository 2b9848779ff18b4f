"""Reading a table of which pages are garbled, or stand where others belong: each row once."""

from __future__ import annotations

import itertools
import sqlite3
from pathlib import Path

import pytest

from thoth_core.chroma_dir.row_reader import Reader

PAGE = 4096
JUNK = b"\xa5" * PAGE


@pytest.fixture
def leaves_of(tmp_path: Path) -> tuple[Path, list[int]]:
    """A table of 400 rows, about twenty a page, and its leaves in order."""
    path = tmp_path / "rows.sqlite3"
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA page_size = {PAGE}")
    db.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, text)")
    db.executemany("INSERT INTO t VALUES (?, ?)", [(i, "x" * 190) for i in range(1, 401)])
    db.commit()
    db.close()
    data = path.read_bytes()
    leaves = [at for at in range(PAGE, len(data), PAGE) if data[at] == 0x0D]
    assert len(leaves) >= 18
    return path, leaves


def read_of(path: Path) -> tuple[list[int], Reader]:
    db = sqlite3.connect(path)
    reader = Reader(db, "t", "n")
    found = [n for (n,) in itertools.islice(reader.rows(), 5000)]
    db.close()
    return found, reader


def rows_on(path: Path, at: int) -> int:
    return int.from_bytes(path.read_bytes()[at + 3 : at + 5], "big")


def write_at(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def test_a_gap_costs_the_rows_in_it_and_not_one_more(leaves_of: tuple[Path, list[int]]) -> None:
    path, leaves = leaves_of
    lost = 0
    # Readable ones between them, of which none is lost either.
    for leaf in leaves[3:14:2]:
        lost += rows_on(path, leaf)
        write_at(path, leaf, JUNK)
    found, reader = read_of(path)
    assert len(found) == 400 - lost
    assert found == sorted(set(found))
    assert (reader.gaps, reader.open_end) == (6, False)


def test_a_page_that_stands_where_it_does_not_belong_is_not_read_for_ever(
    leaves_of: tuple[Path, list[int]],
) -> None:
    path, leaves = leaves_of
    earlier = path.read_bytes()[leaves[2] : leaves[2] + PAGE]
    lost = rows_on(path, leaves[8]) + rows_on(path, leaves[9])
    write_at(path, leaves[8], earlier)
    write_at(path, leaves[9], JUNK)
    found, _ = read_of(path)
    assert len(found) == 400 - lost
    assert found == sorted(set(found))


def page_at(path: Path, at: int) -> bytes:
    return path.read_bytes()[at : at + PAGE]


def test_a_page_of_later_rows_costs_no_row_before_them(leaves_of: tuple[Path, list[int]]) -> None:
    path, leaves = leaves_of
    lost = rows_on(path, leaves[2])
    write_at(path, leaves[2], page_at(path, leaves[8]))
    found, _ = read_of(path)
    assert len(found) == len(set(found)) == 400 - lost


def test_of_two_pages_that_changed_places_every_row_is_read(
    leaves_of: tuple[Path, list[int]],
) -> None:
    path, leaves = leaves_of
    one, other = page_at(path, leaves[2]), page_at(path, leaves[8])
    write_at(path, leaves[2], other)
    write_at(path, leaves[8], one)
    found, reader = read_of(path)
    assert sorted(found) == list(range(1, 401))
    assert reader.gaps == 0


def test_a_page_out_of_place_and_a_garbled_one_behind_it_cost_what_was_there(
    leaves_of: tuple[Path, list[int]],
) -> None:
    path, leaves = leaves_of
    lost = rows_on(path, leaves[2]) + sum(rows_on(path, each) for each in leaves[5:7])
    # The later rows come, then those in between, then earlier ones again, then junk.
    write_at(path, leaves[2], page_at(path, leaves[12]))
    write_at(path, leaves[5], page_at(path, leaves[3]))
    write_at(path, leaves[6], JUNK)
    found, reader = read_of(path)
    assert len(found) == len(set(found)) == 400 - lost
    # What the first took the place of, and the junk.
    assert reader.gaps == 2


def test_a_row_number_that_was_garbled_does_not_end_the_reading(
    leaves_of: tuple[Path, list[int]],
) -> None:
    path, leaves = leaves_of
    lost = sum(rows_on(path, each) for each in leaves[4:6])
    db = sqlite3.connect(path.with_name("other.sqlite3"))
    db.execute(f"PRAGMA page_size = {PAGE}")
    db.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, text)")
    db.execute("INSERT INTO t VALUES (?, 'x')", (2**63 - 1,))
    db.commit()
    db.close()
    # A page with the largest number that there is, and junk behind it.
    write_at(path, leaves[4], page_at(path.with_name("other.sqlite3"), PAGE))
    write_at(path, leaves[5], JUNK)
    found, reader = read_of(path)
    assert len(set(found) - {2**63 - 1}) == 400 - lost
    assert reader.gaps == 1
