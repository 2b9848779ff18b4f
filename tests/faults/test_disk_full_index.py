"""A disk that is full while the index is written or rebuilt: it is made when there is room."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.full_disk import (
    MIB,
    Book,
    has_no_room,
    index_of,
    leftovers,
)
from tests.integration.store_double import StoreRoom
from tests.support.damage import DAMAGES
from tests.support.service import wait_for
from tests.support.small_disk import SmallDisk, small_disk
from thoth_core.disk_room import RESERVE_BYTES


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", 320) as made:
        yield made


def test_a_disk_that_fills_up_while_the_index_is_written_ends_no_search_and_no_index(
    disk: SmallDisk, tmp_path: Path
) -> None:
    with StoreRoom(disk.path / "d", tmp_path / "r") as store:
        book = Book(store)
        book.add(10)
        store.healthy()
        for pause in (0.02, 0.06, 0.1, 0.15):
            disk.fill(leave=110 * MIB)
            book.add(400, "some words " * 40)
            time.sleep(pause)
            # The process is stopped, so that the disk is full in the middle of what it is at.
            pid = index_of(store)["pid"]
            os.kill(pid, signal.SIGSTOP)
            disk.fill()
            os.kill(pid, signal.SIGCONT)
            book.some_are_found()
            disk.empty()
            store.healthy(60)
        book.index_is_whole()
        book.all_are_found()
        assert index_of(store)["generation"] == 1


@pytest.mark.parametrize("full_at", ["the start", "the middle"])
def test_an_index_is_rebuilt_when_there_is_room_for_it(
    disk: SmallDisk, tmp_path: Path, full_at: str
) -> None:
    with StoreRoom(disk.path / "d", tmp_path / "r") as store:
        book = Book(store)
        for _ in range(2 if full_at == "the start" else 8):
            book.add(500)
        store.healthy()
        DAMAGES["chroma.sqlite3 truncated"](disk.path / "d" / "chroma")
        # In the middle there is room for a part of the new one, over what no write begins without.
        disk.fill(leave=0 if full_at == "the start" else RESERVE_BYTES + 3 * MIB)
        os.kill(index_of(store)["pid"], signal.SIGKILL)
        wait_for(lambda: has_no_room(store), 30, "it has no room")
        if full_at == "the middle":
            some = wait_for(lambda: _filled(store), 30, "some rows are in")
            assert some < len(book.vectors)
            disk.fill()
        book.all_are_found()
        before = index_of(store)
        wait_for(lambda: index_of(store)["pid"] == before["pid"], 1, "the same")
        assert before["restarts"] <= 3
        assert before["generation"] == 2
        disk.empty()
        book.add(10)
        store.healthy(60)
        book.index_is_whole()
        book.all_are_found()
        assert not leftovers(disk)
        assert index_of(store)["generation"] == 2


def _filled(store: StoreRoom) -> int:
    return int((index_of(store)["progress"] or {}).get("done", 0))


def test_a_damaged_index_that_fills_the_disk_is_no_hindrance_to_the_next(
    disk: SmallDisk, tmp_path: Path
) -> None:
    with StoreRoom(disk.path / "d", tmp_path / "r") as store:
        book = Book(store)
        book.add(500)
        store.healthy()
        chroma = disk.path / "d" / "chroma"
        DAMAGES["chroma.sqlite3 truncated"](chroma)
        # As a size field gone wrong does it: link_lists.bin takes all there is.
        wait_for(lambda: disk.fill() or not disk.free, 10, "it is full")
        disk.ballast.rename(chroma / "link_lists.bin")
        os.kill(index_of(store)["pid"], signal.SIGKILL)
        wait_for(lambda: index_of(store)["generation"] == 2, 30, "it is begun anew")
        book.index_is_whole()
        book.all_are_found()
        assert not leftovers(disk)
