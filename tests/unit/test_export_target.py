"""What an export, and what is saved of a ledger, may be written to."""

from __future__ import annotations

import shlex
import sqlite3
from pathlib import Path

import pytest

from cli.main import main
from store_worker.ledger import Ledger
from thoth_core.client.archive_read import Archive
from thoth_core.client.archive_write import ArchiveWriter
from thoth_core.client.reembed import command
from thoth_core.errors import InvalidInput, StorageError


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """One that a store has open, so that its log is there too."""
    path = tmp_path / "data" / "ledger.sqlite3"
    path.parent.mkdir()
    Ledger.open(path, "first").close()
    return path


def state(folder: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in folder.iterdir() if each.is_file()}


def salvage(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr("sys.argv", ["thoth", "salvage", *map(str, words)])
    try:
        return int(main() or 0)
    except SystemExit as end:
        return int(end.code or 0)


@pytest.mark.parametrize("garbled", [False, True], ids=["healthy", "garbled at its begin"])
@pytest.mark.parametrize("named", ["the folder", "the file"])
@pytest.mark.parametrize(
    "target",
    ["ledger.sqlite3", "ledger.sqlite3-wal", "ledger.sqlite3-shm", "link", "hard", "up"],
)
def test_what_is_saved_never_takes_the_place_of_the_ledger(
    ledger: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    target: str,
    named: str,
    garbled: bool,
) -> None:
    if garbled:
        # It does not look like a database of SQLite's any more.
        ledger.write_bytes(bytes(200) + ledger.read_bytes()[200:])
    (ledger.parent / "link").symlink_to(ledger)
    (ledger.parent / "hard").hardlink_to(ledger)
    before = state(ledger.parent)
    file = ledger.parent / target
    if target == "up":
        file = ledger.parent / ".." / "data" / ledger.name
    assert salvage(monkeypatch, ledger.parent if named == "the folder" else ledger, file) == 2
    assert "fix: name another file" in capsys.readouterr().err
    assert state(ledger.parent) == before
    assert sorted(each.name for each in tmp_path.iterdir()) == ["data"]


def test_beside_the_ledger_there_is_room(
    ledger: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = ledger.parent / "my saved.zip"
    assert salvage(monkeypatch, ledger, file) == 0
    told = capsys.readouterr().err.strip().partition("bring it in: ")[2]
    assert shlex.split(told) == ["thoth", "import", str(file)]
    # And over an earlier one.
    assert salvage(monkeypatch, ledger, file) == 0


@pytest.mark.parametrize("suffix", ["", "-wal", "-journal"])
def test_no_database_of_anybodys_is_replaced(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "chroma.sqlite3"
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA journal_mode = {'WAL' if suffix == '-wal' else 'PERSIST'}")
    db.execute("CREATE TABLE t (x)")
    db.execute("BEGIN")
    db.execute("INSERT INTO t VALUES (1)")
    target = path.with_name(path.name + suffix)
    # A journal that is being written, before its header is: only then does it stand there.
    if suffix == "-journal":
        db.execute("PRAGMA cache_size = 1")
        db.executemany("INSERT INTO t VALUES (?)", [("x" * 5000,)] * 50)
    before = target.read_bytes()
    assert before
    with pytest.raises(InvalidInput, match="of SQLite's"):
        ArchiveWriter(target)
    assert target.read_bytes() == before
    db.close()
    assert list(tmp_path.glob("*.part")) == list(tmp_path.glob(".*.part")) == []


def test_what_the_disk_refuses_is_told_with_commands_that_work(tmp_path: Path) -> None:
    folder = tmp_path / "it's not here"
    with pytest.raises(StorageError) as written, ArchiveWriter(folder / "x.zip"):
        pass
    look, _, room = written.value.fix.partition("; ")
    assert shlex.split(look) == ["ls", "-ld", str(folder)]
    assert shlex.split(room) == ["df", "-h", str(folder)]
    with pytest.raises(StorageError) as read:
        Archive(folder / "x.zip")
    assert shlex.split(read.value.fix) == ["ls", "-l", str(folder / "x.zip")]


def test_the_command_that_embeds_anew_is_one_whatever_the_names() -> None:
    words = shlex.split(command("my notes", "a folder/model"))
    assert words == ["thoth", "collections", "reembed", "my notes", "--model", "a folder/model"]
