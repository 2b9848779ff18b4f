"""Delivery holds under random faults: whole histories against the real dispatch, slots and crew.

A minute's worth; ``make simulate`` tells a thousand.
"""

from __future__ import annotations

from collections import Counter

import pytest

from tests.simulation.history import History

SEEDS = 60
#: Seeds that are told one after the other in one test.
SHARE = 10


def tell(seed: int, *, faults: bool = True, poison: float | None = None) -> History:
    history = History(seed, faults=faults, poison=poison)
    try:
        history.tell()
    except Exception as problem:
        story = "\n".join(history.story())
        pytest.fail(
            f"{story}\nseed {seed}: {problem}\n"
            f"again: python -m tests.simulation.run --first {seed} --seeds 1"
        )
    return history


@pytest.mark.parametrize("first", range(0, SEEDS, SHARE))
def test_nothing_is_lost_doubled_starved_or_left_without_an_answer(first: int) -> None:
    tally: Counter[str] = Counter()
    for seed in range(first, first + SHARE):
        tally += tell(seed).tally
    # These histories are what they are for.
    for what in ("answers", "retries", "resent", "deaths: embed", "deaths: store"):
        assert tally[what] > 5, what
    assert len([name for name in tally if name.startswith("fault: ")]) > 20


def test_a_poison_text_is_given_up_and_no_other() -> None:
    tally: Counter[str] = Counter()
    for seed in range(1000, 1000 + SHARE):
        tally += tell(seed, poison=0.2).tally
    assert tally["poisoned"] > 10


def test_one_seed_is_one_history() -> None:
    first, second = tell(3), tell(3)
    assert (first.events, first.tally) == (second.events, second.tally)


def test_without_faults_nothing_is_sent_twice_and_nothing_fails() -> None:
    tally: Counter[str] = Counter()
    for seed in range(5):
        history = tell(seed, faults=False)
        tally += history.tally
        assert history.supervisor.dispatch.board.counters["frames_late"] == 0
    assert tally["answers"] > 100
    assert tally["retries"] == tally["resent"] == tally["stalls"] == 0
    assert not [name for name in tally if name.startswith(("fault: ", "error: "))]
