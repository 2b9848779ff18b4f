"""What is said of somebody else's Chroma directory in the folder of the data directory."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from thoth_core.chroma_dir import glance
from thoth_core.supervisor.neighbour import neighbour


def chroma(folder: Path, names: list[str], rows: int = 3) -> None:
    db = sqlite3.connect(folder / "chroma.sqlite3")
    db.execute("CREATE TABLE collections (name)")
    db.execute("CREATE TABLE embeddings (id INTEGER PRIMARY KEY)")
    db.executemany("INSERT INTO collections VALUES (?)", [(name,) for name in names])
    db.executemany("INSERT INTO embeddings VALUES (?)", [(i,) for i in range(rows)])
    db.commit()
    db.close()


def ledger(folder: Path, names: list[str]) -> Path:
    data_dir = folder / "thoth"
    data_dir.mkdir()
    db = sqlite3.connect(data_dir / "ledger.sqlite3")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("CREATE TABLE collections (name)")
    db.executemany("INSERT INTO collections VALUES (?)", [(name,) for name in names])
    db.commit()
    db.close()
    return data_dir


def test_nothing_is_said_where_there_is_nothing(tmp_path: Path) -> None:
    assert neighbour(tmp_path, tmp_path / "thoth") == ""
    assert neighbour(tmp_path / "nowhere", tmp_path / "thoth") == ""


def test_what_is_there_and_the_command_that_brings_it_in(tmp_path: Path) -> None:
    chroma(tmp_path, ["notes", "other"])
    said = neighbour(tmp_path, tmp_path / "thoth")
    assert "2 collections (notes, other), 3 rows" in said
    assert said.endswith(f"thoth rescue {tmp_path}")


def test_nothing_is_said_once_all_of_it_was_brought_in(tmp_path: Path) -> None:
    chroma(tmp_path, ["notes", "other"])
    data_dir = ledger(tmp_path, ["notes"])
    assert neighbour(tmp_path, data_dir)
    db = sqlite3.connect(data_dir / "ledger.sqlite3")
    db.execute("INSERT INTO collections VALUES ('other')")
    db.commit()
    db.close()
    before = sorted(data_dir.iterdir())
    assert neighbour(tmp_path, data_dir) == ""
    assert sorted(data_dir.iterdir()) == before


def test_an_empty_one_needs_no_command(tmp_path: Path) -> None:
    chroma(tmp_path, [], rows=0)
    assert "no collection in it" in neighbour(tmp_path, tmp_path / "thoth")
    assert "thoth rescue" not in neighbour(tmp_path, tmp_path / "thoth")


@pytest.mark.parametrize("content", [b"", b"junk" * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_one_that_cannot_be_read_is_named_too(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "chroma.sqlite3").write_bytes(content)
    said = neighbour(tmp_path, tmp_path / "thoth")
    assert "its database was not read" in said
    assert said.endswith(f"thoth rescue {tmp_path}")


def test_a_large_one_is_looked_at_for_a_moment_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chroma(tmp_path, ["notes"], rows=100_000)
    monkeypatch.setattr(glance, "_STEPS", 1000)
    found = glance.glance(tmp_path, seconds=0)
    assert found is not None
    assert found.names in ((), ("notes",))
    assert found.rows is None
