"""A Chroma directory whose database names a folder outside of it: nobody goes there."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from thoth_core.chroma_dir import database
from thoth_core.chroma_dir.check import check
from thoth_core.chroma_dir.source import Source
from thoth_core.client.stock_child import StockChild

PROGRAM = """
import sys
import chromadb
made = chromadb.PersistentClient(sys.argv[1]).create_collection(
    "mine", metadata={"hnsw:sync_threshold": 10, "hnsw:batch_size": 5}
)
made.add(ids=[str(i) for i in range(20)], embeddings=[[i, 1.0] for i in range(20)])
"""


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """The index is beside the directory, under the name "..", with a file more."""
    directory = tmp_path / "outer" / "store"
    subprocess.run([sys.executable, "-P", "-c", PROGRAM, str(directory)], check=True)
    (segment,) = (each for each in directory.iterdir() if each.is_dir())
    for each in segment.iterdir():
        shutil.move(each, directory.parent / each.name)
    segment.rmdir()
    (directory.parent / "notes").write_text("theirs")
    db = sqlite3.connect(directory / database.NAME)
    for table, column in (("segments", "id"), ("max_seq_id", "segment_id")):
        db.execute(f"UPDATE {table} SET {column} = '..' WHERE {column} = ?", (segment.name,))
    db.commit()
    db.close()
    return directory


def test_it_is_found_damaged_and_its_index_is_not_read(hostile: Path) -> None:
    (finding,) = check(hostile)
    assert (finding.collection, finding.file) == ("mine", database.NAME)
    with Source(hostile) as source:
        (collection,) = source.collections
        assert collection.vector_segment == ".."
        with contextlib.closing(source.gather(collection)) as gathered:
            assert not gathered.unread
            # Of the log, or of nowhere.
            assert {row.origin for row in gathered.rows()} <= {"log", ""}


def test_nothing_is_copied_out_of_the_folder_for_the_child(
    hostile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    (temporary / "notes").write_text("mine")
    with Source(hostile) as source:
        (collection,) = source.collections
    with contextlib.closing(StockChild(hostile, collection, 1)) as child:
        child.vectors(["1"])
        assert (temporary / "notes").read_text() == "mine"
    assert [each.name for each in temporary.iterdir()] == ["notes"]
