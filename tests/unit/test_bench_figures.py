"""What benchmarks make of their measurements."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import footprint
from benchmarks.accuracy import least_cosine, ranking
from benchmarks.figures import apart, overlap, percentile, rounds, spread
from benchmarks.latency import parts


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


def test_the_best_round_is_that_of_the_least_median_with_its_own_longest() -> None:
    found = rounds([[0.005, 0.006, 0.007], [], [0.001, 0.002, 0.050], [0.004]])
    assert found["best"] == spread([0.001, 0.002, 0.050])
    assert found["all"] == spread([0.005, 0.006, 0.007, 0.001, 0.002, 0.050, 0.004])
    assert rounds([[]]) == {"best": None, "all": None}


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


def test_a_ranking_is_by_cosine_and_the_best_come_first() -> None:
    vectors = np.array([[1, 0], [0, 1], [0.6, 0.8], [0.8, 0.6]], np.float32)
    queries = np.array([[1, 0], [0, 1]], np.float32)
    assert ranking(queries, vectors, 3) == [[0, 3, 2], [1, 2, 3]]


def test_the_least_cosine_tells_a_millionth() -> None:
    # In float32 a sum of this many is off by about as much.
    exact = np.full((2, 384), 1 / np.sqrt(384), np.float32)
    turned = exact.astype(np.float64)
    turned[1, 0] += 0.0014
    turned /= np.linalg.norm(turned, axis=1, keepdims=True)
    found = least_cosine(turned.astype(np.float32), exact)
    assert found == pytest.approx(1 - 0.5 * 0.0014**2, abs=1e-7)


def test_memory_is_read_in_millions_of_bytes() -> None:
    rollup = (
        "55d0-7ffd ---p 00000000 00:00 0    [rollup]\n"
        "Rss:              300000 kB\nPss:              200000 kB\nPss_Dirty:          9000 kB\n"
        "Pss_Anon:         150000 kB\nPss_File:          50000 kB\n"
    )
    assert footprint.pss(rollup) == {"pss_mb": 204.8, "own_mb": 153.6}
    found = {name: {"pss_mb": mb, "own_mb": 0.0} for name, mb in (("store", 40), ("other", 9))}
    assert footprint.store(found) == 40
    assert footprint.store({**found, "index process": {"pss_mb": 100.0}}) == 140


def test_the_parts_of_a_query_add_up_to_it() -> None:
    took = {"ping": 1.0, "engine": 2.0, "tokenizer": 0.5, "embed": 4.0, "search": 3.0, "query": 7.0}
    told = dict(parts(took))
    assert sum(told.values()) == pytest.approx(7.0)
    assert told["model (engine, less tokenizer)"] == 1.5
    assert told["what that leaves"] == 1.0
