"""Markdown: text whose headings, tables and fenced code are known. Its title is that of its front
matter, else the first heading of the highest level."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence

from thoth_core.documents.base import Content, Format
from thoth_core.documents.decoding import decode_noted
from thoth_core.headings import Heading, front_matter, outline
from thoth_core.layout import Layout

#: ``title: "…"`` in YAML, ``title = "…"`` in TOML.
_TITLE = re.compile(
    r"^title[ \t]*[:=][ \t]*(?P<quote>[\"']?)(?P<title>\S.*?)(?P=quote)[ \t]*$", re.M
)
#: What the line under the head of a table is made of: ``| --- | :---: |``.
_UNDER_HEAD = re.compile(r"^[ \t|:\-]++$", re.M)
#: A heading and the blank lines after it, up to where something else stands.
_HEADING = re.compile(r"[^\n]*\n(?: {0,3}[=\-]+[ \t]*\n)?\s*")


def read(data: bytes) -> Content:
    text, note = decode_noted(data)
    found, fences = outline(text)
    title = _front_title(text) or first_highest(found)
    layout = Layout(headings=tuple(found), rows=tuple(_rows(text, found, fences)))
    return Content(text, layout, title=title, note=note)


def first_highest(found: Sequence[Heading]) -> str:
    """The title of the first heading of the highest level, or nothing."""
    titled = [heading for heading in found if heading.title]
    # min keeps the first of equals.
    return min(titled, key=lambda heading: heading.level).title if titled else ""


def _front_title(text: str) -> str:
    match = _TITLE.search(front_matter(text))
    return match["title"] if match else ""


def _rows(
    text: str, found: Sequence[Heading], fences: Sequence[tuple[int, int]]
) -> Iterator[tuple[int, int]]:
    """Fenced code, and the rows of tables outside it, in order."""
    done = 0
    for start, end in fences:
        yield from _tables(text, done, start)
        yield max(_with_heading(text, found, start), done), end
        done = end
    yield from _tables(text, done, len(text))


def _with_heading(text: str, found: Sequence[Heading], start: int) -> int:
    """Where the code at ``start`` begins, with its heading if that is right above it: a heading
    alone would be a chunk that says nothing."""
    above = bisect_left(found, start, key=lambda heading: heading.start)
    if above:
        begin = found[above - 1].start
        match = _HEADING.match(text, begin, start)
        if match and match.end() == start:
            return begin
    return start


def _tables(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The rows of the tables in this part; the first has the head with it."""
    for match in _UNDER_HEAD.finditer(text, start, end):
        marks = match.group()
        if "|" not in marks or "-" not in marks or match.start() < max(start, 1):
            continue
        begin = max(text.rfind("\n", 0, match.start() - 1) + 1, start)
        if "|" not in text[begin : match.start()] or match.end() == end:
            continue
        line = match.end() + 1
        while line < end:
            after = text.find("\n", line, end)
            after = end if after < 0 else after
            if "|" not in text[line:after]:
                break
            yield begin, after
            begin = line = after + 1
        start = line


FORMAT = Format(
    "markdown", frozenset({".md", ".markdown", ".mdown", ".mkd", ".mdx"}), read, version=2
)
