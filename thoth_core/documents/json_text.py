"""JSON as text for a search: one line a value, ``server.port: 8080``, with the line of the file.

The names of all that is around a value stand before it, so that a chunk from the middle of a file
says what its values are. Plain values of a list share a line; objects in a list are records. Pure,
without recursion, and linear in the length of the text, however deep it is nested.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from json.decoder import scanstring  # type: ignore[attr-defined]

from thoth_core.documents.characters import whole
from thoth_core.layout import Layout

#: ``plain`` is a string without escapes, ``string`` the beginning of any other.
_TOKEN = re.compile(
    r"[ \t\n\r]*+(?:\"(?P<plain>[^\"\\]*+)\"|(?P<string>\")|(?P<mark>[{}\[\]:,])|(?P<word>true"
    r"|false|null|NaN|-?Infinity|-?\d++(?:\.\d++)?(?:[eE][-+]?\d++)?))"
)
_PLAIN_NAME = re.compile(r"[ \t\n\r]*+\"([^\"\\]*+)\"[ \t\n\r]*+:")
_BLANK = re.compile(r"[ \t\n\r]*+")
#: Characters of the names around a value that stand before it at most; the nearest ones count.
_PATH = 160
#: A longer value of a list has a line of its own.
_INLINE = 60
#: Characters of a record in which there is no good place for a cut.
_RECORD = 2_000
_CLOSES = {"{": "}", "[": "]"}


class NotJson(Exception):
    """``place`` is where the text is no JSON any more."""

    def __init__(self, place: int) -> None:
        super().__init__(place)
        self.place = place


@dataclass(slots=True)
class _Open:
    """An object or list that is not closed yet. ``inline``: the line that was written last is one
    of plain values of this list."""

    mark: str
    path: str
    inline: bool = False


class JsonText:
    """The text of some values of ``text``, a JSON text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._parts: list[str] = []
        self._length = 0
        self._breaks: list[int] = []
        self._rows: list[tuple[int, int]] = []
        self._lines: list[tuple[int, int]] = []
        # The line of the file that the end of what is written is taken to be on, and the real one.
        self._taken = 0
        self._line = 1
        self._counted = 0
        self._stack: list[_Open] = []
        #: How many are open around the record that is being written, and where it begins.
        self._record: tuple[int, int] | None = None
        self._last = ""

    def result(self) -> tuple[str, Layout]:
        breaks = tuple(self._kept_breaks())
        layout = Layout(breaks=breaks, rows=tuple(self._rows), lines=tuple(self._lines))
        return whole("".join(self._parts)), layout

    def _kept_breaks(self) -> Iterator[int]:
        """The breaks that are not inside a record which a chunk may hold whole."""
        short = [(start, end) for start, end in self._rows if end - start <= _RECORD]
        next_row = 0
        for place in self._breaks:
            while next_row < len(short) and short[next_row][1] <= place:
                next_row += 1
            if next_row == len(short) or place <= short[next_row][0]:
                yield place

    def values(self, start: int, end: int, *, records: bool = False) -> None:
        """Write the values between ``start`` and ``end``: one, or several one after the other, each
        of which is a record, as one is with ``records``. :class:`NotJson` if there is anything
        else; what was written before that is of no use."""
        place = self._one(start, end, records)
        while place < end:
            place = self._one(place, end, True)

    def plain(self, start: int, end: int) -> None:
        """Write this part of the text as it is, as a record."""
        begin = self._separated()
        self._line_of("", self._text[start:end].strip(), start)
        self._rows.append((begin, self._length))

    # ---- reading

    def _one(self, place: int, end: int, record: bool) -> int:
        """Write the value at ``place``; where the blanks after it end."""
        self._stack.clear()
        self._record = (-1, self._separated()) if record else None
        place = self._value(place, end)
        if self._record is not None:
            self._rows.append((self._record[1], self._length))
        blank = _BLANK.match(self._text, place, end)
        return blank.end() if blank else place

    def _value(self, place: int, end: int) -> int:
        """Write the value at ``place``; where it ends."""
        stack = self._stack
        name = ""
        while True:
            token = self._token(place, end)
            at, place = token.start(token.lastgroup or 0), token.end()
            if token.lastgroup == "plain":
                self._scalar(name, token["plain"], at)
            elif token.lastgroup == "string":
                value, place = self._string(place, end)
                self._scalar(name, value, at)
            elif token["word"]:
                self._scalar(name, token["word"], at)
            elif token["mark"] in _CLOSES:
                closes = _CLOSES[token["mark"]]
                following = self._token(place, end)
                if following["mark"] == closes:
                    place = following.end()
                    self._scalar(name, token["mark"] + closes, at)
                else:
                    self._opened(token["mark"], name, at)
                    name, place = self._name(place, end)
                    continue
            else:
                raise NotJson(at)
            while stack:
                token = self._token(place, end)
                place = token.end()
                if token["mark"] == ",":
                    name, place = self._name(place, end)
                    break
                if token["mark"] != _CLOSES[stack[-1].mark]:
                    raise NotJson(token.end() - 1)
                self._closed()
            else:
                return place

    def _token(self, place: int, end: int) -> re.Match[str]:
        token = _TOKEN.match(self._text, place, end)
        if token is None:
            raise NotJson(place)
        return token

    def _string(self, place: int, end: int) -> tuple[str, int]:
        try:
            value, place = scanstring(self._text, place, False)
        except ValueError as problem:
            raise NotJson(place) from problem
        if place > end:
            raise NotJson(end)
        return value.replace("\r\n", "\n").replace("\r", "\n"), place

    def _name(self, place: int, end: int) -> tuple[str, int]:
        """The name of the next value of what is open, with those around it."""
        around = self._stack[-1]
        if around.mark == "[":
            return around.path, place
        simple = _PLAIN_NAME.match(self._text, place, end)
        if simple is not None:
            key, place = simple[1], simple.end()
        else:
            token = self._token(place, end)
            if token.lastgroup != "string":
                raise NotJson(place)
            key, place = self._string(token.end(), end)
            colon = self._token(place, end)
            if colon["mark"] != ":":
                raise NotJson(place)
            place = colon.end()
        if len(self._stack) == 1:
            self._break()
        return f"{around.path}.{key}" if around.path else key, place

    # ---- writing

    def _opened(self, mark: str, name: str, at: int) -> None:
        opened = _Open(mark, name)
        if len(name) > _PATH:
            # Written once in full, because what is in it has only the end of it.
            self._line_of(name, "", at)
            opened.path = "…" + name[-_PATH // 2 :]
        around = self._stack[-1] if self._stack else None
        if around is not None and around.mark == "[":
            around.inline = False
            if mark == "{" and self._record is None:
                self._record = len(self._stack), self._separated()
            elif mark == "{":
                self._break()
        self._stack.append(opened)

    def _closed(self) -> None:
        self._stack.pop()
        if self._record is not None and self._record[0] == len(self._stack):
            self._rows.append((self._record[1], self._length))
            self._record = None

    def _scalar(self, name: str, value: str, at: int) -> None:
        around = self._stack[-1] if self._stack else None
        if around is None or around.mark == "{":
            self._line_of(name, value, at)
            return
        short = len(value) <= _INLINE and "\n" not in value
        if short and around.inline:
            self._put(", ")
            self._at_line(at)
            self._put(value)
        else:
            self._line_of(name, value, at)
        around.inline = short

    def _line_of(self, name: str, value: str, at: int) -> None:
        """A line ``name: value``. A value with line ends is in one line of the file."""
        if self._length and self._last != "\n":
            self._put("\n")
        self._at_line(at)
        first, *others = value.split("\n")
        self._put(f"{name}: {first}" if name else first)
        for other in others:
            self._put("\n")
            self._at_line(at)
            self._put(other)

    def _separated(self) -> int:
        """Begin a record, after a blank line; where it begins."""
        if self._length:
            self._put("\n\n" if self._last != "\n" else "\n")
        self._break()
        return self._length

    def _break(self) -> None:
        """What is written next begins a line that is good to begin a chunk."""
        if self._length and self._last != "\n":
            self._put("\n")
        if not self._breaks or self._breaks[-1] < self._length:
            self._breaks.append(self._length)

    def _put(self, text: str) -> None:
        if text:
            self._parts.append(text)
            self._length += len(text)
            self._taken += text.count("\n")
            self._last = text[-1]

    def _at_line(self, at: int) -> None:
        """What is written next stands at ``at`` in the file."""
        self._line += self._text.count("\n", self._counted, at)
        self._counted = at
        if self._taken != self._line:
            self._taken = self._line
            if self._lines and self._lines[-1][0] == self._length:
                self._lines.pop()
            self._lines.append((self._length, self._line))
