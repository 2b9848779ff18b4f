"""How texts become units."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from thoth_core.supervisor.units import WINDOW, estimate_tokens, form_units

lengths = st.lists(st.integers(1, 5000), max_size=2500)


@given(lengths, st.integers(1, 64), st.integers(1, 8000))
def test_every_text_is_in_one_unit_and_no_unit_is_over_the_bounds(
    lengths: list[int], max_items: int, max_tokens: int
) -> None:
    units = form_units(lengths, max_items, max_tokens)
    assert sorted(i for unit in units for i in unit) == list(range(len(lengths)))
    for unit in units:
        assert len(unit) <= max_items
        assert len(unit) == 1 or sum(lengths[i] for i in unit) <= max_tokens


@given(lengths)
def test_a_text_is_overtaken_only_within_its_window(lengths: list[int]) -> None:
    seen = [i for unit in form_units(lengths, 32, 4096) for i in unit]
    assert [i // WINDOW for i in seen] == sorted(i // WINDOW for i in seen)


def test_a_unit_may_have_more_texts_than_a_window() -> None:
    assert [len(unit) for unit in form_units([10] * 2048, 2048, 100_000)] == [2048]


def test_the_texts_of_a_unit_have_near_equal_lengths() -> None:
    units = form_units([10, 500] * 100, 50, 100_000)
    assert all(len({(10, 500)[i % 2] for i in unit}) == 1 for unit in units)


@given(st.text(max_size=300))
def test_an_estimate_is_positive_and_bounded(text: str) -> None:
    assert 2 <= estimate_tokens(text) <= 2 + 2 * len(text)
