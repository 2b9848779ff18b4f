"""The vectors of a call, put together as they come."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from thoth_core.errors import ProtocolError
from thoth_core.vectors import Vectors, from_buffer
from thoth_core.wire import Message


class Collected:
    """The rows of an ``embed`` as they come in parts, in whatever order and however often."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._array: Vectors | None = None
        self._there = np.zeros(count, bool)

    def taker(
        self, places: Sequence[int], note: Callable[[int, object], None]
    ) -> Callable[[Message], None]:
        """The ``on_part`` of the request whose texts stand at ``places`` of the call. ``note`` is
        told the tokens of each part, and a number that is the part's own."""

        def take(part: Message) -> None:
            where = self._take(places, part)
            note(where[0] if where else -1, part.body.get("tokens"))

        return take

    def _take(self, places: Sequence[int], part: Message) -> list[int]:
        indices = part.body.get("indices")
        if not isinstance(indices, list) or len(part.buffers) != 1:
            raise ProtocolError("a part without indices or without its vectors")
        rows = from_buffer(part.buffers[0])
        if rows.ndim != 2 or len(rows) != len(indices):
            raise ProtocolError(f"a part of shape {rows.shape} for {len(indices)} texts")
        if not all(isinstance(i, int) and 0 <= i < len(places) for i in indices):
            raise ProtocolError("a part for texts that were not sent")
        if self._array is None:
            self._array = np.full((self._count, rows.shape[1]), np.nan, np.float32)
        elif self._array.shape[1] != rows.shape[1]:
            raise ProtocolError(f"vectors of {self._array.shape[1]} and of {rows.shape[1]} numbers")
        where = [places[i] for i in indices]
        self._array[where] = rows
        self._there[where] = True
        return where

    def whole(self, dimension: int) -> Vectors:
        """float32 (n, dimension), NaN where no row came."""
        if self._array is None:
            return np.full((self._count, dimension), np.nan, np.float32)
        return self._array

    def missing(self) -> list[int]:
        return [int(i) for i in np.flatnonzero(~self._there)]
