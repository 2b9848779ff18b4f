"""Characters that a parser may give and no text may hold. Pure."""

from __future__ import annotations


def whole(text: str) -> str:
    """``text`` without what cannot be stored or sent, each such character replaced by one other, so
    that places stay: zero characters, and surrogates without their pair."""
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text
