"""What is known of a text besides its characters: its parts, and their places in the file. Pure.

A format says so once (:class:`Layout`); the chunker cuts by it, and each chunk says its place by
it. All places are characters of the text, ascending.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from thoth_core.headings import Heading


@dataclass(frozen=True, slots=True)
class Layout:
    """``headings`` are the titles that stand above what follows them. ``pages`` is where each page
    begins, the first being page 1; empty for what has none. ``breaks`` are good places for a cut: a
    definition in source code, a record, a cell. ``rows`` are spans (start, end) that are not cut
    where they fit into a chunk: the rows of a table, records.

    ``lines`` says where in the file the text stands, as pairs (place, line): what begins at the
    place is in that line of the file, counted from 1, and what follows it in those after it, one
    for each line end, as far as the line of the next pair. None: the lines of the text are those of
    the file. Empty: the file has no lines, as a PDF."""

    headings: tuple[Heading, ...] = ()
    pages: tuple[int, ...] = ()
    breaks: tuple[int, ...] = ()
    rows: tuple[tuple[int, int], ...] = ()
    lines: tuple[tuple[int, int], ...] | None = None

    def page_at(self, place: int) -> int | None:
        """The page that ``place`` is on, counted from 1; None where there are no pages."""
        return max(bisect_right(self.pages, place), 1) if self.pages else None


class Lines:
    """The line in the file of one place after the other; each question no earlier than the last, so
    that line ends are counted once."""

    def __init__(self, text: str, layout: Layout) -> None:
        self._text = text
        self._known = ((0, 1),) if layout.lines is None else layout.lines
        self._next = 0
        self._line: int | None = None
        self._place = 0

    def at(self, place: int) -> int | None:
        """The line of ``place``, or None where the file has no lines."""
        while self._next < len(self._known) and self._known[self._next][0] <= place:
            self._place, self._line = self._known[self._next]
            self._next += 1
        if self._line is None:
            return None
        line = self._line + self._text.count("\n", self._place, place)
        self._line, self._place = line, place
        if self._next < len(self._known):
            return min(line, max(self._known[self._next][1], 1))
        return line


NO_LAYOUT = Layout()
