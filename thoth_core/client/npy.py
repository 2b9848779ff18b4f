"""Writing vectors to a file that is whole or not there."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from thoth_core.errors import StorageError
from thoth_core.vectors import Vectors
from thoth_core.whole_file import draft_beside, whole_file


def write_npy(path: Path, vectors: Vectors) -> None:
    """Write ``vectors`` to ``path`` in numpy's format. A file that was there is replaced at once
    by the whole new one, or, if this raises :class:`StorageError`, not touched. A link stays one,
    and a pipe or a device is written to."""
    try:
        if path.exists() and not path.is_file():
            # By way of memory: into a file np.save writes past Python, and asks for its place.
            whole = io.BytesIO()
            np.save(whole, vectors, allow_pickle=False)
            path.write_bytes(whole.getbuffer())
            return
        path = path.resolve()
        # A file like any other.
        with whole_file(path, draft_beside(path), mode=0o666) as file:
            np.save(file, vectors, allow_pickle=False)
    except OSError as problem:
        raise StorageError(
            f"the vectors could not be written to {path}", cause=problem.strerror or str(problem)
        ) from problem
