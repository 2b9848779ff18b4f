"""How much one call of a model may have where memory is what it has been seen to be. Pure.

How much memory a call takes depends on the model, and how much there is on who else computes on the
device. So nothing is estimated: a call that memory refuses is made again with half of its rows, and
that bound holds until enough calls went well to try more.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from embed_worker.engines.base import Vectors

#: Calls at the bound that go well before it is doubled: the memory may have been another's for a
#: while, and each try that fails costs a call.
AGAIN_AFTER = 50


class Room:
    """``most`` and ``tokens``: the bound at first and now, in rows times the longest row."""

    def __init__(self, most: int) -> None:
        self.most = self.tokens = most
        self._went = 0

    def rows(self, count: int, longest: int) -> int:
        """How many of ``count`` rows of this length go into the next call; one at least."""
        return max(1, min(count, self.tokens // max(1, longest)))

    def refused(self, rows: int, longest: int) -> bool:
        """Memory did not do for this call. Whether fewer rows can be tried."""
        self._went = 0
        if rows <= 1:
            return False
        self.tokens = max(1, rows // 2 * longest)
        return True

    def went(self, rows: int, longest: int) -> None:
        """The call went well."""
        if self.tokens >= self.most or self.rows(rows + 1, longest) > rows:
            # Nothing is learnt from a call that is far from the bound.
            return
        self._went += 1
        if self._went >= AGAIN_AFTER:
            self.tokens, self._went = min(self.most, 2 * self.tokens), 0


def in_parts(
    count: int,
    longest: int,
    room: Room,
    compute: Callable[[int, int], Vectors],
    ran_out: Callable[[Exception], bool],
) -> Vectors:
    """The vectors of ``count`` rows: ``compute(start, end)`` for as many at once as there is room
    for. ``ran_out`` says of an exception whether it was for want of memory; any other is raised,
    and one for a single row."""
    made: list[Vectors] = []
    start = 0
    while start < count:
        rows = room.rows(count - start, longest)
        try:
            made.append(compute(start, start + rows))
        except Exception as problem:
            if not ran_out(problem) or not room.refused(rows, longest):
                raise
            continue
        room.went(rows, longest)
        start += rows
    return made[0] if len(made) == 1 else np.concatenate(made)
