"""Rows to measure with: vectors in crowds, as those of texts are, with a text and metadata each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from thoth_core.vectors import Vectors

_SEED = 7
_CROWDS, _SPREAD = 200, 0.7
#: About 200 tokens, as a chunk of a document has.
_WORDS = "the ferry to the island leaves the old harbour at nine and comes back after the tide "


@dataclass(frozen=True)
class Batch:
    ids: list[str]
    vectors: Vectors
    texts: list[str]
    metadatas: list[dict[str, object]]


def crowd(count: int, dimension: int, seed: int = _SEED) -> Vectors:
    """``count`` unit vectors, the same for the same ``seed``."""
    centres = np.random.default_rng(_SEED).standard_normal((_CROWDS, dimension), np.float32)
    chance = np.random.default_rng(seed)
    vectors = chance.standard_normal((count, dimension), np.float32)
    vectors *= _SPREAD
    vectors += centres[chance.integers(0, _CROWDS, count)]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def text_of(row: int) -> str:
    return f"{row}: {_WORDS * 9}"[:800]


def batches(vectors: Vectors, size: int, first: int = 0) -> Iterator[Batch]:
    """``vectors`` as rows that are numbered from ``first`` on."""
    for start in range(0, len(vectors), size):
        part = vectors[start : start + size]
        rows = range(first + start, first + start + len(part))
        yield Batch(
            [f"id-{row}" for row in rows],
            part,
            [text_of(row) for row in rows],
            [{"source": f"/files/{row // 50}.txt", "ordinal": row % 50} for row in rows],
        )
