"""Whether the files that a service began with are still there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from thoth_core.supervisor.premises import TOUCH_EVERY, Premises, is_gone


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    made = [tmp_path / "a" / "lock", tmp_path / "b" / "lock"]
    for path in made:
        path.parent.mkdir()
        path.touch()
    return made


def test_what_is_gone_or_another_file_is_named_with_its_folder(files: list[Path]) -> None:
    premises = Premises(files)
    assert premises.lost() is None
    aside = files[1].rename(files[1].with_name("aside"))
    gone = premises.lost()
    assert gone is not None and f"{files[1]} is gone" in gone.cause
    assert str(files[1].parent) in gone.message
    files[1].touch()
    other = premises.lost()
    assert other is not None and "in the place of another one" in other.cause
    aside.rename(files[1])
    assert premises.lost() is None


def test_what_cannot_be_looked_at_is_not_lost(files: list[Path]) -> None:
    premises = Premises(files)
    aside = files[0].parent.rename(files[0].parent.with_name("aside"))
    # A link to itself: an error, but not that there is nothing.
    files[0].parent.symlink_to(files[0].parent)
    assert premises.lost() is None
    files[0].parent.unlink()
    assert premises.lost() is not None
    aside.rename(files[0].parent)


def test_files_in_use_do_not_grow_old(files: list[Path]) -> None:
    premises = Premises(files)
    for now, old in ((5.0, False), (10.0, True), (5.0 + TOUCH_EVERY, False)):
        for path in files:
            os.utime(path, (1000.0, 1000.0))
        premises.keep(now)
        assert [path.stat().st_mtime == 1000.0 for path in files] == [old, old]


def test_a_file_is_gone_only_if_that_is_certain(files: list[Path]) -> None:
    assert not is_gone(files[0])
    files[0].unlink()
    assert is_gone(files[0])
    files[0].symlink_to(files[0])
    assert not is_gone(files[0])


def test_further_files_are_kept_new_too(files: list[Path]) -> None:
    for path in files:
        os.utime(path, (0, 0))
    Premises(files[:1]).keep(0.0, files[1:])
    assert all(path.stat().st_mtime > 0 for path in files)
