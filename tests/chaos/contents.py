"""What the clients of a chaos program write, made again from its name by whoever reads of it. Pure.

A write has a name of its own, and with it the id and the kind of the write say all: so a client's
journal need not keep texts and vectors, and millions of them need no memory.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from embed_worker.engines.fake import hashed_vector
from tests.chaos.book import Chunk, Vector


class How(StrEnum):
    """Embedded by the service; with the client's own vector; the same without a text."""

    EMBEDDED = "embedded"
    OWN = "own"
    TEXTLESS = "textless"


class Made(Chunk):
    """Its vector is made whenever somebody asks for it; None if the model alone knows it."""

    write: str
    how: How

    def __init__(self, contents: Contents, write: str, id: str, how: How) -> None:
        chance = random.Random(f"{write} {id}")
        words = chance.choices(("ferry", "kettle", "lantern", "harbour"), k=8)
        text = f"write {write} id {id} {' '.join(words)}"
        metadata: dict[str, object] = {"write": write}
        if chance.random() < 0.5:
            metadata[chance.choice("abc")] = chance.random()
        there = None if how is How.TEXTLESS else text
        key = text if how is How.EMBEDDED else f"the vector of {text}"
        known = contents.known or how is not How.EMBEDDED
        for name, value in (("text", there), ("metadata", metadata), ("write", write)):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "how", how)
        object.__setattr__(self, "_key", key if known else None)
        object.__setattr__(self, "_dimension", contents.dimension)

    @property
    def vector(self) -> Vector | None:  # type: ignore[override]
        key: str | None = self._key  # type: ignore[attr-defined]
        return None if key is None else hashed_vector(key, self._dimension)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Contents:
    """``known`` is whether the model's vectors are: those of ``fake/<dimension>``."""

    dimension: int
    known: bool = True

    def states(self, write: str, ids: list[str], how: How | None) -> Mapping[str, Chunk | None]:
        """What a write brings these ids to; None for ``how`` is a deletion."""
        if how is None:
            return dict.fromkeys(ids)
        return {id: Made(self, write, id, how) for id in ids}
