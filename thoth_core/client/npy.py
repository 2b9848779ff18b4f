"""Writing vectors to a file that is whole or not there."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from pathlib import Path

import numpy as np

from thoth_core.errors import StorageError
from thoth_core.vectors import Vectors


def write_npy(path: Path, vectors: Vectors) -> None:
    """Write ``vectors`` to ``path`` in numpy's format. A file that was there is replaced at once
    by the whole new one, or, if this raises :class:`StorageError`, not touched. A link stays one,
    and a pipe or a device is written to."""
    temporary = ""
    try:
        if path.exists() and not path.is_file():
            # By way of memory: into a file np.save writes past Python, and asks for its place.
            whole = io.BytesIO()
            np.save(whole, vectors, allow_pickle=False)
            path.write_bytes(whole.getbuffer())
            return
        path = path.resolve()
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            np.save(file, vectors, allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files for the owner alone; the result is a file like any other.
        mask = os.umask(0)
        os.umask(mask)
        Path(temporary).chmod(0o666 & ~mask)
        Path(temporary).replace(path)
    except OSError as problem:
        if temporary:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
        raise StorageError(
            f"the vectors could not be written to {path}", cause=problem.strerror or str(problem)
        ) from problem
