"""What is read of ``chroma.sqlite3`` is what stock Chroma gives for it."""

from __future__ import annotations

import itertools
import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from thoth_core.chroma_dir import database
from thoth_core.chroma_dir.catalog import DELETE, UPSERT, Catalog, merged
from thoth_core.chroma_dir.files import segment_folder

#: Makes a directory and prints what Chroma gives for it.
PROGRAM = """
import json, sys
import chromadb
client = chromadb.PersistentClient(sys.argv[1])
cosine = client.create_collection("cosine", configuration={"hnsw": {"space": "cosine"}})
cosine.add(
    ids=["a", "b", "é"],
    embeddings=[[1, 2, 3], [4, 5, 6], [7, 8, 10.5]],
    documents=["x", "", "z"],
    metadatas=[
        {"l": [1, 2], "s": ["a", "a"], "f": [1.5, 2.0], "b": [True, False], "x": "1"},
        {"x": 2**60, "whole": 3.0, "yes": True, "no": False},
        {"q": -1.5, "text": "chroma:document"},
    ],
)
cosine.update(ids=["a"], metadatas=[{"l": "now a text", "s": [2], "x": None}])
old = client.create_collection(
    "old", metadata={"hnsw:space": "ip", "hnsw:sync_threshold": 50, "hnsw:batch_size": 10,
                     "hnsw:M": 8, "mine": 1.5}
)
old.add(ids=[f"o{i}" for i in range(120)], embeddings=[[i, 1.0] for i in range(120)])
old.upsert(ids=["o3"], embeddings=[[9, 9]], metadatas=[{"k": "v"}], documents=["d"])
old.delete(ids=["o4"])
client.create_collection("default")
found = {}
for each in ("cosine", "old", "default"):
    got = client.get_collection(each).get(include=["documents", "metadatas"])
    found[each] = {i: [d, m] for i, d, m in zip(got["ids"], got["documents"], got["metadatas"])}
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    path = tmp_path_factory.mktemp("stores") / "store"
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM, str(path)], capture_output=True, text=True, check=True
    )
    return path, json.loads(done.stdout)


def test_rows_texts_and_metadata(made: tuple[Path, dict[str, Any]]) -> None:
    path, expected = made
    with database.opened(path) as db:
        catalog = Catalog(db)
        for each in catalog.collections():
            found = {row.id: [row.text, row.metadata or None] for row in catalog.rows(each)}
            assert found == expected[each.name]
            assert _types(found) == _types(expected[each.name])
            assert catalog.count(each) == len(found)
            assert list(catalog.ids(each)) == list(found)


def test_who_writes_meanwhile_is_not_kept_waiting(
    made: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(made[0], folder)
    with database.opened(folder) as db:
        catalog = Catalog(db)
        for collection in catalog.collections():
            for each in (catalog.rows(collection), catalog.log(collection)):
                if next(each, None) is None:
                    continue
                # In the middle of reading.
                writer = sqlite3.connect(folder / database.NAME, timeout=0)
                writer.execute("BEGIN EXCLUSIVE")
                writer.execute("ROLLBACK")
                writer.close()


def test_reading_all_rows_costs_each_row_the_same(
    made: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(made[0], folder)
    with database.opened(folder) as db:
        (old,) = (each for each in Catalog(db).collections() if each.name == "old")
    writer = sqlite3.connect(folder / database.NAME)
    steps = []
    for start in (1000, 5000):
        writer.executemany(
            "INSERT INTO embeddings (segment_id, embedding_id, seq_id) VALUES (?, ?, 1)",
            [(old.metadata_segment, f"n{i}") for i in range(start, start * 5)],
        )
        writer.commit()
        with database.opened(folder) as db:
            taken = 0

            def count() -> None:
                nonlocal taken
                taken += 1

            # Steps of SQLite's machine, which no busy machine changes.
            db.set_progress_handler(count, 100)
            rows = sum(1 for _ in Catalog(db).rows(old))
            assert rows == 119 + 4 * start + (4000 if start > 1000 else 0)
            steps.append(100 * taken / rows)
    writer.close()
    assert steps[1] < 1.5 * steps[0]


def test_a_row_whose_number_is_none_is_left_out(
    made: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(made[0], folder)
    writer = sqlite3.connect(folder / database.NAME)
    # A table as a stranger may have made it.
    writer.executescript(
        "CREATE TABLE other AS SELECT * FROM embeddings; DROP TABLE embeddings;"
        " ALTER TABLE other RENAME TO embeddings;"
        " INSERT INTO embeddings (id, segment_id, embedding_id, seq_id)"
        " SELECT column1, segment_id, 'x', 1 FROM embeddings,"
        " (VALUES (1e300), (1.5), ('z'), (NULL), (x'ff')) GROUP BY segment_id, column1"
    )
    writer.commit()
    writer.close()
    with database.opened(folder) as db:
        catalog = Catalog(db)
        for each in catalog.collections():
            found = [row.id for row in itertools.islice(catalog.rows(each), 1000)]
            assert sorted(found) == sorted(made[1][each.name])


@pytest.mark.parametrize("name", ["..", ".", "", "../x", "/tmp", "x/y", "a" * 32])
def test_a_segment_leads_nowhere_but_into_the_directory(tmp_path: Path, name: str) -> None:
    assert segment_folder(tmp_path, name) is None
    mine = "0b1c7d0e-8a5c-4a53-9b60-6f2f4d9f8f11"
    assert segment_folder(tmp_path, mine) == tmp_path / mine


def test_collections_and_their_spaces(made: tuple[Path, dict[str, Any]]) -> None:
    with database.opened(made[0]) as db:
        found = {each.name: each for each in Catalog(db).collections()}
    assert {name: (c.space, c.dimension, c.neighbours) for name, c in found.items()} == {
        "cosine": ("cosine", 3, 16),
        "old": ("ip", 2, 8),
        "default": ("l2", None, 16),
    }
    assert found["old"].metadata == {"mine": 1.5}
    assert found["old"].flushed == 3 + 1 + 120
    assert found["cosine"].flushed == 0
    assert all((each.embedder or {}).get("name") == "default" for each in found.values())


def test_the_log(made: tuple[Path, dict[str, Any]]) -> None:
    with database.opened(made[0]) as db:
        catalog = Catalog(db)
        old = next(each for each in catalog.collections() if each.name == "old")
        entries = list(catalog.log(old, after=old.flushed))
        assert [(each.operation, each.id) for each in entries] == [(UPSERT, "o3"), (DELETE, "o4")]
        assert np.array_equal(entries[0].vector, [9, 9])  # type: ignore[arg-type]
        assert entries[1].vector is None
        assert merged(None, {"k": 1, "j": 2}, {**entries[0].changes, "j": None}) == (
            "d",
            {"k": "v"},
        )
        # The last entry that was flushed stays.
        assert len(list(catalog.log(old))) == 3


def _types(found: dict[str, Any]) -> Any:
    return {
        id: {k: [type(x) for x in v] if isinstance(v, list) else type(v) for k, v in m.items()}
        for id, (_, m) in found.items()
        if m
    }
