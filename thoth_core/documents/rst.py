"""reStructuredText: the text as it stands, with its headings and the rows of its tables.

A heading is a line over a line of one repeated mark, which may stand above it too. Which marks are
which level is not fixed: the first that is met is the highest, as docutils has it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from thoth_core.documents.base import Content, Format
from thoth_core.documents.decoding import decode_noted
from thoth_core.documents.markdown import first_highest
from thoth_core.headings import Heading
from thoth_core.layout import Layout

#: A line of one punctuation mark of ASCII.
_MARKS = re.compile(r"^([!-/:-@\[-`{-~])\1++[ \t]*+$", re.M)
#: A shorter underline than this must be as long as its title.
_SURE = 4
#: Borders of a grid table.
_BLANK_LINE = re.compile(r"\n[ \t]*+\n")
_BORDER = re.compile(r"^[ \t]*+\+(?:[-=]++\+)++[ \t]*+$", re.M)


def read(data: bytes) -> Content:
    text, note = decode_noted(data)
    found = _headings(text)
    layout = Layout(headings=tuple(found), rows=tuple(_rows(text)))
    return Content(text, layout, title=first_highest(found), note=note)


def _headings(text: str) -> list[Heading]:
    found: list[Heading] = []
    levels: dict[tuple[str, bool], int] = {}
    # What is above this place belongs to a heading, or is the overline of one.
    floor = 0
    for match in _MARKS.finditer(text):
        start = match.start()
        if start < floor:
            continue
        over = _overlined(text, match)
        if over is not None:
            end, title = over
            style = (match[1], True)
        else:
            start, title = _title_above(text, match, floor)
            if not title:
                continue
            end = match.end()
            style = (match[1], False)
        level = levels.setdefault(style, len(levels) + 1)
        found.append(Heading(start, level, title))
        floor = end
    return found


def _overlined(text: str, match: re.Match[str]) -> tuple[int, str] | None:
    """The end and the title of a heading whose overline this is."""
    title, title_end = _line(text, match.end() + 1)
    under, under_end = _line(text, title_end + 1)
    if not title.strip() or under.rstrip() != match.group().rstrip():
        return None
    # A line of the table or the list that such lines may enclose as well.
    if _width(title.rstrip()) > len(under.rstrip()):
        return None
    return under_end, title.strip()


def _title_above(text: str, match: re.Match[str], floor: int) -> tuple[int, str]:
    """The place and the title of the line that this underlines; no title if it is none."""
    begin = text.rfind("\n", 0, max(match.start() - 1, 0)) + 1
    title = text[begin : max(match.start() - 1, 0)]
    length = len(match.group().rstrip())
    if begin < floor or not title.strip() or title[0] in " \t" or _MARKS.fullmatch(title):
        return 0, ""
    if length < min(_width(title.rstrip()), _SURE):
        return 0, ""
    before = text[text.rfind("\n", 0, max(begin - 1, 0)) + 1 : max(begin - 1, 0)]
    # It is a paragraph of one line; what ends a comment, a target or a heading is above it too.
    if begin > floor and before.strip() and not before.startswith(".."):
        return 0, ""
    return begin, title.strip()


def _rows(text: str) -> Iterator[tuple[int, int]]:
    """The rows of grid tables, from one border to the next; the first has the head with it."""
    begin: int | None = None
    end = 0
    for match in _BORDER.finditer(text):
        if begin is not None and _BLANK_LINE.search(text, end, match.start()):
            begin = None
        # A border of = ends the head, which stays with the row after it.
        if begin is not None and "=" not in match.group():
            yield begin, match.start()
            begin = match.start()
        elif begin is None:
            begin = match.start()
        end = match.end()


def _line(text: str, start: int) -> tuple[str, int]:
    end = text.find("\n", start)
    end = len(text) if end < 0 else end
    return text[start:end], end


def _width(text: str) -> int:
    """Columns that a text takes: East Asian characters take two."""
    wide = (
        sum(1 for c in text if unicodedata.east_asian_width(c) in "WF") if not text.isascii() else 0
    )
    return len(text) + wide


FORMAT = Format("rst", frozenset({".rst", ".rest"}), read)
