"""Cuts a text into chunks of a bounded number of tokens. Pure: the tokenizer is passed in.

Each chunk takes what fits and is cut at the best edge near its end: a heading, a break that the
format knows, a paragraph, a sentence or a line, a word, and only then anywhere. It looks at the
text through a window, so its time is linear in the length of the text, whatever stands in it.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from thoth_core.headings import Heading, path_at
from thoth_core.layout import NO_LAYOUT, Layout, Lines

#: The smallest size of a chunk: a character may have four tokens.
MIN_SIZE = 8

#: How full a chunk must be for an edge of that kind to be worth a cut, as a share of what fits.
_HEADING_FROM = 0.4
_BREAK_FROM = 0.4
_PARAGRAPH_FROM = 0.5
_SENTENCE_FROM = 0.6
_WORD_FROM = 0.5
#: How much of the overlap may be given up to begin it at a sentence.
_OVERLAP_SENTENCE = 0.5
#: The window reaches this much further than the last chunk's characters a token foretell.
_MARGIN = 1.25
_FIRST_RATIO = 5.0
_MAX_RATIO = 8.0
#: Characters that a cut is moved back at most, so that it does not fall into a joined character.
_MAX_CLUSTER = 32

_INK = re.compile(r"\S")
_PARAGRAPH = re.compile(r"\n[ \t\r]*\n\s*")
_SENTENCE = re.compile(r"[.!?…][\"'”’»)\]]*\s+|[。！？]+[」』”）]*\s*|\n\s*")
_WORD = re.compile(r"\s+")


class Encoded(Protocol):
    """The tokens of one text."""

    def __len__(self) -> int: ...

    def head(self, count: int) -> int:
        """Characters that the first ``count`` tokens hold whole."""

    def tail(self, count: int) -> int:
        """Characters that the last ``count`` tokens hold whole."""


class Tokenizer(Protocol):
    def encode(self, text: str) -> Encoded:
        """The tokens of ``text``; one character has four at most."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """``text`` is exactly ``whole[start:end]``, without blanks at its ends. Lines and pages count
    from 1, the last included, and are None where the file has none. ``heading_path`` holds the
    titles above its first character, outermost first. ``tokens`` is the exact number of tokens of
    ``text`` alone."""

    text: str
    start: int
    end: int
    line_start: int | None
    line_end: int | None
    page: int | None
    page_end: int | None
    heading_path: tuple[str, ...]
    tokens: int
    ordinal: int


def chunk(
    text: str, *, size: int, overlap: int, tokenizer: Tokenizer, layout: Layout = NO_LAYOUT
) -> list[Chunk]:
    """As :func:`chunks`, all at once."""
    return list(chunks(text, size=size, overlap=overlap, tokenizer=tokenizer, layout=layout))


def chunks(
    text: str, *, size: int, overlap: int, tokenizer: Tokenizer, layout: Layout = NO_LAYOUT
) -> Iterator[Chunk]:
    """The chunks of ``text`` in order, each cut when it is asked for; none for a blank text.

    No chunk has more than ``size`` tokens, and every character that is not blank is in one. A chunk
    begins with up to ``overlap`` tokens of the one before it, unless it begins at a heading or a
    break.

    Raises ``ValueError`` for a size under :data:`MIN_SIZE` or an overlap not below ``size``.
    """
    if size < MIN_SIZE:
        raise ValueError(f"a chunk size of {size} tokens, {MIN_SIZE} at least")
    if not 0 <= overlap < size:
        raise ValueError(f"an overlap of {overlap} tokens, 0 to {size - 1} for a size of {size}")
    return _Cutter(text, size, overlap, tokenizer, layout).run()


@dataclass(frozen=True, slots=True)
class _Piece:
    end: int
    encoded: Encoded
    fresh: bool


class _Cutter:
    """One walk over one text."""

    def __init__(
        self, text: str, size: int, overlap: int, tokenizer: Tokenizer, layout: Layout
    ) -> None:
        self.text = text
        self.size = size
        self.overlap = overlap
        self.tokenizer = tokenizer
        self.layout = layout
        self.headings = layout.headings
        self.heading_starts = [heading.start for heading in layout.headings]
        self.row_starts = [start for start, _ in layout.rows]
        self.ratio = _FIRST_RATIO
        # These only move forward, so that lines and headings are counted once. A chunk's first
        # place may lie before the last place of the one before it, hence two.
        self.path: tuple[Heading, ...] = ()
        self.next_heading = 0
        self.first_lines = Lines(text, layout)
        self.last_lines = Lines(text, layout)

    def run(self) -> Iterator[Chunk]:
        done = ordinal = 0
        start = self._ink(0)
        while start is not None:
            piece = self._piece(start, done)
            if piece is None:
                # With the overlap nothing new fits.
                start = self._ink(done)
                continue
            yield self._chunk(start, piece, ordinal)
            ordinal += 1
            done = piece.end
            following = self._ink(done)
            if following is None:
                break
            start = following if piece.fresh else self._overlap(start, piece, following)

    def _ink(self, position: int) -> int | None:
        match = _INK.search(self.text, position)
        return match.start() if match else None

    def _piece(self, start: int, done: int) -> _Piece | None:
        """The chunk that begins at ``start``. It ends beyond ``done``; None if that cannot be."""
        limit, whole = self._limit(start)
        floor = max(start, done)
        while True:
            if limit <= floor:
                if start < done:
                    return None
                limit = floor + 1
            cut, fresh = (limit, False) if whole else self._cut(start, floor, limit)
            body = self.text[start:cut].rstrip()
            if start + len(body) <= done:
                return None
            encoded = self.tokenizer.encode(body)
            if len(encoded) <= self.size:
                self.ratio = min(max(len(body) / len(encoded), 1.0), _MAX_RATIO)
                return _Piece(start + len(body), encoded, fresh)
            # Cut off from what follows, the last word can have more tokens than it had with it.
            if len(body) == 1:
                raise ValueError(f"the tokenizer has {len(encoded)} tokens for one character")
            whole = False
            limit = start + min(max(encoded.head(self.size), 1), len(body) - 1)

    def _limit(self, start: int) -> tuple[int, bool]:
        """How far ``size`` tokens reach from ``start``, and whether that is all the rest."""
        width = int(self.size * self.ratio * _MARGIN) + 16
        while True:
            window = self.text[start : start + width]
            encoded = self.tokenizer.encode(window)
            at_end = start + len(window) >= len(self.text)
            if len(encoded) > self.size:
                return start + encoded.head(self.size), False
            if at_end:
                return len(self.text), True
            width *= 2

    def _cut(self, start: int, floor: int, limit: int) -> tuple[int, bool]:
        """The best place for a cut in (floor, limit], and whether a new part begins there: what
        stands before it does not help to read it."""
        room = limit - start
        heading = self._heading_cut(max(start + int(room * _HEADING_FROM), floor + 1), limit)
        if heading is not None:
            return heading, True
        edge = self._break_cut(max(start + int(room * _BREAK_FROM), floor + 1), limit)
        if edge is not None:
            return edge, True
        row = self._row_cut(start, floor, limit)
        if row is not None:
            return row, False
        for pattern, share in (
            (_PARAGRAPH, _PARAGRAPH_FROM),
            (_SENTENCE, _SENTENCE_FROM),
            (_WORD, _WORD_FROM),
        ):
            edge = self._last_edge(pattern, max(start + int(room * share), floor), limit)
            if edge is not None:
                return edge, False
        return self._whole_character(floor, limit), False

    def _heading_cut(self, low: int, limit: int) -> int | None:
        """The last of the highest headings that begin in [low, limit]."""
        first = bisect_left(self.heading_starts, low)
        last = bisect_left(self.heading_starts, limit + 1)
        inside = self.headings[first:last]
        if not inside:
            return None
        level = min(heading.level for heading in inside)
        return max(heading.start for heading in inside if heading.level == level)

    def _break_cut(self, low: int, limit: int) -> int | None:
        """The last break in [low, limit]."""
        last = bisect_right(self.layout.breaks, limit)
        if last and self.layout.breaks[last - 1] >= low:
            return self.layout.breaks[last - 1]
        return None

    def _row_cut(self, start: int, floor: int, limit: int) -> int | None:
        """The beginning of the row that ``limit`` would cut, if there is anything before it. Not
        of one that is longer than a chunk: it is cut anyway, and what is before it stays with it.
        """
        last = bisect_left(self.row_starts, limit)
        if last:
            begin, end = self.layout.rows[last - 1]
            if floor < begin < limit < end and end - begin <= limit - start:
                return begin
        return None

    def _last_edge(self, pattern: re.Pattern[str], low: int, limit: int) -> int | None:
        """The end of the last edge that begins beyond ``low`` and before ``limit``."""
        edge = None
        # The blanks of an edge may lie beyond the limit: they are not part of the chunk.
        for match in pattern.finditer(self.text, low + 1, limit + 1):
            edge = min(match.end(), limit)
        return edge

    def _whole_character(self, floor: int, limit: int) -> int:
        """``limit``, or a little before it where it would part a base from its accents, the two
        halves of a joined emoji, or CR from LF."""
        cut = limit
        for _ in range(_MAX_CLUSTER):
            if cut <= floor + 1:
                return limit
            if cut >= len(self.text) or not _joined(self.text[cut - 1], self.text[cut]):
                return cut
            cut -= 1
        return limit

    def _overlap(self, start: int, piece: _Piece, following: int) -> int:
        """Where the next chunk begins: in the last ``overlap`` tokens of this one, at an edge."""
        end = piece.end
        if not self.overlap:
            return following
        begin = end - piece.encoded.tail(self.overlap)
        if begin <= start:
            begin = start + 1
        while begin < end:
            begin = self._begin_at_edge(begin, end)
            if begin >= end:
                break
            shared = self.tokenizer.encode(self.text[begin:end])
            if len(shared) <= self.overlap:
                return begin
            begin = max(end - shared.tail(self.overlap), begin + 1)
        return following

    def _begin_at_edge(self, begin: int, end: int) -> int:
        """The first sentence, else the first word, that begins in [begin, end]. In a run without
        words, ``begin`` itself."""
        for pattern, last in (
            (_SENTENCE, begin + int((end - begin) * _OVERLAP_SENTENCE)),
            (_WORD, end),
        ):
            # An edge just before ``begin`` counts: then a sentence or word begins right there.
            match = pattern.search(self.text, max(begin - 1, 0), end)
            if match and begin <= match.end() <= last:
                return match.end()
        while begin < end and _joined(self.text[begin - 1], self.text[begin]):
            begin += 1
        return begin

    def _chunk(self, start: int, piece: _Piece, ordinal: int) -> Chunk:
        while (
            self.next_heading < len(self.headings)
            and self.heading_starts[self.next_heading] <= start
        ):
            self.path = path_at(self.path, self.headings[self.next_heading])
            self.next_heading += 1
        return Chunk(
            text=self.text[start : piece.end],
            start=start,
            end=piece.end,
            line_start=self.first_lines.at(start),
            line_end=self.last_lines.at(piece.end - 1),
            page=self.layout.page_at(start),
            page_end=self.layout.page_at(piece.end - 1),
            heading_path=tuple(heading.title for heading in self.path if heading.title),
            tokens=len(piece.encoded),
            ordinal=ordinal,
        )


def _joined(left: str, right: str) -> bool:
    """Whether the two are drawn as one: an accent, a joiner, a variation, a skin tone, CR LF."""
    if right < "\x7f":
        return left == "\r" and right == "\n"
    return (
        left == "\u200d"
        or right == "\u200d"
        or unicodedata.category(right) in ("Mn", "Me", "Mc")
        or "\U0001f3fb" <= right <= "\U0001f3ff"
    )
