"""When a ledger is not opened, and that a look at it changes nothing."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from store_worker import ledger_guard
from store_worker.ledger import Ledger
from thoth_core.errors import LedgerDamaged

PAGE = 8192


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger of some hundred pages, closed."""
    path = tmp_path_factory.mktemp("ledger") / "ledger.sqlite3"
    ledger = Ledger.open(path, "first")
    with ledger.transaction():
        ledger.db.execute(
            "INSERT INTO collections (id, name, dimension, number) VALUES (1, 'notes', 4, 1)"
        )
        rows = [(i, f"id{i:05}", f"{i} " * 400, bytes(16)) for i in range(1, 2001)]
        ledger.db.executemany(
            "INSERT INTO chunks (row, collection, id, number, computed, text, vector)"
            " VALUES (?, 1, ?, 1, 1, ?, ?)",
            rows,
        )
    ledger.close()
    assert path.stat().st_size > 100 * PAGE
    return path


@pytest.fixture
def path(healthy: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(healthy, tmp_path / "ledger.sqlite3"))


def opened(path: Path) -> Ledger:
    ledger_guard.before_open(path)
    return Ledger.open(path, "second", ledger_guard.look)


def root_of(path: Path, table: str) -> int:
    db = sqlite3.connect(path)
    [page] = db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    db.close()
    return int(page)


def garbled(path: Path, page: int) -> None:
    with path.open("r+b") as file:
        file.seek((page - 1) * PAGE)
        file.write(b"\xa5" * PAGE)


def test_a_healthy_ledger_is_opened(path: Path) -> None:
    ledger = opened(path)
    assert ledger.epoch == 2
    ledger.close()


def test_a_ledger_is_made_where_there_was_none(tmp_path: Path) -> None:
    for state in ("missing", "empty"):
        path = tmp_path / state / "ledger.sqlite3"
        (path.parent / "chroma").mkdir(parents=True)
        if state == "empty":
            # As a store leaves it that ends before the first table.
            path.touch()
        opened(path).close()


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda p: p.write_bytes(p.read_bytes()[: 50 * PAGE]), id="half of it"),
        pytest.param(lambda p: p.write_bytes(p.read_bytes()[:-1]), id="all but a byte"),
        pytest.param(lambda p: p.write_bytes(p.read_bytes()[:1000]), id="a piece of a page"),
        pytest.param(lambda p: p.write_bytes(p.read_bytes()[:50]), id="a piece of the header"),
        pytest.param(lambda p: p.write_bytes(bytes(p.stat().st_size)), id="zeros"),
        pytest.param(lambda p: p.write_text("notes\n" * 5000), id="another file"),
        pytest.param(lambda p: garbled(p, 1), id="the first page"),
        pytest.param(lambda p: garbled(p, root_of(p, "meta")), id="the root of a small table"),
        pytest.param(lambda p: garbled(p, root_of(p, "chunks")), id="the root of a large one"),
    ],
)
def test_a_quick_look_finds_it_and_changes_nothing(
    path: Path, damage: Callable[[Path], None]
) -> None:
    damage(path)
    before = path.read_bytes()
    with pytest.raises(LedgerDamaged) as caught:
        opened(path)
    assert path.read_bytes() == before
    assert str(path) in caught.value.message
    assert f"thoth salvage {path.parent} saved.zip" in caught.value.fix


def test_a_write_ahead_log_alone_is_not_thrown_away(path: Path) -> None:
    log = path.with_name("ledger.sqlite3-wal")
    log.write_bytes(b"what was written last")
    for empty in (False, True):
        path.unlink()
        if empty:
            path.touch()
        with pytest.raises(LedgerDamaged, match="write-ahead log is there"):
            opened(path)
        assert log.read_bytes() == b"what was written last"
        path.touch()


def test_after_damage_that_was_met_all_of_it_is_looked_at(path: Path, healthy: Path) -> None:
    leaf = path.stat().st_size // PAGE // 2
    garbled(path, leaf)
    # Far from what a start needs, so it is opened, and met by who reads it.
    ledger = opened(path)
    with pytest.raises(sqlite3.DatabaseError):
        ledger.db.execute("SELECT sum(length(text)) FROM chunks").fetchone()
    ledger.close()
    ledger_guard.met(path, LedgerDamaged("met"))
    before = path.read_bytes()
    for _ in range(2):
        with pytest.raises(LedgerDamaged):
            opened(path)
        assert path.read_bytes() == before
    # A backup in its place is looked at once, and then trusted again.
    shutil.copy(healthy, path)
    opened(path).close()
    assert not path.with_name(ledger_guard.MARK).exists()
