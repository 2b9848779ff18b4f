"""Which texts, or windows of texts, go through the model together. Pure.

A model call has a fixed cost, and computes every row as long as its longest. So rows are taken in
order of length, and a batch ends where one more row would cost more in padding than the call that
it saves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: How long one unit should keep a local worker: long enough that messages cost nothing beside it,
#: short enough that a query, a crash or a stop never meets much.
UNIT_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds of one model call. ``items``: rows; ``tokens``: rows times the longest row;
    ``padding``: tokens of padding that cost about as much as one more call does; ``align``: rows
    are padded to a multiple of it, which is not counted as padding because there is no way round
    it."""

    items: int
    tokens: int
    padding: int
    align: int = 1

    def aligned(self, length: int) -> int:
        """Tokens of a row of ``length`` as it goes through the model."""
        return aligned(length, self.align)


def aligned(length: int, align: int) -> int:
    """``length``, or the next multiple of ``align`` above it."""
    return -(-length // align) * align


def form_batches(lengths: Sequence[int], bounds: Bounds) -> list[list[int]]:
    """Positions of ``lengths`` (tokens of each row) in batches within ``bounds``.

    Every position is in exactly one batch; a row over the bound of tokens is a batch of its own.
    The longest come first, so that memory is at its peak at once and not at the end.
    """
    batches: list[list[int]] = []
    batch: list[int] = []
    longest = padding = 0
    for position in sorted(range(len(lengths)), key=lambda p: (-lengths[p], p)):
        length = bounds.aligned(lengths[position])
        fits = (
            len(batch) < bounds.items
            and (len(batch) + 1) * longest <= bounds.tokens
            and padding + longest - length <= bounds.padding
        )
        if not batch or not fits:
            batch = []
            batches.append(batch)
            longest, padding = length, 0
        batch.append(position)
        padding += longest - length
    return batches


def unit_tokens(tokens_per_second: float, *, least: int = 256, most: int = 65_536) -> int:
    """Tokens that a unit may have so that it runs for about ``UNIT_SECONDS``.

    Bounded, because a speed measured while the machine was busy with something else, or on a
    clock that stood still, must not make units of one word or of a whole book.
    """
    wanted = tokens_per_second * UNIT_SECONDS
    return int(max(least, min(most, wanted)))
