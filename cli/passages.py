"""How a passage is shown: the words of the query marked, and cut to the best of it. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

Spans = Sequence[tuple[int, int]]

BOLD, DIM, PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[0m"

_WORD = re.compile("[\\w\u0300-\u036f]+")
#: Writing without blanks between words: there a word may stand anywhere.
_UNSPACED = re.compile("[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
#: Letters of a word from which on it also counts as the beginning of a longer one.
_BEGINNING = 3
#: How far from the beginning of a text an excerpt may begin to begin with the text instead.
_NEAR = 0.2

_STOP = """a an and any are as at be been but by can could did do does for from had has have he her
his how i if in into is it its me my no not of on or our she should so than that the their them then
there these they this those to us was we were what when where which who whom whose why will with
would you your
aber als am an auch auf aus bei bin bis da das dass dem den der des die du ein eine einem einen
einer er es fur hat ich ihr im in ist ja kann man mich mir mit nach nicht noch nur ob oder sein sich
sie sind so um und uns von vor war was wenn wer wie wir wird wo zu zum zur"""
#: As :func:`folded` leaves them.
_STOP_WORDS = frozenset(_STOP.split())


def folded(word: str) -> str:
    """``word`` without case and accents."""
    parts = unicodedata.normalize("NFKD", word.casefold())
    return "".join(c for c in parts if not unicodedata.combining(c))


def words_of(query: str) -> frozenset[str]:
    """The words of a query that are worth marking; all of them if none is."""
    words = frozenset(folded(found[0]) for found in _WORD.finditer(query)) - {""}
    return words - _STOP_WORDS or words


def marks(text: str, words: Iterable[str]) -> list[tuple[int, int, str]]:
    """Where a word of ``text`` is one of ``words``, or begins with it: ``(start, end, word)`` in
    order, none over another."""
    long = tuple(word for word in words if len(word) >= _BEGINNING)
    every = frozenset(words)
    found = []
    for match in _WORD.finditer(text):
        word = folded(match[0])
        if word in every:
            found.append((match.start(), match.end(), word))
        elif word.startswith(long):
            begun = max((each for each in long if word.startswith(each)), key=len)
            found.append((match.start(), match.end(), begun))
        elif _UNSPACED.search(match[0]):
            found += _inside(text, match, every)
    return found


def _inside(text: str, match: re.Match[str], words: frozenset[str]) -> list[tuple[int, int, str]]:
    wanted = sorted((w for w in words if _UNSPACED.search(w)), key=len, reverse=True)
    if not wanted:
        return []
    pattern = re.compile("|".join(map(re.escape, wanted)))
    return [(m.start(), m.end(), m[0]) for m in pattern.finditer(text, match.start(), match.end())]


def best(text: str, words: Iterable[str], size: int) -> tuple[int, int]:
    """The part of ``text``, of about ``size`` characters and of whole words where that can be, with
    the most different words, and of such the most of them; the first of equal ones. Its beginning
    if it has none."""
    if len(text) <= size:
        return 0, len(text)
    found = marks(text, words)
    start = end = 0
    if found:
        start, end = _densest(found, size)
    margin = max(0, size - (end - start)) // 2
    begin = max(0, min(start - margin, len(text) - size))
    if begin <= size * _NEAR and end <= size:
        begin = 0
    return _whole_words(text, begin, min(len(text), begin + size))


def _densest(found: Sequence[tuple[int, int, str]], size: int) -> tuple[int, int]:
    inside: Counter[str] = Counter()
    best_score, best_span, first = (0, 0), found[0][:2], 0
    for start, end, word in found:
        inside[word] += 1
        while found[first][0] < start and end - found[first][0] > size:
            gone = found[first][2]
            inside[gone] -= 1
            if not inside[gone]:
                del inside[gone]
            first += 1
        score = (len(inside), inside.total())
        if score > best_score:
            best_score, best_span = score, (found[first][0], end)
    return best_span


def _whole_words(text: str, begin: int, end: int) -> tuple[int, int]:
    if begin > 0 and not text[begin - 1].isspace():
        blank = text.find(" ", begin, begin + (end - begin) // 4)
        begin = blank + 1 if blank >= 0 else begin
    if end < len(text) and not text[end].isspace():
        blank = text.rfind(" ", end - (end - begin) // 4, end)
        end = blank if blank >= 0 else end
    return begin, end


def excerpt(text: str, words: Iterable[str], size: int) -> str:
    """The best of ``text``, which is on one line, with ``…`` where it was cut."""
    begin, end = best(text, words, size)
    before, behind = "…" if begin > 0 else "", "…" if end < len(text) else ""
    return f"{before}{text[begin:end].strip()}{behind}"


def marked(text: str, words: Iterable[str]) -> str:
    """``text`` with the words in bold."""
    out, at = "", 0
    for start, end, _ in marks(text, words):
        out += f"{text[at:start]}{BOLD}{text[start:end]}{PLAIN}"
        at = end
    return out + text[at:]


def wrapped(text: str, width: int) -> Iterator[str]:
    """``text``, which is on one line, in lines of up to ``width`` cells of a terminal."""
    line, taken = "", 0
    for word in text.split(" "):
        for part in _fitting(word, width):
            cells = cells_of(part)
            if line and taken + 1 + cells > width:
                yield line
                line, taken = "", 0
            line, taken = (f"{line} {part}", taken + 1 + cells) if line else (part, cells)
    yield line


def _fitting(word: str, width: int) -> Iterator[str]:
    if cells_of(word) <= width:
        yield word
        return
    part, taken = "", 0
    for letter in word:
        cells = cells_of(letter)
        if part and taken + cells > width:
            yield part
            part, taken = "", 0
        part, taken = part + letter, taken + cells
    yield part


def cells_of(text: str) -> int:
    """How many cells of a terminal it takes."""
    if text.isascii():
        return len(text)
    return sum(
        0
        if unicodedata.category(c) in ("Mn", "Me", "Cf")
        else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in text
    )
