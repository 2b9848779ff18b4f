"""What the benchmark says of its figures: ratios, shares, and which aim is reached."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.peer import share
from benchmarks.roofline import best, model_flop
from benchmarks.speed_table import (
    MUST,
    NOT_MEASURED,
    Must,
    best_cost,
    figure,
    isolation_cost,
    judge,
    roofline_share,
    rows,
    speedup,
)


def test_a_ratio_is_of_the_rounds_and_not_of_the_medians() -> None:
    # In the second round the machine was three times as slow for both.
    assert speedup([10.0, 30.0, 11.0], [2.0, 6.0, 2.0]) == 5.0


def test_rounds_that_do_not_match_are_no_ratio() -> None:
    with pytest.raises(ValueError):
        speedup([1.0, 2.0], [1.0])


def test_isolation_costs_what_the_service_takes_longer() -> None:
    assert isolation_cost([1.05, 2.10, 1.05], [1.0, 2.0, 1.0]) == pytest.approx(5.0)
    assert isolation_cost([0.9], [1.0]) == pytest.approx(-10.0)
    assert best_cost({"Thoth": [3.0, 1.02], "engine alone": [1.0, 2.0]}) == pytest.approx(2.0)


def test_the_operations_of_a_model_are_counted_as_by_hand() -> None:
    # One layer of hidden 2 and intermediate 3, one row of 5 tokens: four projections 2 x 2, two
    # products 2 x 3, and scores and sums over the row of 5, each product two operations.
    by_hand = 5 * (4 * 2 * 2 * 2 + 2 * 2 * 3 * 2) + 2 * 5 * 5 * 2 * 2
    assert model_flop([5], layers=1, hidden=2, intermediate=3) == by_hand
    assert model_flop([5, 5, 7]) == 2 * model_flop([5]) + model_flop([7])
    # all-MiniLM-L6-v2 at the length of the mixed texts.
    assert model_flop([168]) / 168 == pytest.approx(22.8e6, rel=0.01)


def test_the_share_of_a_roofline_is_of_the_time_it_took() -> None:
    work = model_flop([100, 200])
    assert roofline_share([100, 200], 2.0, work) == pytest.approx(0.5)


def test_the_peak_is_that_of_all_cores_at_one_size() -> None:
    one = {"float32": [[1.0, 3.0], [5.0, 2.0]]}
    other = {"float32": [[4.0, 2.0], [1.0, 1.0]]}
    assert best("float32", [one, other]) == {
        "flops": 7.0,
        "size": [1024, 384, 384],
        "by_size": [7.0, 6.0],
    }


def test_every_text_is_in_one_share_and_shares_are_alike() -> None:
    given = ["x" * size for size in (9, 1, 5, 3, 8, 2)]
    shares = [share(given, number, 2) for number in range(2)]
    assert sorted(shares[0] + shares[1]) == sorted(given)
    assert [[len(text) for text in each] for each in shares] == [[1, 3, 8], [2, 5, 9]]
    assert share(given, 0, 1) == given


def must(more: bool) -> Must:
    floor, goal = (4.0, 5.0) if more else (6.0, 3.0)
    return Must("what", "x", floor, goal, more, lambda found: found["value"])


@pytest.mark.parametrize(
    ("more", "value", "verdict"),
    [
        (True, 5.0, "goal"),
        (True, 4.0, "floor"),
        (True, 3.99, "below the floor"),
        (False, 3.0, "goal"),
        (False, 6.0, "floor"),
        (False, 6.01, "below the floor"),
        (False, -1.0, "goal"),
        (True, None, NOT_MEASURED),
    ],
)
def test_a_figure_is_judged_by_its_aims(more: bool, value: float | None, verdict: str) -> None:
    assert judge(value, must(more)) == verdict


def test_no_goal_is_easier_than_its_floor() -> None:
    assert all(each.goal == each.floor or (each.goal > each.floor) is each.more for each in MUST)


def test_a_figure_has_the_digits_that_say_something() -> None:
    assert [figure(x) for x in (0.2071, 4.333, 14610.4, 0.99997, 0.999999, 1.0)] == [
        "0.207",
        "4.33",
        "14610",
        "0.99997",
        "0.999999",
        "1",
    ]


def test_what_was_not_measured_is_said() -> None:
    assert {row.verdict for row in rows({})} == {NOT_MEASURED}


def found() -> dict[str, Any]:
    """As benchmarks.speed writes it, each figure just at its goal."""
    seconds = {
        "sentence-transformers": [4.5],
        "sentence-transformers, safe": [7.5],
        "ONNX Runtime": [1.7],
        "engine alone": [1.0],
        "Thoth": [1.0],
    }
    one = {"p50_ms": 4.0, "p99_ms": 8.0, "longest_ms": 9.0, "count": 9}
    busy = {"p50_ms": 4.0, "p99_ms": 20.0, "longest_ms": 9.0, "count": 9}
    return {
        "bulk": {"mixed": {"seconds": seconds}},
        "ingest": {"seconds": {"LangChain + Chroma, safe": [7.0], "Thoth": [1.0]}},
        "stream": {
            "seconds": {"Thoth": [1.03], "engine alone": [1.0]},
            "share": {"bfloat16": 0.7},
        },
        "latency": {
            "single": {"best": {"p50_ms": 2.5}},
            "engine": {"best": {"p50_ms": 2.1}},
            "query": {"best": one},
            "busy": {"query": {"best": busy}},
            "recovery": {
                "kills": [0.5, 0.4, 0.6],
                "starts": {"returned_s": [1.5, 1.6]},
                "first_start": {"returned_s": 15.0},
                "commands": {"query": [0.12, 0.13]},
            },
            "memory": {
                "supervisor": {"pss_mb": 40.0},
                "embed": {"pss_mb": 290.0},
                "embed-bulk-1": {"pss_mb": 300.0},
                "store": {"pss_mb": 100.0},
                "index process": {"pss_mb": 250.0},
            },
        },
        "grown": {"last_to_first": 0.8},
        "accuracy": {
            "precisions": {
                "bf16": {"least_cosine": 0.9999, "overlap": 0.99},
                "fp32": {"least_cosine": 0.999999, "overlap": 1.0},
            }
        },
    }


def test_every_figure_is_found_where_the_benchmark_writes_it() -> None:
    for row in rows(found()):
        assert row.value == pytest.approx(row.must.goal), row.must.what


def test_a_part_that_had_no_rounds_is_not_measured() -> None:
    without = found()
    without["latency"]["busy"]["query"]["best"] = None
    [row] = [row for row in rows(without) if "saturates" in row.must.what]
    assert row.verdict == NOT_MEASURED
