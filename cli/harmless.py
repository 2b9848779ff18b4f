"""Texts as a terminal may have them. A document, or the name of a file, may hold anything: what a
terminal would take for commands, or what turns the direction of writing round, is replaced. Pure.
"""

from __future__ import annotations

import re

_CONTROL = "\x00-\x08\x0b-\x1f\x7f-\x9f"
_TURNING = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_UNSEEN = "\ufff9-\ufffb\U000e0000-\U000e007f"
_BAD = re.compile(f"[{_CONTROL}{_TURNING}{_UNSEEN}\ud800-\udfff]")
_LINE_ENDS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_IN_NAMES = re.compile(f"[{_CONTROL}\t\n\u2028\u2029{_TURNING}{_UNSEEN}\ud800-\udfff]")


def harmless(text: str) -> str:
    """``text`` with its lines and tabs, and ``\ufffd`` for all that is not to be written."""
    return _BAD.sub("\ufffd", _LINE_ENDS.sub("\n", text))


def one_line(text: str) -> str:
    """The same on one line, with one blank where there was any white space."""
    return " ".join(harmless(text).split())


def name(text: str) -> str:
    """A name, such as a file's, on one line: control characters as ``\\n`` or ``\\x1b``."""
    return _IN_NAMES.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def escaped_json(text: str) -> str:
    """JSON whose strings hold nothing that a terminal would obey."""
    return _IN_NAMES.sub(lambda found: found[0] if found[0] in "\t\n" else _unicode(found[0]), text)


def _unicode(letter: str) -> str:
    raw = letter.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{raw[i : i + 4]}" for i in range(0, len(raw), 4))
