"""Source code and configuration: the text as it stands, cut at definitions where that can be.

What begins one is told by how its line begins (``code_patterns``), without a grammar: that cannot
fail, hang or take memory, whatever the file holds. A place that only looks like a definition, as in
a string, is no harm: it is still the beginning of a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from thoth_core.documents.base import Content, Format
from thoth_core.documents.code_patterns import LANGUAGES
from thoth_core.documents.decoding import decode_noted
from thoth_core.layout import Layout

#: How a line begins that belongs to the definition below it: comments, decorators, attributes.
_ABOVE = re.compile(r"[ \t]*+(?:#(?!include|if|endif|else)|//|/\*|\*|@\w|--[ \t-]|;;|\[\w|'''|%%)")
#: Lines that are looked at above one definition.
_ABOVE_LINES = 60


def read(pattern: re.Pattern[str], data: bytes) -> Content:
    text, note = decode_noted(data)
    return Content(text, Layout(breaks=tuple(_breaks(text, pattern))), note=note)


def _breaks(text: str, pattern: re.Pattern[str]) -> Iterator[int]:
    floor = 0
    decorated = False
    for match in pattern.finditer(text):
        start = match.start()
        decorator = match.group().lstrip().startswith("@")
        # A definition with decorators begins with the first of them.
        if not decorated:
            yield _with_what_is_above(text, start, floor)
        decorated = decorator
        floor = match.end()


def _with_what_is_above(text: str, start: int, floor: int) -> int:
    """Where the comments and attributes right above the line at ``start`` begin."""
    for _ in range(_ABOVE_LINES):
        before = text.rfind("\n", floor, start - 1) + 1 if start else 0
        if before < floor or before == start or not _ABOVE.match(text, before, start):
            break
        start = before
    return start


FORMATS = tuple(
    Format(
        name,
        frozenset(each for each in files.split() if each.startswith(".")),
        partial(read, re.compile(pattern, re.M)),
        names=frozenset(each for each in files.split() if not each.startswith(".")),
    )
    for name, files, pattern in LANGUAGES
)
