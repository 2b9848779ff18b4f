"""What servers of OpenAI's protocol say when they refuse: when to come again, and that it is the
account. Both who embeds and who asks read it here. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

#: Codes and types of an account that has to be seen to before it is served again.
QUOTA = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
_KEY = re.compile(r"\b(sk|sess|rk)-[^\s,;.'\"]+", re.ASCII)
#: A shorter key is a word like any other: that of a server which wants none.
_LEAST_KEY = 5


def without_keys(said: str, key: str = "") -> str:
    """``said`` as it may be shown: servers repeat the ``key`` that they refuse, or a part of it."""
    said = said.replace(key, "…") if len(key) >= _LEAST_KEY else said
    return _KEY.sub(lambda found: f"{found[1]}-…", said)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that the server asks to wait, from its headers (names in lower case); None if it
    names none. ``now`` is in seconds since 1970: a date is counted from there. Of two, the later:
    nothing is sent before it was told."""
    told = []
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        text = headers.get(name, "").strip()
        try:
            seconds = float(text) / unit if text else math.nan
        except ValueError:
            seconds = _until(text, now)
        if math.isfinite(seconds):
            told.append(max(0.0, seconds))
    return max(told, default=None)


def _until(text: str, now: float) -> float:
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return moment.timestamp() - now
    except (ValueError, TypeError, OverflowError):
        return math.nan
