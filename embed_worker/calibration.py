"""How a model is best asked on this processor: what follows from the seconds of some calls. Pure.

Matrix kernels compute in tiles: on some processors a row of 127 ids takes a quarter longer than one
of 128. And a call costs something whatever is in it, and from some size on more ids in it gain
nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

#: Rows and ids a row.
Shape = tuple[int, int]
#: What is taken unless another is better by so much. Measured on a processor with AMX: rows of a
#: multiple of 16 ids were 27 % faster than rows as they come, calls of 512 to 2,048 ids all alike.
#: Rows as they come are no choice: each new shape costs 20 ms and a megabyte for its kernels.
ALIGN, TOKENS, GAIN = 16, 1024, 0.1
#: Ids a row of what is timed, where the model reads as many.
LENGTH = 128


@dataclass(frozen=True, slots=True)
class Calibration:
    """``align``: rows are padded to a multiple of it; ``tokens``: ids a call from which more gain
    nothing; ``padding``: ids of padding that cost about as much as one more call; ``speed``: ids a
    second of such calls, on one worker alone."""

    align: int
    tokens: int
    padding: int
    speed: float

    def sound(self) -> bool:
        """Whether it can be worked by: it may come from a file."""
        return self.align >= 1 and self.tokens >= 1 and self.padding >= 0 and self.speed > 0


@dataclass(frozen=True, slots=True)
class Timed:
    """The shapes to time. ``aligned``: by what their length is a multiple of at best, and all of
    about the same length, because longer rows cost more an id. ``sizes``: growing calls of rows of
    one length."""

    aligned: Mapping[int, Shape]
    sizes: tuple[Shape, ...]

    @classmethod
    def within(cls, limit: int | None) -> Timed:
        """For a model that reads ``limit`` ids a row."""
        length = LENGTH if limit is None else min(LENGTH, limit)
        if length < 32:
            return cls({}, tuple((rows * LENGTH // length, length) for rows in (1, 2, 4, 8, 16)))
        length -= length % 32
        rows = LENGTH // length
        aligned = {8: length - 8, 16: length - 16, 32: length}
        return cls(
            {align: (4 * rows, each) for align, each in aligned.items()},
            tuple((rows * many, length) for many in (1, 2, 4, 8, 16)),
        )

    @property
    def shapes(self) -> tuple[Shape, ...]:
        return tuple(dict.fromkeys((*self.aligned.values(), *self.sizes)))


def unmeasured(timed: Timed, seconds: float) -> Calibration:
    """What is taken where measuring would take too long; one call of the first of the sizes took
    ``seconds``. Calls take half a second at most, so that a query need not wait for longer."""
    rows, length = timed.sizes[0]
    speed = rows * length / max(seconds, 1e-6)
    tokens = int(max(rows * length, min(TOKENS, speed / 2)))
    return Calibration(ALIGN if timed.aligned else 1, tokens, 0, speed)


def choose(timed: Timed, seconds: Mapping[Shape, Sequence[float]]) -> Calibration:
    """What follows from the seconds that a call of each shape took, as often as each was tried."""
    took = {shape: [max(each, 1e-6) for each in found] for shape, found in seconds.items()}
    least = {shape: min(found) for shape, found in took.items()}
    rates = {shape: [shape[0] * shape[1] / each for each in found] for shape, found in took.items()}
    sizes = {rows * length: rates[rows, length] for rows, length in timed.sizes}
    usual = min(sizes, key=lambda size: abs(size - TOKENS))
    tokens = _better(sizes, usual)

    def worth(align: int) -> list[float]:
        # Padded to a multiple of it, a row of any length has (align - 1) / 2 ids more.
        length = timed.aligned[align][1]
        return [rate * length / (length + (align - 1) / 2) for rate in rates[timed.aligned[align]]]

    aligned = {align: worth(align) for align in timed.aligned}
    align = _better(aligned, ALIGN) if aligned else 1
    # A call takes a fixed time and one for each id: by the smallest and the largest of them.
    first, last = timed.sizes[0], timed.sizes[-1]
    few, many = first[0] * first[1], last[0] * last[1]
    each = max((least[last] - least[first]) / (many - few), 1e-9)
    padding = round(max(0.0, least[first] - few * each) / each)
    return Calibration(align, tokens, min(padding, tokens // 8), max(sizes[tokens]))


def _better(found: Mapping[int, Sequence[float]], usual: int) -> int:
    """The best, if it is clearly better than what is usual each time: what else the machine did
    must not decide for good."""
    best = max(found, key=lambda each: (max(found[each]), -each))
    pairs = zip(found[best], found[usual], strict=True)
    return best if all(mine > (1 + GAIN) * its for mine, its in pairs) else usual
