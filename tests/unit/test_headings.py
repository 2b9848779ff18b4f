from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from thoth_core.headings import headings


def titles(text: str) -> list[tuple[int, str]]:
    return [(heading.level, heading.title) for heading in headings(text)]


def test_atx_headings_have_their_level_and_their_title() -> None:
    text = "# One\ntext\n## Two ##\n   ###   Three # not closed#\n####### seven\n#hash\n#\n"
    assert titles(text) == [(1, "One"), (2, "Two"), (3, "Three # not closed#"), (1, "")]


def test_a_setext_heading_starts_at_its_paragraph() -> None:
    text = "before\n\nTitle of\ntwo lines\n====\n\nSecond\n---\nend"
    found = headings(text)
    assert [(h.level, h.title) for h in found] == [(1, "Title of two lines"), (2, "Second")]
    assert text[found[0].start :].startswith("Title of")
    assert text[found[1].start :].startswith("Second\n---")


def test_a_rule_a_table_a_list_and_a_quote_are_no_headings() -> None:
    assert titles("a\n\n---\n\n| a |\n---\n\n- item\n---\n\n> quote\n===\n\n    code\n---\n") == []


def test_what_stands_in_a_fence_is_no_heading() -> None:
    text = "````py\n# no\n```\n# no\n````\n# yes\n~~~\n# no\n```\n# no\n~~~\n## too\n"
    assert titles(text) == [(1, "yes"), (2, "too")]


def test_an_open_fence_reaches_to_the_end() -> None:
    assert titles("# a\n```\n# b\n") == [(1, "a")]


def test_inline_code_of_three_backticks_opens_no_fence() -> None:
    assert titles("```x``` and\n# yes\n") == [(1, "yes")]


def test_front_matter_is_no_heading() -> None:
    assert titles("---\ntitle: x\n# note\n---\n# Real\n") == [(1, "Real")]


def test_windows_line_ends_are_understood() -> None:
    text = "# One\r\n\r\nTwo\r\n---\r\ntext\r\n"
    assert titles(text) == [(1, "One"), (2, "Two")]


def test_time_is_linear_in_hostile_texts() -> None:
    for text in ("# " + " #" * 500_000, "-\n" * 500_000, "a\n=\n" * 200_000, "`" * 1_000_000):
        begun = time.thread_time()
        headings(text)
        # Quadratic work would take hours.
        assert time.thread_time() - begun < 20


@given(st.text(alphabet="#-=`~ a\n\r|>1.", max_size=200))
def test_headings_are_in_order_and_begin_lines(text: str) -> None:
    found = headings(text)
    starts = [heading.start for heading in found]
    assert starts == sorted(set(starts))
    for heading in found:
        assert heading.start == 0 or text[heading.start - 1] == "\n"
        assert 1 <= heading.level <= 6
        assert "\n" not in heading.title
