"""The moment that ``--since`` names. Pure: what time it is now is passed in."""

from __future__ import annotations

import math
import re
from datetime import date, datetime, timedelta

from thoth_core.errors import InvalidInput
from thoth_core.plain_values import shown

Since = str | float | date | datetime | timedelta

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_AGO = re.compile(r"(\d{1,6}(?:\.\d{1,6})?)\s*([smhdw])", re.ASCII)
_RULE = (
    "it is a date (2026-03-01), a time (2026-03-01T18:30, with an offset or in local time), or how"
    " long ago (90s, 30m, 12h, 7d, 2w)"
)


def moment(since: Since, now: float) -> float:
    """Seconds since 1970. A date is its beginning, and what names no offset is in local time; a
    number is such seconds already, a timedelta how long before ``now``. Raises
    :class:`InvalidInput`."""
    try:
        found = _moment(since, now)
    except (ValueError, OverflowError, OSError) as problem:
        raise _refused(since) from problem
    if not math.isfinite(found):
        raise _refused(since)
    return found


def _moment(since: object, now: float) -> float:
    if isinstance(since, timedelta):
        return now - since.total_seconds()
    if isinstance(since, datetime):
        return since.timestamp()
    if isinstance(since, date):
        return datetime(since.year, since.month, since.day).timestamp()
    if isinstance(since, int | float) and not isinstance(since, bool):
        return float(since)
    if not isinstance(since, str):
        raise ValueError
    text = since.strip()
    ago = _AGO.fullmatch(text.lower())
    if ago:
        return now - float(ago[1]) * _SECONDS[ago[2]]
    if not text.isascii():
        raise ValueError
    return datetime.fromisoformat(text).timestamp()


def _refused(since: object) -> InvalidInput:
    return InvalidInput(
        f"since is {shown(since)}", cause=_RULE, fix="since=7d is the last seven days"
    )
