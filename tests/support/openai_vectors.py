"""Vectors for the test server, and how they are sent."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
#: Texts to rows, as wide as it likes: they are padded with zeros, which keeps cosines, and made
#: unit length.
Embed = Callable[[Sequence[str]], Any]

DIMENSIONS = {
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
    "text-embedding-ada-002": 1536,
}


def hashed(texts: Sequence[str], width: int) -> Floats:
    """For each text a direction of its own, the same each time."""
    rows = np.empty((len(texts), width), dtype=np.float32)
    for row, text in zip(rows, texts, strict=True):
        seed = int.from_bytes(hashlib.sha256(text.encode("utf-8", "replace")).digest()[:16])
        np.random.Generator(np.random.SFC64(seed)).standard_normal(dtype=np.float32, out=row)
    return rows


def vectors(
    texts: Sequence[str], model: str, dimensions: int | None, embed: Embed | None
) -> Floats:
    """Unit vectors, (len(texts), ``dimensions``): with fewer than the model has, the first ones,
    made unit length again as the real API does."""
    full = DIMENSIONS[model]
    if embed is None:
        rows = hashed(texts, full)
    else:
        given = np.asarray(embed(texts), dtype=np.float32)
        assert given.shape[0] == len(texts) and given.shape[1] <= full, given.shape
        rows = np.zeros((len(texts), full), dtype=np.float32)
        rows[:, : given.shape[1]] = given
    rows = rows[:, :dimensions]
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.ascontiguousarray(rows / np.where(lengths == 0, 1, lengths), dtype=np.float32)


def encoded(row: Floats, encoding_format: str) -> Any:
    """One vector as it stands in the answer."""
    if encoding_format == "base64":
        return base64.b64encode(row.astype("<f4").tobytes()).decode("ascii")
    return row.tolist()
