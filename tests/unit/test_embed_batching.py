from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from embed_worker.batching import UNIT_SECONDS, Bounds, form_batches, unit_tokens

lengths = st.lists(st.integers(0, 400), max_size=80)
bounds = st.builds(
    Bounds,
    st.integers(1, 20),
    st.integers(1, 1500),
    st.integers(0, 200),
    st.sampled_from([1, 8, 16, 32]),
)


@given(lengths, bounds)
def test_every_row_is_in_exactly_one_batch(rows: list[int], bound: Bounds) -> None:
    batches = form_batches(rows, bound)
    assert sorted(p for batch in batches for p in batch) == list(range(len(rows)))
    assert all(batches)


@given(lengths, bounds)
def test_batches_keep_within_their_bounds(rows: list[int], bound: Bounds) -> None:
    for batch in form_batches(rows, bound):
        through = [bound.aligned(rows[p]) for p in batch]
        assert len(batch) <= bound.items
        assert len(batch) == 1 or len(batch) * max(through) <= bound.tokens
        assert sum(max(through) - each for each in through) <= bound.padding


@given(st.integers(0, 1000), st.sampled_from([1, 8, 16, 32]))
def test_a_row_is_padded_to_the_next_multiple(length: int, align: int) -> None:
    through = Bounds(1, 1, 0, align).aligned(length)
    assert through % align == 0
    assert length <= through < length + align


@given(lengths, st.integers(1, 20))
def test_without_room_for_padding_all_rows_of_a_batch_are_equally_long(
    rows: list[int], items: int
) -> None:
    for batch in form_batches(rows, Bounds(items, 100_000, 0)):
        assert len({rows[p] for p in batch}) == 1


@given(lengths)
def test_the_longest_rows_come_first(rows: list[int]) -> None:
    order = [rows[p] for batch in form_batches(rows, Bounds(4, 1000, 50)) for p in batch]
    assert order == sorted(rows, reverse=True)


def test_a_row_over_the_bound_of_tokens_blocks_nobody() -> None:
    assert form_batches([5, 900, 5], Bounds(8, 100, 10)) == [[1], [0, 2]]


def test_equal_rows_share_a_call_up_to_the_bound_of_items() -> None:
    assert form_batches([7] * 5, Bounds(2, 100, 0)) == [[0, 1], [2, 3], [4]]


@given(st.floats(0, 1e9))
def test_a_unit_runs_for_its_time_unless_that_is_absurd(speed: float) -> None:
    tokens = unit_tokens(speed)
    assert 256 <= tokens <= 65_536
    if 256 < tokens < 65_536:
        assert abs(tokens / speed - UNIT_SECONDS) < 0.01
