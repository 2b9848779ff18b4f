"""A file that takes its place whole, or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.small_disk import small_disk
from thoth_core.whole_file import draft_beside, whole_file

KILLED = """
import os, signal, sys
from pathlib import Path
from thoth_core.whole_file import whole_file
path = Path(sys.argv[1])
with whole_file(path, path.with_name(".draft")) as file:
    file.write(b"half of the new")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_it_takes_the_place_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_bytes(b"the old")
    with whole_file(path, draft_beside(path)) as file:
        file.write(b"the new")
        assert path.read_bytes() == b"the old"
    assert path.read_bytes() == b"the new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("problem", [OSError("no"), ValueError("no"), KeyboardInterrupt()])
def test_whatever_the_block_raises_leaves_the_old_one(
    tmp_path: Path, problem: BaseException
) -> None:
    path = tmp_path / "list"
    path.write_bytes(b"the old")
    with pytest.raises(type(problem)), whole_file(path, draft_beside(path)) as file:
        file.write(b"the new")
        raise problem
    assert path.read_bytes() == b"the old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_process_that_is_killed_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_bytes(b"the old")
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"the old"
    # The next one takes the draft's name over.
    assert {each.name for each in tmp_path.iterdir()} == {"list", ".draft"}
    with whole_file(path, path.with_name(".draft")) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_that_is_full_leaves_the_old_one(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 4) as disk:
        path = disk.path / "list"
        path.write_bytes(b"the old")
        disk.fill()
        with pytest.raises(OSError), whole_file(path, draft_beside(path)) as file:
            file.write(bytes(1024 * 1024))
        assert path.read_bytes() == b"the old"
        assert {each.name for each in disk.path.iterdir()} == {"list", disk.ballast.name}


def test_the_longest_name_has_a_draft(tmp_path: Path) -> None:
    path = tmp_path / ("\N{PILE OF POO}" * 63)
    with whole_file(path, draft_beside(path), mode=0o666, durable=False) as file:
        file.write(b"x")
    mask = os.umask(0)
    os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask
