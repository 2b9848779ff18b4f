"""The disks that are made up after a loss of power: what is certain on them, and what is not."""

from __future__ import annotations

import random

from tests.support.crash_images import (
    Create,
    Delete,
    Disk,
    Event,
    Sync,
    Truncate,
    Write,
    images,
    pieces,
)


def found(events: list[Event], count: int = 400) -> list[dict[str, bytes]]:
    """Many images after ``events``."""
    disk, choose = Disk(), random.Random(1)
    for event in events:
        disk.feed(event)
    return [disk.image(choose) for _ in range(count)]


MADE: list[Event] = [Create("x"), Write("x", 0, b"one"), Sync("x", True)]


def test_what_was_synced_is_in_every_image():
    assert all(image == {"x": b"one"} for image in found(MADE))


def test_what_was_written_since_is_in_some():
    contents = {image["x"] for image in found([*MADE, Write("x", 0, b"two")])}
    assert contents == {b"one", b"two"}


def test_a_write_of_several_sectors_may_be_torn_anywhere_and_a_sector_never():
    old, new = b"o" * 2048, b"n" * 2048
    events = [Create("x"), Write("x", 0, old), Sync("x", True), Write("x", 0, new)]
    contents = {image["x"] for image in found(events)}
    assert len(contents) > 10
    for content in contents:
        assert all(len(set(content[at : at + 512])) == 1 for at in range(0, 2048, 512))


def test_a_later_write_may_arrive_without_an_earlier_one():
    events = [*MADE, Write("x", 4096, b"first"), Write("x", 0, b"two")]
    contents = {image["x"][:3] + image["x"][4096:] for image in found(events)}
    assert contents == {b"one", b"two", b"onefirst", b"twofirst"}


def test_where_a_files_length_arrived_and_its_content_did_not_there_is_nothing_or_rubbish():
    gaps = {image["x"][3:4096] for image in found([*MADE, Write("x", 4096, b"far")])}
    assert gaps == {b"", b"\0" * 4093, b"\xa5" * 4093}


def test_a_file_that_was_cut_may_have_its_old_length_until_it_is_synced():
    cut: list[Event] = [*MADE, Truncate("x", 1)]
    assert {image["x"] for image in found(cut)} == {b"one", b"o"}
    assert {image["x"] for image in found([*cut, Sync("x", False)])} == {b"o"}


def test_a_new_files_name_is_certain_once_its_folder_was_synced():
    events: list[Event] = [*MADE, Create("y"), Write("y", 0, b"why"), Sync("y", False)]
    assert {image.get("y") for image in found(events)} == {None, b"why"}
    assert {image.get("y") for image in found([*events, Sync("y", True)])} == {b"why"}


def test_a_deleted_file_may_come_back_and_is_not_the_new_one_of_its_name():
    events: list[Event] = [*MADE, Delete("x", False), Create("x"), Write("x", 0, b"new")]
    assert {image.get("x") for image in found(events)} == {None, b"one", b"", b"new"}
    assert {image.get("x") for image in found([*MADE, Delete("x", True)])} == {None}


def test_a_sync_makes_nothing_certain_that_was_written_after_it():
    disks = list(images([*MADE, Write("x", 0, b"two")], [3, 3, 3], random.Random(1)))
    assert disks == [(3, {"x": b"one"})] * 3


def test_pieces_end_where_sectors_end():
    cut = list(pieces(Write("x", 500, b"a" * 600), 512))
    assert [(each.offset, len(each.data)) for each in cut] == [(500, 12), (512, 512), (1024, 76)]
