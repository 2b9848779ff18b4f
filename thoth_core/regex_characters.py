"""Characters as Rust's ``regex`` classes them, and those that differ in case only. Pure.

Python's own ``str`` methods draw some lines elsewhere: \x1c is a space to it, a combining accent is
no part of a word. Characters newer than the Unicode of this Python are of no class here.
"""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Callable

Test = Callable[[str], bool]

_SPACES = frozenset(
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
#: Letters with a circle or a square around them are alphabetic to Unicode, though symbols.
_ALPHABETIC_SYMBOLS = (
    ("\u24b6", "\u24e9"),
    ("\U0001f130", "\U0001f149"),
    ("\U0001f150", "\U0001f169"),
    ("\U0001f170", "\U0001f189"),
)
#: General categories.
CATEGORIES = frozenset(
    {"L", "Lu", "Ll", "Lt", "Lm", "Lo", "M", "Mn", "Mc", "Me", "N", "Nd", "Nl", "No"}
    | {"P", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "S", "Sm", "Sc", "Sk", "So"}
    | {"Z", "Zs", "Zl", "Zp"}
)
_VISIBLE = string.ascii_letters + string.digits + string.punctuation
#: ``[:name:]``: of ASCII only.
POSIX: dict[str, frozenset[str]] = {
    "alnum": frozenset(string.ascii_letters + string.digits),
    "alpha": frozenset(string.ascii_letters),
    "ascii": frozenset(map(chr, range(128))),
    "blank": frozenset("\t "),
    "cntrl": frozenset(map(chr, (*range(32), 127))),
    "digit": frozenset(string.digits),
    "graph": frozenset(_VISIBLE),
    "lower": frozenset(string.ascii_lowercase),
    "print": frozenset(_VISIBLE + " "),
    "punct": frozenset(string.punctuation),
    "space": frozenset("\t\n\v\f\r "),
    "upper": frozenset(string.ascii_uppercase),
    "word": frozenset(string.ascii_letters + string.digits + "_"),
    "xdigit": frozenset(string.hexdigits),
}
#: Folded alike since Unicode 15.1, which not every Python knows.
_FOLDS = {"\ufb05": "\ufb06", "\u1fd3": "\u0390", "\u1fe3": "\u03b0"}
#: Beyond this no character has a case.
_CASED_END = 0x1EA00


def is_word(character: str) -> bool:
    r"""Whether ``\w`` matches it."""
    category = unicodedata.category(character)
    return (
        category[0] in "LM"
        or category in ("Nd", "Nl", "Pc")
        or character in "\u200c\u200d"
        or any(low <= character <= high for low, high in _ALPHABETIC_SYMBOLS)
    )


def is_digit(character: str) -> bool:
    r"""Whether ``\d`` matches it."""
    return unicodedata.category(character) == "Nd"


#: By the letter of their escape.
PERL: dict[str, Test] = {"d": is_digit, "s": _SPACES.__contains__, "w": is_word}

#: Those of them that can be told to Python's ``re``, in a class.
SOURCES = {"d": r"\d", "s": "".join(f"\\u{ord(each):04x}" for each in sorted(_SPACES))}


def in_category(name: str) -> Test:
    return lambda character: unicodedata.category(character).startswith(name)


def between(low: str, high: str) -> Test:
    return lambda character: low <= character <= high


def opposite(test: Test) -> Test:
    return lambda character: not test(character)


def without_case(test: Test) -> Test:
    """Whether ``test`` lets a character through, or one that differs from it in case only."""
    return lambda character: any(map(test, alike(character)))


_orbits: dict[str, tuple[str, ...]] = {}


def alike(character: str) -> tuple[str, ...]:
    """All characters that differ from ``character`` in case only, itself among them."""
    if not _orbits:
        # Made when somebody first asks for something without regard to case: 30 ms.
        found: dict[str, list[str]] = {}
        for code in range(_CASED_END):
            each = chr(code)
            folded = fold(each)
            if folded != each:
                found.setdefault(folded, [folded]).append(each)
        _orbits.update((folded, tuple(every)) for folded, every in found.items())
    return _orbits.get(fold(character), (character,))


def fold(character: str) -> str:
    """What stands for a character and all that differ from it in case only (simple folding)."""
    folded = character.casefold()
    if len(folded) != 1:
        # Its full folding is several; the simple one is its small letter, if that is one.
        folded = character.lower()
        folded = _FOLDS.get(character, folded if len(folded) == 1 else character)
    return folded
