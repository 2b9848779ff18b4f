"""The moment that a ``since`` names."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from thoth_core.errors import InvalidInput
from thoth_core.since import moment

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        ("7d", NOW - 7 * 86_400),
        ("12h", NOW - 12 * 3600),
        ("1.5h", NOW - 5400),
        ("30M", NOW - 1800),
        (" 2w ", NOW - 14 * 86_400),
        ("90 s", NOW - 90),
        ("2026-03-01T18:30:00Z", datetime(2026, 3, 1, 18, 30, tzinfo=UTC).timestamp()),
        ("2026-03-01T18:30+02:00", datetime(2026, 3, 1, 16, 30, tzinfo=UTC).timestamp()),
        ("2026-03-01", datetime(2026, 3, 1).timestamp()),
        ("2026-03-01 18:30", datetime(2026, 3, 1, 18, 30).timestamp()),
        (date(2026, 3, 1), datetime(2026, 3, 1).timestamp()),
        (datetime(2026, 3, 1, tzinfo=timezone(timedelta(hours=1))), 1772319600.0),
        (timedelta(days=1), NOW - 86_400),
        (1_700_000_000, 1_700_000_000.0),
    ],
)
def test_a_moment(since: object, expected: float) -> None:
    assert moment(since, NOW) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "bad",
    ["", "yesterday", "7", "7x", "-7d", "2026-13-01", "٧d", "9999999w", True, None, [], 1e309],
)
def test_what_is_no_moment_is_refused_with_the_rule(bad: object) -> None:
    with pytest.raises(InvalidInput) as caught:
        moment(bad, NOW)  # type: ignore[arg-type]
    assert "7d" in caught.value.cause
