"""A data directory in which nothing can be written."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Make
from tests.support.service import RealService


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder in which this user cannot write; for root that takes a file system."""
    folder = tmp_path / "read-only"
    folder.mkdir()
    if os.getuid() != 0:
        folder.chmod(0o500)
        yield folder
        folder.chmod(0o700)
        return
    mount = ["mount", "-t", "tmpfs", "-o", "ro,size=1m", "thoth-test", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        # Root without the right to mount: the kernel's own files take no folder from anybody.
        yield Path("/sys/kernel")
        return
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("inside", [".", "db"])
def test_a_start_in_a_read_only_folder_says_which_and_leaves_nothing(
    make_service: Make, read_only: Path, inside: str
) -> None:
    data = read_only / inside
    _cannot_start(make_service(RAG_VECTOR_DB_PATH=str(data)), data)


def test_a_file_in_place_of_the_folder_is_left_alone(make_service: Make, tmp_path: Path) -> None:
    data = tmp_path / "db"
    data.write_text("not a folder")
    _cannot_start(make_service(RAG_VECTOR_DB_PATH=str(data)), data)
    assert data.read_text() == "not a folder"


def test_a_file_in_place_of_the_folder_within_is_left_alone(
    make_service: Make, tmp_path: Path
) -> None:
    (tmp_path / "thoth").write_text("not a folder")
    _cannot_start(make_service(RAG_VECTOR_DB_PATH=str(tmp_path)), tmp_path)
    assert (tmp_path / "thoth").read_text() == "not a folder"


def _cannot_start(service: RealService, data: Path) -> None:
    for command in (
        ["thoth-supervisor", "start"],
        ["thoth-supervisor", "start", "--foreground"],
        ["thoth", "stats"],
    ):
        done = service.run(*command)
        assert done.returncode == 1, done.stderr
        assert f"error: the data directory {data}" in done.stderr
        assert "cause: " in done.stderr
        assert "fix: " in done.stderr
        assert "Traceback" not in done.stderr
    assert service.processes() == []
