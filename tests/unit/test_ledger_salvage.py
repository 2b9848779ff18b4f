"""What is saved of a damaged ledger is what was written, and nothing else."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from store_worker.ledger import Ledger
from tests.unit.test_ledger_guard import PAGE, garbled, root_of
from thoth_core.client.archive_read import Archive
from thoth_core.errors import StorageError
from thoth_core.ids import text_hash
from thoth_core.ledger_salvage import salvage

MODEL = {"name": "fake/4", "dimension": 4}
ROWS = 2000
RNG = np.random.default_rng(4)
VECTORS = RNG.normal(size=(ROWS + 1, 4)).astype("<f4")


def row(i: int) -> dict[str, Any]:
    return {
        "id": f"id{i:05}",
        "text": f"{i} " * 300,
        "metadata": {"source": f"s{i // 10}", "n": i},
        "computed": i % 3 > 0,
        "vector": VECTORS[i].tolist(),
    }


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ledger") / "ledger.sqlite3"
    ledger = Ledger.open(path, "first")
    with ledger.transaction():
        ledger.db.execute(
            "INSERT INTO collections (id, name, model, dimension, number, space)"
            " VALUES (1, 'notes', ?, 4, 1, 'l2'), (2, 'own', NULL, 4, 1, 'cosine')",
            (json.dumps(MODEL),),
        )
        values = []
        for i in range(1, ROWS + 1):
            r = row(i)
            metadata = json.dumps(r["metadata"])
            source, digest = r["metadata"]["source"], text_hash(r["text"])
            vector = VECTORS[i].tobytes()
            values.append((i, r["id"], r["computed"], source, digest, metadata, r["text"], vector))
        ledger.db.executemany(
            "INSERT INTO chunks (row, collection, id, number, computed, source, text_hash,"
            " metadata, text, vector) VALUES (?, 1, ?, 1, ?, ?, ?, ?, ?, ?)",
            values,
        )
        ledger.db.execute(
            "INSERT INTO chunks (collection, id, number, computed, vector)"
            " VALUES (2, 'a', 1, 0, ?)",
            (VECTORS[0].tobytes(),),
        )
        ledger.db.executemany(
            "INSERT INTO documents (collection, source, content_hash, chunks, number)"
            " VALUES (1, ?, ?, ?, 1)",
            [(f"s{i}", "h", 9 if i == 0 else 10) for i in range(200)] + [("outdated", None, 1)],
        )
    ledger.close()
    return path


@pytest.fixture
def path(healthy: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(healthy, tmp_path / "ledger.sqlite3"))


def saved(file: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Chunks and documents of the first collection, out of a file that an import would take."""
    with Archive(file) as archive:
        for entry in archive.manifest.collections:
            archive.verify(entry.chunks_file, entry.chunks, lambda: None)
            archive.verify(entry.documents_file, entry.documents, lambda: None)
        first = archive.manifest.collections[0]
        assert (first.name, first.model, first.dimension, first.space) == ("notes", MODEL, 4, "l2")
        chunks = [json.loads(line) for line in archive.lines(first.chunks_file)]
        documents = [json.loads(line) for line in archive.lines(first.documents_file)]
    return chunks, documents


def as_written(chunks: list[dict[str, Any]]) -> bool:
    return all(
        {**c, "vector": None} == {**row(int(c["id"][2:])), "vector": None}
        and np.array(c["vector"], "<f4").tobytes() == VECTORS[int(c["id"][2:])].tobytes()
        for c in chunks
    )


def test_everything_of_a_healthy_ledger(path: Path, tmp_path: Path) -> None:
    before = path.read_bytes()
    report = salvage(tmp_path, tmp_path / "saved.zip")
    assert report.whole
    assert report.collections == [
        {"name": "notes", "chunks": ROWS, "documents": 200},
        {"name": "own", "chunks": 1, "documents": 0},
    ]
    chunks, documents = saved(tmp_path / "saved.zip")
    assert [c["id"] for c in chunks] == [f"id{i:05}" for i in range(1, ROWS + 1)]
    assert as_written(chunks)
    assert documents[0]["source"] == "s0"
    assert path.read_bytes() == before


def test_what_only_the_log_has_is_read_and_nothing_is_written_beside_it(
    path: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    writer = sqlite3.connect(path)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("PRAGMA wal_autocheckpoint = 0")
    writer.execute("DELETE FROM chunks WHERE row > 1900 AND collection = 1")
    writer.commit()
    for each in ("ledger.sqlite3", "ledger.sqlite3-wal"):
        shutil.copyfile(tmp_path / each, folder / each)
    writer.close()
    before = {each.name: each.read_bytes() for each in folder.iterdir()}
    assert before["ledger.sqlite3-wal"]
    report = salvage(folder, tmp_path / "saved.zip")
    assert report.collections[0]["chunks"] == 1900
    assert {each.name: each.read_bytes() for each in folder.iterdir()} == before


def test_a_place_that_cannot_be_read_is_one_whatever_number_of_collections(
    path: Path, tmp_path: Path
) -> None:
    db = sqlite3.connect(path)
    db.execute("PRAGMA foreign_keys = OFF")
    names = [(i, f"n{i}", json.dumps(MODEL)) for i in range(3, 13)]
    db.executemany(
        "INSERT INTO collections (id, name, model, dimension, number) VALUES (?, ?, ?, 4, 1)", names
    )
    # By turns, so that each page has rows of several.
    db.execute("UPDATE chunks SET collection = 3 + row % 10 WHERE collection = 1")
    db.commit()
    db.execute("VACUUM")
    db.close()
    garbled(path, path.stat().st_size // PAGE // 3)
    report = salvage(path, tmp_path / "saved.zip")
    assert (report.gaps, report.garbled) == (1, 0)
    assert [each["name"] for each in report.collections][:3] == ["n10", "n11", "n12"]
    assert ROWS - 10 <= sum(each["chunks"] for each in report.collections) < ROWS + 1
    with Archive(tmp_path / "saved.zip") as archive:
        for position, entry in enumerate(archive.manifest.collections):
            lines = [json.loads(line) for line in archive.lines(entry.chunks_file)]
            assert len(lines) == report.collections[position]["chunks"]
            if entry.name == "n7":
                assert all(c["metadata"]["n"] % 10 == 4 for c in lines)


def test_without_room_for_the_sorted_rows_it_says_so(path: Path, tmp_path: Path) -> None:
    # In a process of its own, which may write no file that is larger than the ledger.
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from thoth_core.errors import StorageError\n"
        "from thoth_core.ledger_rows import SortedRows\n"
        "import sqlite3\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try:\n"
        "    SortedRows(sqlite3.connect(sys.argv[1]), Path(sys.argv[2]))\n"
        "except StorageError as problem:\n"
        "    print(problem.fix)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), str(tmp_path / "rows")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "set TMPDIR" in done.stdout


@pytest.mark.parametrize("pages", [1, 3, 40])
def test_garbled_pages_cost_the_rows_on_them(path: Path, tmp_path: Path, pages: int) -> None:
    first = path.stat().st_size // PAGE // 3
    for page in range(first, first + pages):
        garbled(path, page)
    before = path.read_bytes()
    report = salvage(path, tmp_path / "saved.zip")
    assert path.read_bytes() == before
    chunks, documents = saved(tmp_path / "saved.zip")
    there = {c["id"] for c in chunks}
    # A page has at most ten of these rows.
    assert ROWS - 10 * pages <= len(there) == len(chunks) < ROWS
    assert as_written(chunks)
    assert not report.whole
    assert report.gaps + report.garbled >= 1
    if report.missing is not None:
        assert report.missing == ROWS - len(chunks)
    for document in documents:
        number = int(document["source"][1:])
        mine = range(max(1, number * 10), number * 10 + 10)
        assert all(f"id{i:05}" in there for i in mine)


def test_a_ledger_that_was_cut_gives_what_is_before_the_cut(path: Path, tmp_path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    report = salvage(path, tmp_path / "saved.zip")
    chunks, _ = saved(tmp_path / "saved.zip")
    assert not report.whole
    assert 100 < len(chunks) < ROWS
    assert as_written(chunks)


def test_a_vector_of_which_the_end_was_cut_off_is_not_filled_up(tmp_path: Path) -> None:
    # SQLite reads zeros where the rest of a page was.
    path = tmp_path / "ledger.sqlite3"
    vectors = np.random.default_rng(6).normal(size=(40, 384)).astype("<f4")
    ledger = Ledger.open(path, "first")
    with ledger.transaction():
        ledger.db.execute(
            "INSERT INTO collections (id, name, dimension, number) VALUES (1, 'own', 384, 1)"
        )
        ledger.db.executemany(
            "INSERT INTO chunks (collection, id, number, computed, vector) VALUES (1, ?, 1, 0, ?)",
            [(str(i), vector.tobytes()) for i, vector in enumerate(vectors)],
        )
    ledger.close()
    content = path.read_bytes()
    place = content.index(vectors[20].tobytes())
    path.write_bytes(content[: place + 800])
    report = salvage(path, tmp_path / "saved.zip")
    assert not report.whole
    with Archive(tmp_path / "saved.zip") as archive:
        lines = list(archive.lines(archive.manifest.collections[0].chunks_file))
    for chunk in map(json.loads, lines):
        mine = np.array(chunk["vector"], "<f4")
        assert mine.tobytes() == vectors[int(chunk["id"])].tobytes()


def test_a_text_that_is_another_is_left_out(path: Path, tmp_path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("UPDATE chunks SET text = 'garbled' WHERE row = 7")
    db.execute("UPDATE chunks SET vector = x'0000' WHERE row = 8")
    db.execute("UPDATE chunks SET metadata = '{\"n\":' WHERE row = 9")
    db.commit()
    db.close()
    report = salvage(path, tmp_path / "saved.zip")
    chunks, documents = saved(tmp_path / "saved.zip")
    assert report.garbled == report.missing == 3
    assert {f"id{i:05}" for i in (7, 8, 9)}.isdisjoint(c["id"] for c in chunks)
    assert "s0" not in {d["source"] for d in documents}


@pytest.mark.parametrize("page", ["the first", "collections"])
def test_without_its_list_of_collections_nothing_can_be_saved(
    path: Path, tmp_path: Path, page: str
) -> None:
    garbled(path, 1 if page == "the first" else root_of(path, page))
    with pytest.raises(StorageError, match="nothing can be read") as caught:
        salvage(path, tmp_path / "saved.zip")
    assert "thoth ingest" in caught.value.fix
    (path.parent / "chroma").mkdir()
    with pytest.raises(StorageError) as caught:
        salvage(path, tmp_path / "saved.zip")
    assert caught.value.fix.endswith(f"thoth rescue {path.parent}.damaged/chroma")
    assert not (tmp_path / "saved.zip").exists()
    with pytest.raises(StorageError):
        salvage(tmp_path / "nowhere", tmp_path / "saved.zip")
    assert not zipfile.is_zipfile(tmp_path / "saved.zip")
