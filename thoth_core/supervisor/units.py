"""How the texts of a call become units. Pure.

A unit is a batch that one worker embeds at once. Its texts have near-equal lengths, so that the
model computes no padding, and are bounded in items and tokens, so that a unit is short and a crash
costs little. Lengths are estimated: the supervisor has no tokenizer, and the worker, which has one,
orders its batches by the real counts.
"""

from __future__ import annotations

from collections.abc import Sequence

#: Sorting within a window bounds how long a text can be overtaken by shorter ones. Where a unit may
#: have more texts than that, a window is as large.
WINDOW = 1000


def estimate_tokens(text: str) -> int:
    """Roughly the word pieces of ``text``: four characters each in ASCII, else three bytes."""
    size = len(text) // 4 if text.isascii() else len(text.encode("utf-8", "replace")) // 3
    return size + 2


def form_units(lengths: Sequence[int], max_items: int, max_tokens: int) -> list[list[int]]:
    """Positions of ``lengths`` in units, each at most ``max_items`` long and ``max_tokens`` in
    sum; an item over the bound is a unit of its own. Every position is in exactly one unit."""
    units: list[list[int]] = []
    size = max(WINDOW, max_items)
    for start in range(0, len(lengths), size):
        window = range(start, min(start + size, len(lengths)))
        unit: list[int] = []
        tokens = 0
        for position in sorted(window, key=lengths.__getitem__):
            length = lengths[position]
            if unit and (len(unit) >= max_items or tokens + length > max_tokens):
                units.append(unit)
                unit, tokens = [], 0
            unit.append(position)
            tokens += length
        if unit:
            units.append(unit)
    return units
