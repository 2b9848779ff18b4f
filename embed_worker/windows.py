"""What becomes of texts that are longer than the model reads. Pure.

The rule is part of a collection's identity, because it changes vectors: a text over the limit is
cut into windows of as many tokens as the model reads, each an eighth into the one before; the
windows' unit vectors are averaged, weighted by their tokens, and the mean is made a unit vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thoth_core.errors import InvalidInput, SettingsError

POLICIES = ("window", "truncate", "error")
#: A window shares this part of its tokens with the one before.
OVERLAP_PART = 8
#: Windows shorter than this would hold hardly a sentence; a model like that is refused.
LEAST_WINDOW = 8


@dataclass(frozen=True, slots=True)
class LongTexts:
    """The rule: ``policy`` is one of ``POLICIES``; ``size`` the tokens of a text that the model
    reads at once, None when it has no limit."""

    policy: str
    size: int | None

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise SettingsError(
                f"THOTH_LONG_TEXT is {self.policy!r}",
                cause=f"it can be {', '.join(POLICIES)}",
                fix="THOTH_LONG_TEXT=window",
            )
        if self.size is not None and self.size < LEAST_WINDOW:
            raise SettingsError(
                f"the model reads {self.size} tokens of a text, {LEAST_WINDOW} is the least",
                fix="choose another model with RAG_EMBEDDING_MODEL",
            )

    @property
    def overlap(self) -> int:
        return 0 if self.size is None else self.size // OVERLAP_PART

    def describe(self) -> str:
        """The rule as it stands in a model's identity.

        ``error`` shares the words of ``truncate``: the vectors that it lets through are the same.
        """
        if self.size is None:
            return "whole"
        if self.policy == "window":
            return f"window tokens={self.size} overlap={self.overlap} pooling=token-mean"
        return f"truncate tokens={self.size}"


@dataclass(frozen=True, slots=True)
class Piece:
    """Tokens ``start`` to ``end`` of the text at position ``text``, a row of the model."""

    text: int
    start: int
    end: int

    @property
    def tokens(self) -> int:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Plan:
    """``pieces`` in the order of the texts. ``tokens``: what is read of each text, overlaps counted
    once. ``errors``: the refused texts by position; they have no pieces."""

    pieces: list[Piece]
    tokens: list[int]
    windowed: list[bool]
    errors: dict[int, InvalidInput]


def spans(count: int, size: int, overlap: int) -> list[tuple[int, int]]:
    """Windows over ``count`` tokens, each at most ``size`` long and begun ``overlap`` before the
    last one ended. Together they cover every token; one window when all fit in it."""
    if not 0 <= overlap < size:
        raise ValueError(f"an overlap of {overlap} in windows of {size}")
    found = [(0, min(count, size))]
    while found[-1][1] < count:
        start = found[-1][1] - overlap
        found.append((start, min(count, start + size)))
    return found


def plan(counts: Sequence[int], rule: LongTexts) -> Plan:
    """Which pieces of texts with ``counts`` tokens the model reads under ``rule``."""
    made = Plan([], [], [], {})
    for text, count in enumerate(counts):
        long = rule.size is not None and count > rule.size
        ranges = [(0, count)]
        read = count
        if long and rule.size is not None:
            if rule.policy == "error":
                made.errors[text] = too_long(text, count, rule.size)
                ranges, read = [], 0
            elif rule.policy == "truncate":
                ranges, read = [(0, rule.size)], rule.size
            else:
                ranges = spans(count, rule.size, rule.overlap)
        made.pieces.extend(Piece(text, start, end) for start, end in ranges)
        made.tokens.append(read)
        made.windowed.append(len(ranges) > 1)
    return made


def too_long(index: int, tokens: int, limit: int) -> InvalidInput:
    """The refusal of a text. Its words name no index: whoever passes it on changes ``indices`` to
    positions in the caller's list, and cannot change words."""
    return InvalidInput(
        f"a text has {tokens:,} tokens, the model reads {limit:,}",
        cause="THOTH_LONG_TEXT is error",
        fix="THOTH_LONG_TEXT=window embeds such texts in overlapping windows",
        indices=[index],
        tokens=tokens,
        max_tokens=limit,
    )


def pool(
    pieces: Sequence[Piece], vectors: npt.NDArray[np.float32], texts: int
) -> npt.NDArray[np.float32]:
    """One vector a text from the unit vectors of its pieces.

    ``vectors`` is float32 (len(pieces), dimension); the result float32 (texts, dimension). A text
    of one piece keeps that vector bit for bit; a text of none has zeros, as has one whose windows
    cancel each other out.
    """
    pooled = np.zeros((texts, vectors.shape[1]), dtype=np.float32)
    rows: dict[int, list[int]] = {}
    for row, piece in enumerate(pieces):
        rows.setdefault(piece.text, []).append(row)
    for text, mine in rows.items():
        if len(mine) == 1:
            pooled[text] = vectors[mine[0]]
            continue
        weights = np.array([pieces[row].tokens for row in mine], dtype=np.float64)
        mean = weights @ vectors[mine].astype(np.float64) / weights.sum()
        length = float(np.linalg.norm(mean))
        if length > 0:
            pooled[text] = (mean / length).astype(np.float32)
    return pooled
