"""Whatever is in the files of a Chroma directory, looking at it ends soon and raises nothing."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import stock_chroma
from tests.support.damage import garble, index_of
from tests.support.stock_chroma import Made
from thoth_core.chroma_dir import database_salvage, graph, hnsw_files
from thoth_core.chroma_dir.check import check
from thoth_core.chroma_dir.source import Source

FILES = (
    "header.bin",
    "data_level0.bin",
    "length.bin",
    "link_lists.bin",
    "index_metadata.pickle",
    "chroma.sqlite3",
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stores") / "store"
    stock_chroma.build(path, Made("notes", rows=1000, dimension=8))
    return path


def _path(store: Path, name: str) -> Path:
    return store / name if name == "chroma.sqlite3" else index_of(store) / name


@settings(max_examples=300, deadline=5000)
@given(
    name=st.sampled_from(FILES),
    place=st.floats(0, 1),
    junk=st.one_of(
        st.binary(min_size=1, max_size=64),
        st.sampled_from([b"\xff" * 4, b"\xff" * 8, b"\0" * 64, b"\0\0\0\x80", b"\xff" * 4096]),
    ),
)
def test_garbled_bytes(store: Path, name: str, place: float, junk: bytes) -> None:
    path = _path(store, name)
    whole = path.read_bytes()
    at = int(place * (len(whole) - 1))
    try:
        with path.open("r+b") as file:
            file.seek(at)
            file.write(junk)
        check(store)
    finally:
        path.write_bytes(whole)


def test_a_schema_in_which_not_all_is_utf8_is_a_finding(store: Path) -> None:
    path = _path(store, "chroma.sqlite3")
    whole = path.read_bytes()
    try:
        # Pages that are free have old copies of it.
        path.write_bytes(whole.replace(b"CREATE TABLE embeddings", b"CREATE TABL\x80 embeddings"))
        [found] = check(store)
        assert found.file == "chroma.sqlite3"
        assert "malformed" in found.reason
        # And what is left in it is brought in.
        with Source(store) as source:
            assert source.salvaged
            for each in source.collections:
                assert list(source.gather(each).rows())
    finally:
        path.write_bytes(whole)


@settings(max_examples=60, deadline=5000)
@given(name=st.sampled_from(FILES), size=st.integers(0, 400_000))
def test_cut_or_grown(store: Path, name: str, size: int) -> None:
    path = _path(store, name)
    whole = path.read_bytes()
    try:
        os.truncate(path, size)
        found = check(store)
        # Longer is what these two are while they are small.
        if size < len(whole) or name not in ("data_level0.bin", "length.bin", "chroma.sqlite3"):
            assert found or size == len(whole)
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "put",
    [
        lambda path: os.mkfifo(path),
        lambda path: path.mkdir(),
        lambda path: path.symlink_to("/dev/zero"),
        lambda path: path.symlink_to("/nowhere/at/all"),
    ],
    ids=["a pipe", "a folder", "a device", "a link to nothing"],
)
def test_no_file_at_all(
    store: Path, name: str, put: Callable[[Path], None], tmp_path: Path
) -> None:
    shutil.copytree(store, tmp_path / "copy")
    path = _path(tmp_path / "copy", name)
    index = path.parent
    path.unlink()
    put(path)
    found = check(tmp_path / "copy")
    assert found and found[0].file.endswith(name), index


def test_unreachable_elements_are_counted_but_for_equal_vectors(store: Path) -> None:
    segment = hnsw_files.read(index_of(store))
    assert graph.lost(segment) == (0, 1000)
    # Nothing leads to the last 300 any more, at any level.
    gone = segment.neighbours0 >= 700
    segment.neighbours0[gone] = 0
    segment.links.counts[:] = 0
    lost, live = graph.lost(segment)
    entry = segment.header.entry_point
    assert (lost, live) == (300 - (entry is not None and entry >= 700), 1000)
    assert lost > graph.allowed(live)


def test_a_database_is_read_around_what_is_garbled(store: Path, tmp_path: Path) -> None:
    shutil.copyfile(store / "chroma.sqlite3", tmp_path / "db")
    garble(tmp_path / "db", "embeddings")
    garble(tmp_path / "db", "embedding_metadata")
    db = sqlite3.connect(tmp_path / "db")
    losses = database_salvage.salvage(db, tmp_path / "saved")
    db.close()
    saved = sqlite3.connect(tmp_path / "saved")
    have = {id for (id,) in saved.execute("SELECT embedding_id FROM embeddings")}
    texts = {
        (row, text)
        for row, text in saved.execute(
            "SELECT id, string_value FROM embedding_metadata WHERE key = 'chroma:document'"
        )
    }
    saved.close()
    made = Made("notes", rows=1000)
    assert [each.table for each in losses] == ["embeddings", "embedding_metadata"]
    assert all(each.gaps == 1 for each in losses)
    assert 1000 - len(have) == losses[0].at_most
    assert have <= set(made.ids()) and len(have) > 700
    assert texts <= {(row + 1, made.text(row)) for row in range(1000)} and len(texts) > 700
