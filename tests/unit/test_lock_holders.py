"""Who keeps others out of a file, by what the kernel tells."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from store_worker import lock_holders

LINES = """\
1: POSIX  ADVISORY  WRITE {pid} {place} 120 120
2: POSIX  ADVISORY  READ  71 {place} 123 123
2: -> POSIX  ADVISORY  WRITE 72 {place} 120 120
3: FLOCK  ADVISORY  WRITE 73 {place} 0 EOF
4: OFDLCK ADVISORY  WRITE -1 {place} 0 EOF
5: POSIX  ADVISORY  WRITE 74 {other} 0 EOF
6: POSIX  ADVISORY  WRITE 75
nonsense
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.sqlite3-shm"
    path.touch()
    return path


def told(file: Path, pid: int) -> Path:
    found = file.stat()
    device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}"
    place, other = f"{device}:{found.st_ino}", f"{device}:{found.st_ino + 1}"
    path = file.with_name("locks")
    path.write_text(LINES.format(pid=pid, place=place, other=other))
    return path


def test_those_are_named_that_keep_all_others_out_and_not_this_process(file: Path) -> None:
    assert lock_holders.of([file, file.with_name("gone")], told(file, 70)) == [70, 73]
    assert lock_holders.of([file], told(file, os.getpid())) == [73]


def test_nobody_is_named_where_the_kernel_tells_nothing(file: Path) -> None:
    assert lock_holders.of([file], file.with_name("gone")) == []
