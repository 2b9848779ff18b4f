"""Texts that an ingest meets again while they are under way. Pure.

What is stored is not embedded again, but a text that is on its way is not stored yet: asked for a
second time it would be computed, and paid for, twice. So the second one waits for the first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class Repeats(Generic[T]):
    """``waiting`` counts what waits."""

    def __init__(self) -> None:
        self.waiting = 0
        #: By the digest of each text under way.
        self._under_way: dict[bytes, list[T]] = {}

    def begins(self, text: str, item: T) -> bool:
        """True if nobody has the text under way: then it is from now on. Else ``item`` waits."""
        digest = _digest(text)
        waiting = self._under_way.get(digest)
        if waiting is None:
            self._under_way[digest] = []
            return True
        waiting.append(item)
        self.waiting += 1
        return False

    def over(self, texts: Iterable[str]) -> list[T]:
        """These texts are stored, or refused: what waited for them. It does not begin them again:
        each that follows finds them in the store."""
        found = [each for text in texts for each in self._under_way.pop(_digest(text), ())]
        self.waiting -= len(found)
        return found


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
