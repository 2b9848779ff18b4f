"""Writes down the text of a page as its elements come: blanks, paragraphs, headings, rows. Pure."""

from __future__ import annotations

from thoth_core.headings import Heading


class HtmlText:
    """What was written so far, and its layout. Blanks and line ends are only noted until there is
    something after them."""

    def __init__(self) -> None:
        self.headings: list[Heading] = []
        self.rows: list[tuple[int, int]] = []
        self._parts: list[str] = []
        self._length = 0
        self._last = ""
        # Line ends, a blank and the mark of a list that come before what is written next.
        self._ends = 0
        self._blank = False
        self._mark = ""
        self._pre = 0
        #: The level of the heading that is open, where it begins, and its first part.
        self._level = 0
        self._heading_at: int | None = None
        self._heading_part = 0
        self._heading_end = -1
        self._pre_at: int | None = None
        self._in_row = False
        self._row_at: int | None = None
        self._cells = 0

    @property
    def text(self) -> str:
        return "".join(self._parts)

    def words(self, raw: str) -> None:
        """Text as it stands in the file."""
        if self._pre:
            if raw:
                self._before()
                self._put(raw)
            return
        words = raw.split()
        if not words:
            self._blank = self._blank or bool(raw)
            return
        self._blank = self._blank or raw[0].isspace()
        self._before()
        self._put(" ".join(words))
        self._blank = raw[-1].isspace()

    def block(self, ends: int = 1) -> None:
        """What comes next begins a line (1) or a paragraph (2)."""
        if self._in_row:
            self._blank = True
        elif not self._mark:
            self._ends = max(self._ends, ends)

    def line_end(self) -> None:
        if self._pre:
            self.words("\n")
        elif self._in_row:
            self._blank = True
        else:
            self._ends = min(self._ends + 1, 2)

    def item(self, mark: str) -> None:
        """An item of a list begins."""
        self.block()
        self._mark = mark

    def heading(self, level: int) -> None:
        self.block(2)
        if not self._level and not self._in_row:
            self._level = level

    def heading_end(self, level: int) -> None:
        if self._level == level:
            if self._heading_at is not None:
                title = " ".join("".join(self._parts[self._heading_part :]).split())
                self.headings.append(Heading(self._heading_at, level, title))
                self._heading_end = self._length
            self._level, self._heading_at = 0, None
        self.block(2)

    def pre(self) -> None:
        self.block(2)
        self._pre += 1

    def pre_end(self) -> None:
        self._pre -= 1
        if not self._pre and self._pre_at is not None:
            self.rows.append((self._pre_at, self._length))
            self._pre_at = None
        self.block(2)

    def row(self) -> None:
        self.block()
        self._in_row, self._row_at, self._cells = True, None, 0

    def cell(self) -> None:
        if self._cells:
            self._blank = False
            self._before()
            self._put(" | ")
        self._cells += 1

    def row_end(self) -> None:
        if self._row_at is not None and not self._pre:
            self.rows.append((self._row_at, self._length))
        self._in_row, self._row_at, self._blank = False, None, False
        self.block()

    def _before(self) -> None:
        """Write what is noted."""
        if self._length and self._ends:
            there = self._last.endswith("\n") + self._last.endswith("\n\n")
            self._put("\n" * (self._ends - there))
        elif self._blank and self._last[-1:] not in ("", "\n", " "):
            self._put(" ")
        self._ends, self._blank = 0, False
        if self._level and self._heading_at is None:
            self._heading_at, self._heading_part = self._length, len(self._parts)
        if self._pre and self._pre_at is None and not self._in_row:
            # A heading alone above it would be a chunk that says nothing.
            alone = self._heading_end >= 0 and self._length <= self._heading_end + 2
            self._pre_at = self.headings[-1].start if alone else self._length
        if self._in_row and self._row_at is None:
            self._row_at = self._length
        if self._mark:
            self._put(self._mark)
            self._mark = ""

    def _put(self, text: str) -> None:
        if text:
            self._parts.append(text)
            self._length += len(text)
            self._last = text
