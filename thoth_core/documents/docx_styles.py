"""Which styles of a Word document are headings, and of which level. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_HEADING = re.compile(r"heading ([1-9])", re.I)
#: A style may be based on another, that on a third, and so on; not in a circle.
_BASED = 20


@dataclass(slots=True)
class _Style:
    name: str = ""
    based_on: str = ""
    level: int = 0
    listed: bool = False


class Styles:
    """The styles, as their elements come."""

    def __init__(self) -> None:
        self._styles: dict[str, _Style] = {}
        self._open: _Style | None = None
        self._levels: dict[str, int] = {}

    def start(self, tag: str, given: dict[str, str]) -> None:
        value = given.get("val", "")
        if tag == "style":
            self._open = self._styles.setdefault(given.get("styleId", ""), _Style())
        elif self._open is None:
            return
        elif tag == "name":
            self._open.name = value
        elif tag == "basedOn":
            self._open.based_on = value
        elif tag == "outlineLvl":
            self._open.level = outline_level(value)
        elif tag == "numId":
            self._open.listed = value not in ("", "0")

    def end(self, tag: str) -> None:
        if tag == "style":
            self._open = None

    def done(self) -> None:
        self._levels = {id: self._level(id) for id in self._styles}

    def level(self, id: str) -> int:
        """The level of the heading that a paragraph of the style ``id`` is; 0: it is none."""
        if id in self._levels:
            return self._levels[id]
        # A document without its styles still has their ids.
        match = re.fullmatch(r"heading([1-9])", id, re.I)
        return int(match[1]) if match else 0

    def is_listed(self, id: str) -> bool:
        """Whether a paragraph of the style ``id`` is an item of a list."""
        for _ in range(_BASED):
            style = self._styles.get(id)
            if style is None or style.listed:
                return style is not None
            id = style.based_on
        return False

    def is_title(self, id: str) -> bool:
        style = self._styles.get(id)
        return (style.name if style is not None else id).lower() == "title"

    def _level(self, id: str) -> int:
        for _ in range(_BASED):
            style = self._styles.get(id)
            if style is None:
                return 0
            if match := _HEADING.fullmatch(style.name):
                return int(match[1])
            if style.level:
                return style.level
            id = style.based_on
        return 0


def outline_level(value: str) -> int:
    """The level, from 1, that a file gives from 0; 0 for one that is body text."""
    return int(value) + 1 if value.isdecimal() and len(value) == 1 and int(value) < 9 else 0
