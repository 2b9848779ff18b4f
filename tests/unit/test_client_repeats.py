from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from thoth_core.client.repeats import Repeats


def test_the_second_waits_for_the_first_and_the_third_finds_it_stored() -> None:
    repeats: Repeats[int] = Repeats()
    assert repeats.begins("a", 1)
    assert not repeats.begins("a", 2) and not repeats.begins("a", 3)
    assert repeats.begins("b", 4)
    assert repeats.waiting == 2
    assert repeats.over(["a", "c"]) == [2, 3]
    assert repeats.waiting == 0
    assert repeats.over(["a"]) == []
    assert repeats.begins("a", 5)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans())))
def test_nothing_is_lost_and_no_text_is_under_way_twice(steps: list[tuple[str, bool]]) -> None:
    repeats: Repeats[int] = Repeats()
    given, out = 0, 0
    under_way: Counter[str] = Counter()
    for text, ends in steps:
        if ends:
            out += len(repeats.over([text] * max(1, under_way[text])))
            under_way[text] = 0
        else:
            given += 1
            if repeats.begins(text, given):
                out += 1
                under_way[text] += 1
        assert max(under_way.values(), default=0) <= 1
        assert out + repeats.waiting == given
    out += len(repeats.over("abc"))
    assert (out, repeats.waiting) == (given, 0)
