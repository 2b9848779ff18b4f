"""A disk of a few megabytes that really fills up: a file system in memory, and a ballast file."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.service import wait_for


@dataclass(frozen=True)
class SmallDisk:
    """``path`` is where it is mounted."""

    path: Path

    @property
    def free(self) -> int:
        """Bytes that are free."""
        return shutil.disk_usage(self.path).free

    @property
    def ballast(self) -> Path:
        return self.path / "ballast"

    def fill(self, leave: int = 0) -> None:
        """Take every byte but ``leave``, at once: what is allocated is not written."""
        fd = os.open(self.ballast, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            size, step = os.fstat(fd).st_size, max(self.free - leave, 0)
            while step >= 4096 and self.free > leave:
                try:
                    os.posix_fallocate(fd, size, step)
                except OSError:
                    # Others write meanwhile.
                    step //= 2
                else:
                    size += step
                    step = min(step, max(self.free - leave, 0))
        finally:
            os.close(fd)

    def empty(self) -> None:
        """Take the ballast away."""
        self.ballast.unlink()


@contextlib.contextmanager
def small_disk(path: Path, megabytes: int) -> Iterator[SmallDisk]:
    """Mounted at ``path``; a test that may not mount is skipped."""
    path.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "thoth-test", str(path)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True)
        refused = done.stderr.strip() if done.returncode else ""
    except OSError as problem:
        refused = str(problem)
    if refused:
        pytest.skip(
            f"needs a disk of its own, and none can be mounted ({refused}); as root, or with"
            " `unshare -rm` before the command, it can be"
        )
    try:
        yield SmallDisk(path)
    finally:
        wait_for(lambda: _unmounted(path), 15, f"{path} is let go by all processes")


def _unmounted(path: Path) -> bool:
    return subprocess.run(["umount", str(path)], capture_output=True).returncode == 0
