"""The pace of requests, against a provider's own bucket."""

from __future__ import annotations

import heapq
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embed_worker.pace import Pace, seconds_of
from tests.support.openai_limits import Limits


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1.0),
        ("6m0s", 360.0),
        ("12ms", 0.012),
        ("1m12.5s", 72.5),
        ("2h", 7200.0),
        ("20", 20.0),
        ("", None),
        ("soon", None),
        ("1s2", None),
        ("-1s", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
    ],
)
def test_times_as_providers_write_them(text: str, seconds: float | None) -> None:
    assert seconds_of(text) == (None if seconds is None else pytest.approx(seconds))


def test_nothing_is_held_back_before_a_limit_is_known() -> None:
    pace = Pace()
    for _ in range(100):
        assert pace.ready_at(5.0, 10_000) == 5.0
        pace.sent(5.0, 10_000)


def test_nothing_is_sent_before_it_was_told() -> None:
    pace = Pace()
    pace.sent(1.0, 5)
    pace.ended(1.5, 5)
    pace.refused(1.5, 2.0, 0)
    assert pace.ready_at(1.6, 5) == 3.5
    pace.refused(1.7, 0.5, 0)
    assert pace.ready_at(1.8, 5) == 3.5
    assert pace.ready_at(3.5, 5) == 3.5


def test_a_request_larger_than_the_limit_goes_when_the_bucket_is_full() -> None:
    pace = Pace()
    pace.sent(0.0, 10)
    headers = {"x-ratelimit-limit-tokens": "600", "x-ratelimit-remaining-tokens": "0"}
    pace.ended(0.0, 10, headers)
    assert pace.ready_at(0.0, 10_000) == pytest.approx(60.0)


def test_a_reset_that_is_a_date_is_not_waited_for() -> None:
    pace = Pace()
    pace.sent(0.0, 1)
    told = {"limit": "600", "remaining": "0", "reset": "1790000000"}
    pace.ended(0.0, 1, {f"x-ratelimit-{name}-requests": text for name, text in told.items()})
    assert pace.ready_at(0.0, 1) == pytest.approx(0.1)


def test_a_refusal_of_more_than_a_minute_has_keeps_nobody_waiting() -> None:
    pace = Pace()
    headers = {"x-ratelimit-limit-tokens": "600", "x-ratelimit-remaining-tokens": "600"}
    for _ in range(3):
        pace.sent(0.0, 10_000)
    for _ in range(3):
        pace.ended(1.0, 10_000, headers)
        pace.refused(1.0, 5.0, 10_000)
    assert pace.most_tokens == 600
    assert pace.ready_at(1.0, 600) == 1.0


def test_a_limit_of_a_day_fills_up_as_slowly_as_it_says() -> None:
    pace = Pace()
    pace.sent(0.0, 1)
    told = {"limit": "200", "remaining": "0", "reset": "24h"}
    pace.ended(0.0, 1, {f"x-ratelimit-{name}-requests": text for name, text in told.items()})
    assert pace.ready_at(0.0, 1) == pytest.approx(24 * 3600 / 200)


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "x-ratelimit-limit-tokens",
                "x-ratelimit-remaining-tokens",
                "x-ratelimit-reset-tokens",
                "x-ratelimit-limit-requests",
            ]
        ),
        st.text(max_size=8),
    )
)
def test_whatever_the_headers_say_it_goes_on(headers: dict[str, str]) -> None:
    pace = Pace()
    pace.sent(0.0, 1)
    pace.ended(0.0, 1, headers)
    assert math.isfinite(pace.ready_at(1.0, 100))


class _Provider:
    """Its buckets, on a clock that the test has."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.served = self.refused = 0

    def ask(self, now: float, tokens: int) -> dict[str, str] | None:
        """Headers, or None for a 429."""
        buckets = self.limits.buckets
        for bucket in buckets.values():
            bucket.fill(now)
        wants = {"requests": 1.0, "tokens": float(tokens)}
        if any(bucket.wait(wants[name]) > 0 for name, bucket in buckets.items()):
            self.refused += 1
            return None
        headers: dict[str, str] = {}
        for name, bucket in buckets.items():
            bucket.level -= wants[name]
            headers |= bucket.headers(name)
        self.served += 1
        return headers


@settings(max_examples=40)
@given(
    requests=st.sampled_from([60, 500, 3000]),
    tokens=st.sampled_from([40_000, 1_000_000]),
    size=st.integers(10, 4000),
    latency=st.floats(0.05, 2.0),
    at_once=st.integers(1, 40),
)
def test_nine_tenths_of_the_limit_go_through_and_hardly_anything_is_refused(
    requests: int, tokens: int, size: int, latency: float, at_once: int
) -> None:
    """Simulated minutes, all places taken all the time. The provider's bucket is full at first,
    which is one minute's worth."""
    provider, pace = _Provider(Limits(requests, tokens)), Pace()
    seconds = 200.0
    answers: list[tuple[float, int, dict[str, str] | None]] = []
    places = [(0.0, n) for n in range(at_once)]
    now, serial = 0.0, 0
    while now < seconds:
        now, place = heapq.heappop(places)
        while answers and answers[0][0] <= now:
            _, _, headers = heapq.heappop(answers)
            pace.ended(now, size, headers)
            if headers is None:
                pace.refused(now, 1.0, size)
        at = pace.ready_at(now, size)
        if at > now:
            heapq.heappush(places, (max(at, now + 0.001), place))
            continue
        pace.sent(now, size)
        serial += 1
        heapq.heappush(answers, (now + latency, serial, provider.ask(now, size)))
        heapq.heappush(places, (now + latency, place))
    possible = min(min(requests, tokens / size) * seconds / 60, at_once / latency * seconds)
    assert provider.served >= 0.9 * possible - at_once
    assert provider.refused <= 0.01 * provider.served + 2 * at_once


def test_what_was_refused_in_the_first_burst_is_not_waited_for() -> None:
    """Before the limits are known all goes out at once; one is let through and the others are
    refused, and these took nothing of what is left."""
    pace = Pace()
    told = {
        "x-ratelimit-limit-tokens": "1000000",
        "x-ratelimit-remaining-tokens": "6000",
        "x-ratelimit-reset-tokens": "600ms",
    }
    for _ in range(24):
        pace.sent(0.0, 10_000)
    pace.ended(0.2, 10_000, told)
    for _ in range(23):
        pace.ended(0.2, 10_000, told)
        pace.refused(0.2, 0.3, 10_000)
    assert pace.ready_at(0.2, 10_000) <= 0.2 + 0.3 + 10_000 / (1_000_000 / 60)
