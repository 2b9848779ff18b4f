"""Vectors that only Chroma itself can read: asked of a child process that opens a copy.

The last of the sources of a rescue. The child may crash, hang or fill its copy with junk: it is
bounded in time and in bytes, and what it has answered until then counts.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np

from thoth_core.chroma_dir.catalog import Collection
from thoth_core.chroma_dir.database import NAME
from thoth_core.chroma_dir.files import segment_folder
from thoth_core.chroma_dir.hnsw_files import LINKS
from thoth_core.supervisor.environment import child_environment
from thoth_core.vectors import Vectors

#: Seconds for one collection, and more for each thousand ids.
SECONDS, SECONDS_A_THOUSAND = 60.0, 5.0
#: Bytes that a file of the child may have at least, and its memory beyond what it reads.
FILE_BYTES, MEMORY_BYTES = 2 << 30, 8 << 30
#: Bytes that are left free on the disk of the copy.
_SPARE = 256 << 20


class StockChild:
    """A child for one collection, made when it is first asked. ``trouble`` says why it is of no use
    (any more), ``error`` what Chroma raised last while it lived."""

    def __init__(self, directory: Path, collection: Collection, wanted: int) -> None:
        self.trouble = self.error = ""
        self._directory = directory
        self._collection = collection
        self._seconds = SECONDS + SECONDS_A_THOUSAND * wanted / 1000
        self._stack = contextlib.ExitStack()
        self._child: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self._late = threading.Event()

    def vectors(self, ids: Sequence[str]) -> dict[str, Vectors]:
        """The vectors of ``ids`` that Chroma has, as far as it lives."""
        found: dict[str, Vectors] = {}
        if self.trouble or not ids:
            return found
        try:
            if self._child is None:
                self._child = self._started()
            stdin, stdout = self._child.stdin, self._child.stdout
            assert stdin is not None and stdout is not None
            stdin.write(json.dumps(list(ids)).encode() + b"\n")
            stdin.flush()
            while "end" not in (head := json.loads(stdout.readline())):
                names, dimension = [str(each) for each in head["ids"]], int(head["dimension"])
                raw = _exactly(stdout, 4 * dimension * len(names))
                rows = np.frombuffer(raw, "<f4").reshape(len(names), dimension)
                found.update(zip(names, rows, strict=True))
            self.error = str(head["end"]) or self.error
        except (OSError, ValueError, KeyError) as problem:
            self.trouble = self._end() or f"it could not be asked: {problem}"
        return found

    def close(self) -> None:
        """End the child and delete its copy."""
        self._end()
        self._stack.close()

    # -- the child ----------------------------------------------------------------------------

    def _started(self) -> subprocess.Popen[bytes]:
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="thoth-stock-")))
        largest, total = self._copy(folder)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the stack
        self._stack.callback(self._errors.close)
        death_read, death_write = os.pipe()
        self._stack.callback(os.close, death_write)
        orders = {
            "path": str(folder),
            "database": self._collection.database,
            "collection": self._collection.name,
            "file_bytes": max(FILE_BYTES, 2 * largest),
            "memory_bytes": MEMORY_BYTES + 4 * total,
            "parent": os.getpid(),
            "death_fd": death_read,
        }
        try:
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", "store_worker.stock_reader"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=child_environment(os.environ),
                pass_fds=(death_read,),
                cwd=folder,
                process_group=0,
            )
        finally:
            os.close(death_read)
        timer = threading.Timer(self._seconds, self._too_late, [child])
        timer.daemon = True
        timer.start()
        self._stack.callback(timer.cancel)
        assert child.stdin is not None
        child.stdin.write(json.dumps(orders).encode() + b"\n")
        return child

    def _too_late(self, child: subprocess.Popen[bytes]) -> None:
        self._late.set()
        child.kill()

    def _copy(self, folder: Path) -> tuple[int, int]:
        """Copy what Chroma needs; the bytes of the largest file, and of all. ``OSError``."""
        segment = segment_folder(self._directory, self._collection.vector_segment)
        files = [self._directory / f"{NAME}{suffix}" for suffix in ("", "-journal", "-wal")]
        if segment is not None:
            files += sorted(segment.glob("*"))
        sizes = {each: each.stat().st_size for each in files if each.is_file()}
        # What a damaged list of links has grown to may be larger than any disk.
        most = max((size for each, size in sizes.items() if each.name != LINKS), default=0)
        grown = [each.name for each, size in sizes.items() if size > max(2 * most, FILE_BYTES)]
        if grown:
            raise OSError(f"{grown[0]} is too large to be copied")
        total = sum(sizes.values())
        if total + _SPARE > shutil.disk_usage(folder).free:
            raise OSError(f"there is no room for a copy in {folder.parent}")
        for each in sizes:
            target = folder / each.relative_to(self._directory)
            target.parent.mkdir(exist_ok=True)
            # Not copy2: the copy of a read-only file must be writable.
            shutil.copyfile(each, target)
        return max(sizes.values(), default=0), total

    def _end(self) -> str:
        """End the child; how it ended, in words, if not by our doing."""
        child, self._child = self._child, None
        if child is None:
            return ""
        for pipe in (child.stdin, child.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()
        try:
            code = child.wait(2)
        except subprocess.TimeoutExpired:
            child.kill()
            code = child.wait()
        if self._late.is_set():
            return f"it was not done after {self._seconds:.0f} s"
        if code < 0:
            return f"it was ended by {signal.Signals(-code).name}"
        return self._last_words() or f"it ended with exit code {code}"

    def _last_words(self) -> str:
        if self._errors is None:
            return ""
        self._errors.seek(0)
        lines = self._errors.read(1 << 20).decode("utf-8", "replace").strip().splitlines()
        return lines[-1][:200] if lines else ""


def _exactly(stream: IO[bytes], size: int) -> bytes:
    raw = stream.read(size)
    if len(raw) != size:
        raise ValueError("it ended in the middle of an answer")
    return raw
