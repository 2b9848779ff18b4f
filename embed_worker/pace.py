"""When the next request may go to a provider that limits requests and tokens a minute. Pure.

The provider says in the headers of each answer what its limits are and how much of them is left, so
nobody has to set anything. Each limit is kept as a bucket that fills up steadily, as the provider
keeps it. What is on its way may not be counted in what it says is left, so that is taken off once
more: the bucket is never believed fuller than it is, and a full minute's worth still goes through
in each minute, because what is waited for is its filling up.

https://platform.openai.com/docs/guides/rate-limits names the headers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

REQUESTS, TOKENS = "requests", "tokens"
_MINUTE = 60.0
#: A longer time until a limit is whole again is none: some servers send the date in seconds.
_LONGEST_RESET = 40 * 86_400.0
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|d|h|m|s)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds_of(text: str) -> float | None:
    """The seconds in ``6m0s``, ``1.5s``, ``12ms`` or ``20`` (seconds); None for anything else."""
    text = text.strip()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


@dataclass(slots=True)
class _Bucket:
    """``limit`` is None until the provider has told it; ``level`` as of ``at``; ``rate`` a second;
    ``out`` is what requests without an answer took."""

    limit: float | None = None
    level: float = math.inf
    rate: float = math.inf
    at: float = 0.0
    out: float = 0.0

    def fill(self, now: float) -> None:
        if self.limit is not None:
            self.level = min(self.limit, self.level + max(0.0, now - self.at) * self.rate)
        self.at = max(self.at, now)

    def ready_at(self, now: float, amount: float) -> float:
        self.fill(now)
        if self.limit is None:
            return now
        # More than there ever is at once goes when the bucket is full.
        wanted = min(amount, self.limit)
        if self.level >= wanted:
            return now
        return now + (wanted - self.level) / self.rate

    def take(self, now: float, amount: float) -> None:
        self.fill(now)
        self.out += amount
        if self.limit is not None:
            self.level -= amount

    def told(self, now: float, limit: float, left: float, reset: float | None) -> None:
        """``reset`` is in how many seconds it is full again."""
        self.fill(now)
        first = self.limit is None
        self.limit = limit
        used = limit - left
        usual = limit / _MINUTE
        # A limit of a day fills up more slowly than one of a minute. Never faster: the times that
        # providers tell are rounded.
        believed = reset is not None and 0 < reset <= _LONGEST_RESET and used > 0
        self.rate = min(usual, used / reset) if reset and believed else usual
        seen = left - self.out
        self.level = seen if first else min(self.level, seen)


@dataclass(slots=True)
class Pace:
    """One account's pace. Times are monotonic seconds, all passed in."""

    #: Nothing is sent before.
    not_before: float = 0.0
    _buckets: dict[str, _Bucket] = field(
        default_factory=lambda: {REQUESTS: _Bucket(), TOKENS: _Bucket()}
    )

    def ready_at(self, now: float, tokens: int) -> float:
        """When a request of so many tokens may be sent; ``now`` if it may be at once."""
        return max(
            now,
            self.not_before,
            self._buckets[REQUESTS].ready_at(now, 1),
            self._buckets[TOKENS].ready_at(now, tokens),
        )

    @property
    def most_tokens(self) -> float:
        """More tokens than this in one request are never let through, as far as is known."""
        limit = self._buckets[TOKENS].limit
        return math.inf if limit is None else limit

    def sent(self, now: float, tokens: int) -> None:
        """A request goes out."""
        self._buckets[REQUESTS].take(now, 1)
        self._buckets[TOKENS].take(now, tokens)

    def ended(self, now: float, tokens: int, headers: Mapping[str, str] | None = None) -> None:
        """It was answered, with these headers (names in lower case), or never will be."""
        for name, amount in ((REQUESTS, 1), (TOKENS, tokens)):
            bucket = self._buckets[name]
            bucket.out = max(0.0, bucket.out - amount)
            if headers is None:
                continue
            limit = _number(headers.get(f"x-ratelimit-limit-{name}"))
            left = _number(headers.get(f"x-ratelimit-remaining-{name}"))
            if limit is not None and limit > 0 and left is not None:
                reset = seconds_of(headers.get(f"x-ratelimit-reset-{name}", ""))
                bucket.told(now, limit, left, reset)

    def refused(self, now: float, wait: float, tokens: int) -> None:
        """The provider says that a request of so many tokens, which has ended, was too much, and to
        come again in ``wait`` seconds. It took nothing of what is left. One of more than
        :attr:`most_tokens` says nothing of when others may go."""
        too_large = tokens > self.most_tokens
        if not too_large:
            self.not_before = max(self.not_before, now + wait)
        for name, amount in ((REQUESTS, 1), (TOKENS, tokens)):
            bucket = self._buckets[name]
            bucket.fill(now)
            if bucket.limit is not None:
                bucket.level += amount
                if not too_large:
                    # What it would fill up until then is not to go out in one burst.
                    bucket.level = min(bucket.level, -wait * bucket.rate)


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None
