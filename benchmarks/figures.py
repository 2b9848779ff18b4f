"""Figures out of what was measured: percentiles, what fell into a window of time, agreement of
rankings. Pure."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

#: When something began, by the wall clock, and how long it took; in seconds.
Taken = tuple[float, float]
#: When something began and ended, by the wall clock.
Window = tuple[float, float]


def percentile(values: Sequence[float], share: float) -> float:
    """The least of ``values`` that ``share`` (0 to 1) of them do not exceed. There is one at
    least."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def spread(seconds: Sequence[float]) -> dict[str, float] | None:
    """``seconds`` as milliseconds: how many, p50, p99 and the longest; None if there are none."""
    if not seconds:
        return None
    return {
        "count": len(seconds),
        "p50_ms": 1000 * percentile(seconds, 0.5),
        "p99_ms": 1000 * percentile(seconds, 0.99),
        "longest_ms": 1000 * max(seconds),
    }


def rounds(seconds: Sequence[Sequence[float]]) -> dict[str, dict[str, float] | None]:
    """The spread of the best round, which is the one of the least p50, and that of all together.
    Machines that others use too are at times slow for a while."""
    some = [each for each in seconds if each]
    best = min(some, key=lambda each: percentile(each, 0.5), default=())
    return {"best": spread(best), "all": spread([each for part in some for each in part])}


def apart(taken: Sequence[Taken], windows: Sequence[Window]) -> tuple[list[Taken], list[Taken]]:
    """Those of ``taken`` that no window touches, and the others."""
    outside: list[Taken] = []
    inside: list[Taken] = []
    for at, took in taken:
        touched = any(at <= end and start <= at + took for start, end in windows)
        (inside if touched else outside).append((at, took))
    return outside, inside


def overlap(
    rankings: Sequence[Sequence[Hashable]], reference: Sequence[Sequence[Hashable]]
) -> float:
    """The share of each reference ranking that the other has too, in any order; the mean."""
    shares = [
        len(set(mine) & set(theirs)) / len(theirs)
        for mine, theirs in zip(rankings, reference, strict=True)
    ]
    return sum(shares) / len(shares)
