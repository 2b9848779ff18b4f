"""Rate limits as the real API has them: buckets that fill evenly. Pure, the time is passed in."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.support import openai_errors as errors


@dataclass
class Bucket:
    """Holds ``limit`` (a minute's worth, or that of ``burst`` seconds) and fills at ``limit`` a
    minute."""

    limit: int
    burst: float = 60.0
    level: float = field(init=False)
    then: float | None = None

    def __post_init__(self) -> None:
        self.level = self.room

    @property
    def room(self) -> float:
        return max(self.limit * self.burst / 60.0, 1.0)

    def fill(self, now: float) -> None:
        if self.then is not None:
            self.level = min(self.room, self.level + (now - self.then) * self.limit / 60.0)
        self.then = now

    def wait(self, amount: float) -> float:
        """Seconds until it holds ``amount``; 0 where it does."""
        return max(0.0, amount - self.level) * 60.0 / self.limit

    def headers(self, name: str) -> dict[str, str]:
        full_in = max(0.0, self.room - self.level) * 60.0 / self.limit
        return {
            f"x-ratelimit-limit-{name}": str(self.limit),
            f"x-ratelimit-remaining-{name}": str(max(0, int(self.level))),
            f"x-ratelimit-reset-{name}": errors.spoken(full_in),
        }


@dataclass
class Limits:
    """``requests`` and ``tokens`` a minute, each None for no limit. ``burst``: of how many seconds
    the worth may come at once (the real API: 60)."""

    requests: int | None = None
    tokens: int | None = None
    burst: float = 60.0

    def __post_init__(self) -> None:
        self.buckets = {
            name: Bucket(limit, self.burst)
            for name, limit in (("requests", self.requests), ("tokens", self.tokens))
            if limit is not None
        }

    def take(self, model: str, tokens: int, now: float) -> errors.ApiError | None:
        """Take one request of ``tokens`` out of the buckets, or say when it may come again and
        leave them as they are."""
        asked = {"requests": 1, "tokens": tokens}
        worst: tuple[float, str] | None = None
        for name, bucket in self.buckets.items():
            bucket.fill(now)
            if asked[name] > bucket.room:
                return errors.request_too_large(model, bucket.limit, asked[name])
            wait = bucket.wait(asked[name])
            if wait > 0 and (worst is None or wait > worst[0]):
                worst = wait, name
        if worst is not None:
            wait, name = worst
            bucket = self.buckets[name]
            used = bucket.limit - int(bucket.level)
            return errors.rate_limited(model, name, bucket.limit, used, asked[name], wait)
        for name, bucket in self.buckets.items():
            bucket.level -= asked[name]
        return None

    def headers(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for name, bucket in self.buckets.items():
            found |= bucket.headers(name)
        return found
