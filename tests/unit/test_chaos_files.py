"""The check of ingested files of the chaos program: what is put in is found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from embed_worker.engines.fake import hashed_vector
from tests.chaos import files
from tests.chaos.journal import Journal, read
from thoth_core import Settings
from thoth_core.client.results import Row

SOURCE = "/there/conversions.txt"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    given = {"RAG_CHUNK_SIZE": "40", "RAG_CHUNK_OVERLAP": "4", "WORKSPACE_DIR": str(tmp_path)}
    return Settings.load(cwd=tmp_path, environ=given)


def ingested(path: Path, version: int, kind: str = "ingested", life: int = 0) -> None:
    journal = Journal(path, life)
    versions = {Path(SOURCE).stem: version}
    journal.write("ingest", n=version + 1, folder=str(Path(SOURCE).parent), versions=versions)
    if kind:
        journal.write(kind, n=version + 1, failed=[])


def rows_of(version: int, settings: Settings) -> list[Row]:
    metadata = {"source": SOURCE}
    pairs = sorted(files._chunks(SOURCE, version, settings))
    return [Row(id, text, metadata, hashed_vector(text, 8)) for id, text in pairs]


def check(path: Path, rows: list[Any], settings: Settings) -> files.Found:
    book = files.book_of({"ingester-0": read(path)})
    return files.check(book, rows, settings, known=True)


def test_a_file_is_what_its_last_ingest_made_it(tmp_path, settings):
    path = tmp_path / "journal"
    for version in range(3):
        ingested(path, version)
    assert len(rows_of(2, settings)) > 3
    assert check(path, rows_of(2, settings), settings).problems() == []
    assert check(path, rows_of(1, settings), settings).mixed == [SOURCE]
    assert check(path, [], settings).lost == [SOURCE]


def test_a_file_that_lacks_a_chunk_or_has_one_of_another_version_is_found(tmp_path, settings):
    path = tmp_path / "journal"
    ingested(path, 2)
    rows = rows_of(2, settings)
    [strange] = [r for r in rows_of(3, settings) if r.text not in {o.text for o in rows}][:1]
    assert check(path, rows[1:], settings).mixed == [SOURCE]
    assert check(path, [*rows, strange], settings).mixed == [SOURCE]
    assert check(path, [*rows, rows[0]], settings).twice == [rows[0].id]


def test_a_vector_of_another_text_and_a_file_that_nobody_ingested_are_found(tmp_path, settings):
    path = tmp_path / "journal"
    ingested(path, 0)
    first, *rest = rows_of(0, settings)
    wrong = Row(first.id, first.text, first.metadata, hashed_vector("another text", 8))
    assert check(path, [wrong, *rest], settings).vectors == [first.id]
    strange = Row("x", "y", {"source": "/strange"}, hashed_vector("y", 8))
    assert check(path, [first, *rest, strange], settings).unknown == ["/strange"]


@pytest.mark.parametrize("kind", ["ingest failed", ""])
def test_an_ingest_that_failed_or_was_cut_off_may_have_been_carried_out(tmp_path, settings, kind):
    path = tmp_path / "journal"
    ingested(path, 0)
    ingested(path, 1, kind)
    for version in (0, 1):
        assert check(path, rows_of(version, settings), settings).problems() == []
    Journal(path, 1).write("settled")
    ingested(path, 2, life=1)
    assert check(path, rows_of(1, settings), settings).mixed == [SOURCE]
    assert check(path, rows_of(2, settings), settings).problems() == []
