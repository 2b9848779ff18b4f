"""Rows that are stored before the first fault and that nobody changes: what a reader looks for."""

from __future__ import annotations

from functools import cache
from pydoc_data.topics import topics
from typing import Any

import numpy as np

from embed_worker.engines.fake import hashed_vector
from thoth_core import Thoth

COLLECTION = "stable"
ROWS = 300


@cache
def texts() -> list[str]:
    """Paragraphs of Python's own documentation, of 40 to 1,000 characters, no two alike."""
    every = (part.strip() for topic in sorted(topics) for part in topics[topic].split("\n\n"))
    return [*dict.fromkeys(part for part in every if 40 <= len(part) <= 1000)]


def text(row: int) -> str:
    return texts()[row]


def id_of(row: int, *, own: bool) -> str:
    """Each row is there twice: with the model's vector and with one of our own."""
    return f"{'own' if own else 'row'}-{row}"


def own_vector(row: int, dimension: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return hashed_vector(f"the own vector of row {row}", dimension)


def store(thoth: Thoth, dimension: int) -> None:
    rows = range(ROWS)
    thoth.add(
        [text(row) for row in rows],
        [{"own": False} for _ in rows],
        [id_of(row, own=False) for row in rows],
        COLLECTION,
    )
    thoth.upsert(
        [id_of(row, own=True) for row in rows],
        np.array([own_vector(row, dimension) for row in rows]),
        None,
        [{"own": True} for _ in rows],
        COLLECTION,
    )


def problems(thoth: Thoth) -> list[str]:
    """What is not as it was stored, in words."""
    rows = thoth.get(collection=COLLECTION, limit=10 * ROWS)
    expected = {id_of(row, own=True): None for row in range(ROWS)}
    expected |= {id_of(row, own=False): text(row) for row in range(ROWS)}
    there = {row.id: row.text for row in rows}
    if there != expected or len(rows) != len(expected):
        differ = sorted(
            id for id in {*there, *expected} if there.get(id, "") != expected.get(id, "")
        )
        return [f"{len(differ)} of the rows that nobody changed differ: {differ[:5]}"]
    return []
