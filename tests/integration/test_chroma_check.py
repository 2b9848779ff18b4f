"""A damaged Chroma directory is told from a healthy one without opening it.

What stock Chroma 1.5.9 does with each damage, seen on stores of 384 and 32 dimensions. "Written to"
means 1,500 rows more, opened anew, and 1,500 again; which of the failures comes is a matter of what
is in memory that hnswlib never set.

| damage | 1,000 rows | 5,000 rows | 60,000 rows |
|---|---|---|---|
| `link_lists.bin` truncated | read: nothing; written to: fails | the same | finds 50 % |
| `link_lists.bin` emptied | read: nothing; written to: fails | the same | "Error loading" |
| `link_lists.bin`, one size 2^31 | read: nothing; written to: fails | the same | finds 50 % |
| `header.bin` truncated | read: nothing; written to: SIGSEGV | the same, or SIGSEGV at once | |
| `header.bin` emptied | "Error loading" | the same | |
| `header.bin`, impossible count | SIGSEGV | SIGSEGV | |
| `length.bin` halved | half of the vectors come back as zeros | the same | |
| `data_level0.bin` halved | finds 50 % | "Error finding id", or finds 50 % | |
| `data_level0.bin`, neighbours out of range | opens; a search is SIGSEGV | the same | |
| `index_metadata.pickle` truncated, hostile | "Error deserializing pickle" | the same | |
| `index_metadata.pickle` missing | finds what is in the log: nothing | the same | |
| index folder missing | finds what is in the log: nothing | the same | |
| `chroma.sqlite3` missing | "Collection does not exist" | the same | |
| `chroma.sqlite3` truncated | "database disk image is malformed" | the same | |
| `chroma.sqlite3`, one page garbled | the same as soon as the page is read | the same | |

"Error loading" goes on "hnsw index". "Written to: fails" is "Failed to apply logs to the hnsw
segment writer" or a SIGSEGV, and before that a ``link_lists.bin`` that grows as far as the disk
goes: 83 GB were written for 1,000 rows.

By default the stores have 3,000 rows, and stock Chroma is shown one damage of each file. ``make
damage-table`` shows it all of them, in stores of 5,000.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import stock_chroma
from tests.support.damage import DAMAGES, OF_EACH_FILE, RAN, SILENT, index_of
from tests.support.stock_chroma import Made
from thoth_core.chroma_dir import hnsw_files
from thoth_core.chroma_dir.check import check

FULL = bool(os.environ.get("THOTH_DAMAGE_TABLE"))
ROWS = 5000 if FULL else 3000
PLAIN = Made("notes", rows=ROWS)
PENDING = Made("notes", rows=ROWS + 300, pending=300)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Stores made by stock Chroma, not to be changed."""
    root = tmp_path_factory.mktemp("stores")
    made = {
        "plain": [PLAIN],
        "pending": [PENDING],
        "changed": [
            Made("changed", rows=2600, pending=100, updated=400, deleted=600, space="l2"),
            Made("small", rows=20, pending=20),
            Made("inner", rows=1500, space="ip", deleted=1000),
            Made("empty", rows=0),
            Made("gone", rows=1000, deleted=1000),
        ],
    }
    for name, collections in made.items():
        stock_chroma.build(root / name, *collections)
    return {name: root / name for name in made}


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "copy"
    shutil.rmtree(tmp_path / "copy", ignore_errors=True)


@pytest.mark.parametrize("store", ["plain", "pending", "changed"])
def test_nothing_is_found_in_a_healthy_store(healthy: dict[str, Path], store: str) -> None:
    before = _state(healthy[store])
    assert check(healthy[store]) == []
    assert _state(healthy[store]) == before


@pytest.mark.parametrize("store", ["plain", "pending"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_each_damage_is_found(
    healthy: dict[str, Path], store: str, damage: str, copy: Path, tmp_path: Path
) -> None:
    shutil.copytree(healthy[store], copy)
    DAMAGES[damage](copy)
    before = _state(copy)
    found = check(copy)
    assert found
    named = damage.split()[0]
    where = index_of(healthy[store]).name + "/" if named == "index" else named
    assert found[0].file.endswith(where)
    assert _state(copy) == before
    assert not (tmp_path / RAN).exists()


@pytest.mark.parametrize("damage", DAMAGES if FULL else OF_EACH_FILE)
def test_each_damage_is_one_for_stock_chroma(
    healthy: dict[str, Path], damage: str, copy: Path
) -> None:
    shutil.copytree(healthy["plain"], copy)
    DAMAGES[damage](copy)
    probe = stock_chroma.grow if damage in SILENT else stock_chroma.probe
    outcome = probe(copy, PLAIN)
    assert not outcome.well, str(outcome)


def test_a_healthy_store_is_well_for_stock_chroma(healthy: dict[str, Path], copy: Path) -> None:
    shutil.copytree(healthy["pending"], copy)
    outcome = stock_chroma.grow(copy, PENDING)
    assert outcome.well, str(outcome)


def test_a_store_that_was_emptied_and_opened_again_is_healthy(
    healthy: dict[str, Path], copy: Path
) -> None:
    # With no ids in its map Chroma begins the index anew over the old files.
    shutil.copytree(healthy["changed"], copy)
    gone = Made("gone", rows=1000, deleted=1000)
    assert not stock_chroma.grow(copy, gone).error
    assert check(copy) == []


def test_every_space_and_dimension_is_read(healthy: dict[str, Path]) -> None:
    made = Made("changed", rows=2600, pending=100, updated=400, deleted=600, space="l2")
    folder = index_of(healthy["changed"])
    segment = hnsw_files.read(folder)
    assert segment.dimension == made.dimension
    assert segment.ids is not None
    vectors = made.vectors()
    rows = {int(label): row for row, label in enumerate(segment.labels)}
    for id in ("c-600", "c-1999", "c-2499"):
        row = rows[segment.ids.labels[id]]
        assert (segment.vectors[row] == vectors[int(id[2:])]).all()


def test_a_missing_directory_or_one_without_anything_is_not_damaged(tmp_path: Path) -> None:
    assert check(tmp_path / "nowhere") == []
    assert check(tmp_path) == []


def test_another_database_is_told(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "chroma.sqlite3")
    db.execute("CREATE TABLE collections (name)")
    db.close()
    assert "has no table segments" in str(check(tmp_path)[0])


def test_what_a_dead_process_had_begun_is_rolled_back_in_a_copy(
    healthy: dict[str, Path], copy: Path, tmp_path: Path
) -> None:
    shutil.copytree(healthy["plain"], copy)
    # A transaction that spilt into the file and never ended: what a SIGKILL leaves.
    live = tmp_path / "live"
    shutil.copytree(copy, live)
    db = sqlite3.connect(live / "chroma.sqlite3", isolation_level=None)
    db.execute("PRAGMA cache_size = 10")
    db.execute("PRAGMA cache_spill = 10")
    db.execute("BEGIN IMMEDIATE")
    db.execute("DELETE FROM embedding_metadata")
    for name in ("chroma.sqlite3", "chroma.sqlite3-journal"):
        shutil.copyfile(live / name, copy / name)
    db.close()
    before = _state(copy)
    assert check(copy) == []
    assert _state(copy) == before
    assert check(copy, ours=True) == []
    assert not (copy / "chroma.sqlite3-journal").exists()


def test_a_write_ahead_log_is_read_from_a_copy(healthy: dict[str, Path], copy: Path) -> None:
    shutil.copytree(healthy["plain"], copy)
    db = sqlite3.connect(copy / "chroma.sqlite3", isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("DELETE FROM collections")
    files = {each.name: each.read_bytes() for each in copy.glob("chroma.sqlite3*")}
    db.close()
    for name, data in files.items():
        (copy / name).write_bytes(data)
    before = _state(copy)
    assert check(copy) == []
    assert _state(copy) == before
    for suffix in ("-wal", "-shm"):
        (copy / f"chroma.sqlite3{suffix}").unlink()
    before = _state(copy)
    assert check(copy) == []
    assert _state(copy) == before


def test_a_read_only_directory_is_checked(healthy: dict[str, Path], copy: Path) -> None:
    shutil.copytree(healthy["pending"], copy)
    for each in [copy, *copy.rglob("*")]:
        each.chmod(0o555 if each.is_dir() else 0o444)
    try:
        assert check(copy) == []
    finally:
        for each in [copy, *copy.iterdir()]:
            each.chmod(0o755)


def test_a_sparse_file_of_700_gigabytes_is_refused_at_once(
    healthy: dict[str, Path], copy: Path
) -> None:
    shutil.copytree(healthy["plain"], copy)
    with (index_of(copy) / "link_lists.bin").open("r+b") as file:
        file.truncate(700 * 10**9)
    start = time.thread_time()
    found = check(copy)
    assert "has 700,000,000,000 bytes" in str(found[0])
    # To read it would take minutes, of this thread too.
    assert time.thread_time() - start < 5


def test_rows_whose_vectors_were_thrown_away_are_counted(
    healthy: dict[str, Path], copy: Path
) -> None:
    # The usual advice, and then a row is written: folder and marks are there, the vectors are not.
    shutil.copytree(healthy["plain"], copy)
    shutil.rmtree(index_of(copy))
    stock_chroma.grow(copy, PLAIN)
    assert any(f"{ROWS - 1:,} rows whose vectors are nowhere" in str(each) for each in check(copy))


def _state(directory: Path) -> dict[str, tuple[int, int]]:
    return {
        str(each.relative_to(directory)): (each.stat().st_mtime_ns, each.stat().st_size)
        for each in [directory, *directory.rglob("*")]
    }
