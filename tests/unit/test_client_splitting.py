"""Cutting calls that are too large for one message."""

from __future__ import annotations

import msgpack
from hypothesis import given
from hypothesis import strategies as st

from thoth_core.client import splitting

VALUES = st.one_of(
    st.text(max_size=30), st.integers(-(2**63), 2**63 - 1), st.floats(), st.booleans(), st.none()
)


@given(
    st.lists(st.integers(0, 50)),
    st.integers(1, 7),
    st.integers(1, 100),
)
def test_slices_cover_everything_in_order_and_keep_the_bounds(
    sizes: list[int], items: int, total: int
) -> None:
    cuts = splitting.runs(sizes, items=items, total=total)
    assert [i for cut in cuts for i in range(len(sizes))[cut]] == list(range(len(sizes)))
    for cut in cuts:
        held = sizes[cut]
        assert 1 <= len(held) <= items
        assert sum(held) <= total or len(held) == 1


@given(st.dictionaries(st.text(max_size=10), st.one_of(VALUES, st.lists(VALUES, max_size=5))))
def test_the_estimate_of_a_metadata_dict_is_never_too_small(metadata: dict[str, object]) -> None:
    assert splitting.value_size(metadata) >= len(msgpack.packb(metadata))


def test_queries_with_many_hits_go_one_at_a_time() -> None:
    assert splitting.queries_at_once(1) == 2048
    assert splitting.queries_at_once(4096) == 1
    assert splitting.queries_at_once(1_000_000) == 1
