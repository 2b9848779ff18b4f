"""A disposable file of float32 vectors, mapped into memory for reading.

It is never the truth, and has no name: it goes with the process, however that ends. It is written
with ``pwrite`` and only read through the mapping, so a full disk is an error that can be answered
and not a SIGBUS.
"""

from __future__ import annotations

import mmap
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from thoth_core.errors import StorageError
from thoth_core.vectors import Vectors

#: Space left to ledger and index on the disk: without them nothing can be stored, without this
#: file a search is only slower.
RESERVE_BYTES = 128 * 1024 * 1024
_FIRST_VECTORS = 1024


class VectorFile:
    """Vectors of ``dimension`` in slots from 0. Every write may raise :class:`StorageError`;
    after :meth:`append` did, the slots are those that there were."""

    def __init__(self, folder: Path, dimension: int) -> None:
        self._folder = folder
        self._width = 4 * dimension
        self._dimension = dimension
        self._capacity = 0
        self._size = 0
        self._view: Vectors = np.empty((0, dimension), np.float32)
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            # Unlinked, or never linked (O_TMPFILE), when this returns.
            self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
        except OSError as problem:
            raise self._refused(problem) from problem

    def __len__(self) -> int:
        return self._size

    @property
    def vectors(self) -> Vectors:
        """The vectors, read-only, without a copy; good until the next write."""
        return self._view[: self._size]

    def append(self, vectors: Vectors) -> None:
        """``vectors`` in the slots that follow."""
        needed = self._size + len(vectors)
        self._check_room(len(vectors) * self._width)
        if needed > self._capacity:
            self._grow(max(needed, 2 * self._capacity, _FIRST_VECTORS))
        self._write(self._size, vectors)
        self._size = needed

    def put(self, slot: int, vectors: Vectors) -> None:
        """Other vectors in slots that have some, from ``slot`` on. After a :class:`StorageError`
        some may be the new ones, and some the old."""
        self._write(slot, vectors)

    def truncate(self, size: int) -> None:
        """Keep the first ``size`` slots, and give the space of the others back."""
        self._size = min(size, self._size)
        self._grow(max(self._size, _FIRST_VECTORS))

    def close(self) -> None:
        self._view = np.empty((0, self._dimension), np.float32)
        self._size = self._capacity = 0
        self._file.close()

    def _grow(self, capacity: int) -> None:
        # The new part is a hole: it takes space as it is written, and the part that is not written
        # is not read.
        try:
            self._file.truncate(capacity * self._width)
            mapped = mmap.mmap(self._file.fileno(), capacity * self._width, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as problem:
            raise self._refused(problem) from problem
        self._view = np.frombuffer(mapped, np.float32).reshape(capacity, self._dimension)
        self._capacity = capacity

    def _write(self, slot: int, vectors: Vectors) -> None:
        data = np.ascontiguousarray(vectors, np.float32).data.cast("B")
        place = slot * self._width
        try:
            while data:
                done = os.pwrite(self._file.fileno(), data, place)
                data, place = data[done:], place + done
        except OSError as problem:
            raise self._refused(problem) from problem

    def _check_room(self, size: int) -> None:
        try:
            free = shutil.disk_usage(self._folder).free
        except OSError as problem:
            raise self._refused(problem) from problem
        if free < size + RESERVE_BYTES:
            raise StorageError(
                f"the disk is nearly full: {free:,} bytes are free",
                cause="vectors are scanned straight from the ledger, which takes longer",
                fix=f"free some space: df -h {self._folder}",
                path=str(self._folder),
            )

    def _refused(self, problem: OSError | ValueError) -> StorageError:
        reason = problem.strerror if isinstance(problem, OSError) else None
        return StorageError(
            f"there can be no file for scanning in {self._folder}",
            cause=reason or str(problem),
            fix=f"ls -ld {self._folder}; df -h {self._folder}",
            path=str(self._folder),
        )
