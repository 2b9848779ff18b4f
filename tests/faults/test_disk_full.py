"""A disk on which no byte is free: refused with the way out, nothing lost, and work goes on."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from store_worker import scan_file
from store_worker.keeper import Keeper
from store_worker.scan_file import VectorFile
from tests.faults.full_disk import (
    MIB,
    Array,
    Book,
    D,
    has_no_room,
    index_of,
    is_typed,
    leftovers,
    rows,
)
from tests.integration.store_double import StoreRoom, model
from tests.support.service import wait_for
from tests.support.small_disk import SmallDisk, small_disk
from thoth_core.errors import StorageError


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", 320) as made:
        yield made


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each search whether the index answered it."""
    told: list[bool] = []
    real = Keeper.ask_index

    def ask(self: Keeper, *given: Any, **fields: Any) -> Any:
        reply = real(self, *given, **fields)
        told.append(reply is not None)
        return reply

    monkeypatch.setattr(Keeper, "ask_index", ask)
    return told


def test_a_disk_that_fills_up_refuses_writes_and_answers_reads(
    disk: SmallDisk, tmp_path: Path, asked: list[bool]
) -> None:
    disk.fill(leave=44 * MIB)
    with StoreRoom(disk.path / "d", tmp_path / "r") as store:
        book = Book(store)
        book.add(10)
        store.healthy()
        with pytest.raises(StorageError) as caught:
            for _ in range(200):
                book.add(40, "word " * 2000)
        is_typed(caught.value, disk)
        wait_for(lambda: disk.fill() or not disk.free, 10, "it is full")
        number = {"number": store.next_number(), "collection": "notes"}
        for kind, body, vectors in (
            ("upsert", number | {"ids": ["x"], "model": None}, rows(1)),
            ("create_collection", number | {"collection": "other", "model": None}, None),
        ):
            is_typed(store.error(kind, body, vectors), disk)
        book.all_are_found()

        disk.empty()
        book.add(10)
        store.healthy()
        disk.fill()
        del asked[:]
        # A busy index is not waited for.
        wait_for(lambda: book.some_are_found() or asked[-1], 30, "the index is asked")
        # Another process cannot open the index: Chroma writes when it does.
        os.kill(index_of(store)["pid"], signal.SIGKILL)
        wait_for(lambda: has_no_room(store), 30, "the next process is not let in")
        del asked[:]
        for _ in range(3):
            # It is tried again every two seconds.
            time.sleep(1)
            book.all_are_found()
        assert not any(asked)

        disk.empty()
        book.add(10)
        book.index_is_whole()
        book.all_are_found()
        assert not leftovers(disk)
        index = index_of(store)
        assert (index["generation"], index["restarts"]) == (1, 1)


def test_writes_do_not_wait_for_an_index_that_has_no_room(
    disk: SmallDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store_worker.keeper.MOST_BEHIND", 4)
    with StoreRoom(disk.path / "d", tmp_path / "r") as store:
        book = Book(store)
        book.add(1)
        store.healthy()
        # Too little for the index, which needs more for a row than the ledger.
        disk.fill(leave=39 * MIB)
        for _ in range(8):
            book.add(1, "word " * 50_000)
        assert has_no_room(store)
        assert index_of(store)["pending"] > 4
        book.all_are_found()
        disk.empty()
        book.index_is_whole()


def test_a_document_that_is_staged_on_a_full_disk_leaves_the_old_one_to_be_seen(
    disk: SmallDisk, tmp_path: Path
) -> None:
    with StoreRoom(disk.path / "d", tmp_path / "r") as store:
        document = Document(store)
        old, new = rows(3), rows(2)
        stage = document.begin()
        document.add(stage, "old", old)
        document.commit(stage, "old", 3)

        disk.fill()
        with pytest.raises(StorageError) as caught:
            document.begin()
        is_typed(caught.value, disk)
        document.is_seen("old", old)
        disk.empty()

        stage = document.begin()
        disk.fill()
        with pytest.raises(StorageError) as caught:
            document.add(stage, "new", new)
        is_typed(caught.value, disk)
        document.is_seen("old", old)
        disk.empty()
        document.add(stage, "new", new)

        disk.fill()
        with pytest.raises(StorageError) as caught:
            document.commit(stage, "new", 2)
        is_typed(caught.value, disk)
        document.is_seen("old", old)
        disk.empty()
        document.commit(stage, "new", 2)
        document.is_seen("new", new)


class Document:
    """The calls of an ingest of one source."""

    def __init__(self, store: StoreRoom) -> None:
        self.store = store

    def begin(self) -> int:
        number = self.store.next_number()
        body = {"collection": "notes", "number": number, "request": f"b{number}"}
        return int(self.store.call("begin_ingest", body).body["stage"])

    def add(self, stage: int, name: str, vectors: Array) -> None:
        ids = [f"{name}{i}" for i in range(len(vectors))]
        metadatas = [{"source": "f", "ordinal": i} for i in range(len(vectors))]
        by = model(f"fake/{D}", D)
        self.store.upsert(ids, vectors, model=by, texts=ids, metadatas=metadatas, stage=stage)

    def commit(self, stage: int, name: str, n: int) -> None:
        body = {"collection": "notes", "source": "f", "content_hash": name, "stage": stage}
        body |= {"ids": [f"{name}{i}" for i in range(n)], "number": self.store.next_number()}
        self.store.call("replace_document", body)

    def is_seen(self, name: str, vectors: Array) -> None:
        ids = [f"{name}{i}" for i in range(len(vectors))]
        assert self.store.get().body["ids"] == ids
        assert [hits[0]["id"] for hits in self.store.search(vectors, k=1)] == ids
        asked = {"collection": "notes", "sources": ["f"]}
        [found] = self.store.call("documents", asked).body["documents"].items()
        assert (found[0], name in str(found[1])) == ("f", True)


def test_a_file_for_scans_that_gets_no_more_room_keeps_what_it_has(
    disk: SmallDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is kept free for others would be kept here too; another program does not ask for that.
    monkeypatch.setattr(scan_file, "RESERVE_BYTES", -(2**60))
    file, had, more = VectorFile(disk.path / "scan", D), rows(3000), rows(50_000)
    file.append(had)
    disk.fill()
    with pytest.raises(StorageError) as caught:
        file.append(more)
    assert str(disk.path) in caught.value.message
    assert f"df -h {disk.path}" in caught.value.fix
    # A mapped page that has no room ends the process when it is touched.
    assert file.vectors.tobytes() == had.tobytes()
    disk.empty()
    file.append(more)
    assert file.vectors.tobytes() == had.tobytes() + more.tobytes()
    file.close()


def test_searches_are_answered_from_the_ledger_when_the_file_for_scans_gets_no_room(
    disk: SmallDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[bool]
) -> None:
    monkeypatch.setattr(scan_file, "RESERVE_BYTES", 0)
    with StoreRoom(disk.path / "d", tmp_path / "r") as store:
        book = Book(store)
        for _ in range(4):
            book.add(500)
        disk.fill()
        os.kill(index_of(store)["pid"], signal.SIGKILL)
        wait_for(lambda: has_no_room(store), 30, "the next process is not let in")
        del asked[:]
        book.all_are_found()
        assert not any(asked)
        disk.empty()
        book.all_are_found()
