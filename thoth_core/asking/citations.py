"""Citations in an answer: ``[1]``, ``[1, 2]``, ``[1-3]``, ``[1][3]``. Pure.

An answer comes in pieces and is shown as it comes, so what may become a citation is held back until
it is one or is none. Numbers that no passage has are taken out. What stands between backticks is
code, where ``[1]`` is an index.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from thoth_core.asking.results import Citation

#: A longer number is no citation but a year, or a value.
_DIGITS = 3
#: Characters of a citation at most, so that nothing else is held back for long.
_LENGTH = 60

_NUMBER = rf"\d{{1,{_DIGITS}}}"
_ITEM = rf"{_NUMBER}(?:\s*[-–]\s*{_NUMBER})?"
_WHOLE = re.compile(rf"(?P<blanks>[ \t]*)\[\s*(?P<items>{_ITEM}(?:\s*[,;]\s*{_ITEM})*)\s*\]")
#: Blanks alone may become the blanks before one.
_BEGINNING = re.compile(r"[ \t]*(?:\[[\d\s,;–-]*)?\Z")
_RANGE = re.compile(rf"({_NUMBER})(?:\s*[-–]\s*({_NUMBER}))?")


class CitationFilter:
    """For one answer with passages 1 to ``count``. ``cited`` and ``dropped`` are the numbers so
    far, each once, in the order of their first mention."""

    def __init__(self, count: int) -> None:
        self.cited: list[int] = []
        self.dropped: list[int] = []
        self._count = count
        self._held = ""
        self._code = _Code()

    def feed(self, piece: str) -> str:
        """What can be shown now."""
        text, self._held = self._held + piece, ""
        shown: list[str] = []
        position = 0
        while position < len(text):
            if text[position] in " \t[" and not self._code.holds_next():
                match = _WHOLE.match(text, position)
                if match is not None:
                    shown.append(self._resolved(match))
                    self._code.step("]")
                    position = match.end()
                    continue
                if len(text) - position <= _LENGTH and _BEGINNING.match(text, position):
                    self._held = text[position:]
                    break
            shown.append(self._code.step(text[position]))
            position += 1
        return "".join(shown)

    def end(self) -> str:
        """What was held back: it became no citation."""
        held, self._held = self._held, ""
        return held

    def _resolved(self, match: re.Match[str]) -> str:
        numbers = list(_numbers(match["items"]))
        known = [n for n in numbers if 1 <= n <= self._count]
        for n in numbers:
            mentioned = self.cited if 1 <= n <= self._count else self.dropped
            if n not in mentioned:
                mentioned.append(n)
        if len(known) == len(numbers):
            return match.group()
        if not known:
            return ""
        return f"{match['blanks']}[{', '.join(map(str, known))}]"


class _Code:
    """Which characters stand in code: between backticks, on one line, or in a fence."""

    def __init__(self) -> None:
        self._open = 0
        self._run = 0
        self._at_start = True
        self._run_at_start = False
        self._fence = False

    def holds_next(self) -> bool:
        """Whether the next character, which is no backtick, does."""
        if self._run:
            self._end_of_run()
        return bool(self._open)

    def step(self, character: str) -> str:
        """Take a character, and give it back."""
        if character == "`":
            if self._run == 0:
                self._run_at_start = self._at_start
            self._run += 1
            return character
        if self._run:
            self._end_of_run()
        if character == "\n":
            if not self._fence:
                self._open = 0
            self._at_start = True
        elif character not in " \t":
            self._at_start = False
        return character

    def _end_of_run(self) -> None:
        run, self._run = self._run, 0
        if not self._open:
            self._open, self._fence = run, run >= 3 and self._run_at_start
        elif self._fence:
            if self._run_at_start and run >= self._open:
                self._open, self._fence = 0, False
        elif run == self._open:
            self._open = 0
        self._at_start = False


def cited_in(text: str, count: int) -> tuple[str, list[int], list[int]]:
    """A whole answer without the citations that no passage has; the numbers cited, and dropped."""
    found = CitationFilter(count)
    kept = found.feed(text) + found.end()
    return kept, found.cited, found.dropped


def resolved(numbers: Iterable[int], passages: Sequence[Citation]) -> tuple[Citation, ...]:
    """The passages of these numbers."""
    by_number = {passage.n: passage for passage in passages}
    return tuple(by_number[n] for n in numbers)


def _numbers(items: str) -> Iterable[int]:
    for match in _RANGE.finditer(items):
        first, last = int(match[1]), int(match[2] or match[1])
        # A range that runs backwards is two numbers.
        yield from range(first, last + 1) if first <= last else (first, last)
