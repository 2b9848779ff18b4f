"""Rules of plain values that metadata and filters share, and how a value is shown in a message.
Pure."""

from __future__ import annotations

import math

INT64_MIN = -(2**63)
INT64_MAX = 2**63 - 1


def scalar_rule(value: object) -> str:
    """The rule that a str, int, float or bool breaks, or nothing."""
    if isinstance(value, bool):
        return ""
    if isinstance(value, int) and not INT64_MIN <= value <= INT64_MAX:
        return "an int fits in 64 bits"
    if isinstance(value, float) and not math.isfinite(value):
        return "a float is finite"
    if isinstance(value, str) and lone_surrogate(value) is not None:
        return "a str can be written as UTF-8"
    return ""


def lone_surrogate(text: str) -> int | None:
    """The place of the first surrogate, which in a Python string is always without its pair."""
    if text.isascii():
        return None
    try:
        text.encode()
    except UnicodeEncodeError as problem:
        return problem.start
    return None


def shown(value: object, limit: int = 80) -> str:
    """A short, printable form of a value for a message. Never raises, always valid UTF-8."""
    if isinstance(value, str | bytes):
        # Sliced first: the repr of a text of 30 MB is another 30 MB.
        text = repr(value[: limit + 1])
    elif isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 256:
        text = f"a number of {value.bit_length()} bits"
    else:
        try:
            text = repr(value)
        except Exception as problem:
            # Somebody else's __repr__; the message must come out whatever it does.
            text = f"<{type(value).__name__} whose repr raises {type(problem).__name__}>"
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= limit else text[: limit - 1] + "…"
