"""What benchmarks make of their measurements."""

from __future__ import annotations

import pytest

from benchmarks.figures import apart, overlap, percentile, spread


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(each) for each in range(100, 0, -1)]
    assert percentile(values, 0.5) == 50.0
    assert percentile(values, 0.99) == 99.0
    assert percentile(values, 1.0) == 100.0
    assert percentile([3.0], 0.99) == 3.0
    assert percentile([1.0, 2.0, 3.0], 0.0) == 1.0


def test_the_spread_is_in_milliseconds_and_of_nothing_there_is_none() -> None:
    assert spread([0.003, 0.001, 0.002]) == {
        "count": 3,
        "p50_ms": pytest.approx(2.0),
        "p99_ms": pytest.approx(3.0),
        "longest_ms": pytest.approx(3.0),
    }
    assert spread([]) is None


def test_a_query_that_a_flush_touches_at_either_end_is_set_apart() -> None:
    windows = [(10.0, 11.0)]
    before, ending_in, within, around, after = (
        (9.0, 0.9),
        (9.5, 0.6),
        (10.2, 0.1),
        (9.0, 5.0),
        (11.1, 0.2),
    )
    taken = [before, ending_in, within, around, after]
    assert apart(taken, windows) == ([before, after], [ending_in, within, around])
    assert apart(taken, []) == (taken, [])


def test_agreement_of_rankings_is_the_share_found_in_any_order() -> None:
    assert overlap([["a", "b"], ["c", "d"]], [["b", "a"], ["c", "x"]]) == 0.75
    with pytest.raises(ValueError):
        overlap([["a"]], [["a"], ["b"]])
