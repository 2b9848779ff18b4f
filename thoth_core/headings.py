"""The headings of a markdown text. Pure, and linear in its length.

ATX (``# title``) and setext (underlined) headings as in CommonMark. What stands in fenced code or
in front matter is no heading.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

#: Lines that decide anything; all others need not be looked at one by one.
_LINE = re.compile(
    r"^ {0,3}(?:#{1,6}(?=[ \t\r\n]|\Z)|`{3,}|~{3,}|=+(?=[ \t\r]*$)|-+(?=[ \t\r]*$))", re.M
)
_FRONT_MATTER = re.compile(
    r"(?:---[ \t]*\r?\n(?:.*\n)*?(?:---|\.\.\.)|\+\+\+[ \t]*\r?\n(?:.*\n)*?\+\+\+)"
    r"[ \t]*\r?(?:\n|\Z)"
)
#: How far down a text front matter may reach, in characters.
_FRONT_MATTER_MAX = 20_000
#: Lines that the title of a setext heading may have.
_TITLE_LINES = 3
#: What begins a line that is no paragraph: a quote, a list, a table, a comment or a heading.
_NO_PARAGRAPH = re.compile(r"(?: {4}|\t| {0,3}(?:[>|<]|#{1,6}[ \t]|[-+*][ \t]|\d{1,9}[.)][ \t]))")


@dataclass(frozen=True, slots=True)
class Heading:
    """``start`` is the place of its line in the text, ``level`` counts from 1, the highest."""

    start: int
    level: int
    title: str


def headings(text: str) -> list[Heading]:
    """The headings of ``text`` in order."""
    return outline(text)[0]


def outline(text: str) -> tuple[list[Heading], list[tuple[int, int]]]:
    """The headings of ``text``, and its fenced code as spans, in order; one that is never closed
    reaches to the end."""
    found: list[Heading] = []
    fences: list[tuple[int, int]] = []
    fence = ""
    opened = 0
    position = len(front_matter(text))
    # The line after the last heading: a setext title does not reach above it.
    floor = position
    for match in _LINE.finditer(text, position):
        start = match.start()
        marker = match.group().lstrip(" ")
        if marker[0] in "`~":
            end = _line_end(text, match.end())
            following = _next_fence(fence, marker, text[match.end() : end])
            if following and not fence:
                opened = start
            elif fence and not following:
                fences.append((opened, end))
            fence = following
            floor = end + 1
        elif fence:
            continue
        elif marker[0] == "#":
            end = _line_end(text, start)
            found.append(Heading(start, len(marker), _atx_title(text[match.end() : end])))
            floor = end + 1
        else:
            heading = _setext(text, start, floor, 1 if marker[0] == "=" else 2)
            if heading is not None:
                found.append(heading)
            floor = _line_end(text, start) + 1
    if fence:
        fences.append((opened, len(text)))
    return found, fences


def path_at(path: Sequence[Heading], heading: Heading) -> tuple[Heading, ...]:
    """The headings that stand above what follows ``heading``, when ``path`` stood above it."""
    return (*(above for above in path if above.level < heading.level), heading)


def front_matter(text: str) -> str:
    """What ``text`` begins with before its first line, between two lines of ``---`` or ``+++``;
    with these lines."""
    if not text.startswith(("---", "+++")):
        return ""
    match = _FRONT_MATTER.match(text, 0, _FRONT_MATTER_MAX)
    return match.group() if match else ""


def _line_end(text: str, position: int) -> int:
    end = text.find("\n", position)
    return len(text) if end < 0 else end


def _next_fence(fence: str, marker: str, rest: str) -> str:
    """The open fence after a line with ``marker``, or nothing."""
    if not fence:
        # Backticks in the rest make it a line with inline code.
        return "" if marker[0] == "`" and "`" in rest else marker
    closes = marker[0] == fence[0] and len(marker) >= len(fence) and not rest.strip()
    return "" if closes else fence


def _atx_title(rest: str) -> str:
    title = rest.strip()
    opened = title.rstrip("#")
    if not opened or opened[-1] in " \t":
        title = opened.rstrip()
    return title


def _setext(text: str, underline: int, floor: int, level: int) -> Heading | None:
    """The heading whose underline begins at ``underline``: the paragraph above it."""
    lines: list[str] = []
    start = underline
    while start > floor:
        before = text.rfind("\n", floor, start - 1) + 1 or floor
        line = text[before : start - 1]
        if not line.strip():
            break
        if _NO_PARAGRAPH.match(line) or len(lines) == _TITLE_LINES:
            return None
        lines.append(line.strip())
        start = before
    if not lines:
        return None
    return Heading(start, level, " ".join(reversed(lines)))
