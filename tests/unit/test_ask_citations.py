"""Citations in answers: what is one, what is kept, and that pieces change nothing."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from thoth_core.asking.citations import CitationFilter, cited_in, resolved
from thoth_core.asking.prompt import passage_of
from thoth_core.client.results import Hit


@pytest.mark.parametrize(
    ("text", "kept", "cited", "dropped"),
    [
        ("It is so [1].", "It is so [1].", [1], []),
        ("It is so[2][1].", "It is so[2][1].", [2, 1], []),
        ("Both [1, 3] and [ 2;4 ].", "Both [1, 3] and [ 2;4 ].", [1, 3, 2, 4], []),
        ("All [1-3], all [2–4].", "All [1-3], all [2–4].", [1, 2, 3, 4], []),
        ("So [5].", "So.", [], [5]),
        ("So [0] and [12].", "So and.", [], [0, 12]),
        ("So [1, 9].", "So [1].", [1], [9]),
        ("So [3-6].", "So [3, 4].", [3, 4], [5, 6]),
        ("So [4-3].", "So [4-3].", [4, 3], []),
        ("So [1] [9] so [1].", "So [1] so [1].", [1], [9]),
        ("In [2024] it was [a] list[x] [] [1", "In [2024] it was [a] list[x] [] [1", [], []),
        ("Use `a[9]` here [1].", "Use `a[9]` here [1].", [1], []),
        ("Use `a`[1] and `b` [9].", "Use `a`[1] and `b`.", [1], [9]),
        ("[1]```[9]```\n[9]", "[1]```[9]```\n", [1], [9]),
        ("``a`[9]`` [9]", "``a`[9]``", [], [9]),
        ("```\na[7] = `b[8]\n```\nSo [9].", "```\na[7] = `b[8]\n```\nSo.", [], [9]),
        ("a ` alone\nis no code [9].", "a ` alone\nis no code.", [], [9]),
        ("[9] first", " first", [], [9]),
        ("a  \t[9]\nb", "a\nb", [], [9]),
        ("[[1]]", "[[1]]", [1], []),
        ("", "", [], []),
    ],
)
def test_what_is_a_citation(text: str, kept: str, cited: list[int], dropped: list[int]) -> None:
    assert cited_in(text, 4) == (kept, cited, dropped)


_PIECES = st.lists(
    st.sampled_from(["[", "]", "1", "9", ",", " ", "-", "`", "```", "\n", "a", "[1]", " [7]", "é"]),
    max_size=40,
)


@given(_PIECES)
@example([" ", "[", "9", "]"])
def test_pieces_give_what_the_whole_gives(pieces: list[str]) -> None:
    found = CitationFilter(3)
    kept = "".join([*map(found.feed, pieces), found.end()])
    assert (kept, found.cited, found.dropped) == cited_in("".join(pieces), 3)


@given(_PIECES)
def test_nothing_but_dropped_citations_is_lost(pieces: list[str]) -> None:
    text = "".join(pieces)
    kept, cited, dropped = cited_in(text, 10)
    if not dropped:
        assert kept == text
    # Where there is no code, no number is left that no passage has.
    if "`" not in text:
        again, cited_again, dropped_again = cited_in(kept, 10)
        assert set(cited_again) >= set(cited)
        assert re.sub(r"[^a-zé\n]", "", kept) == re.sub(r"[^a-zé\n]", "", text)
        del again, dropped_again


@given(st.text(max_size=200))
def test_what_is_held_back_is_bounded(text: str) -> None:
    found = CitationFilter(3)
    shown = found.feed(text + " [1" + " " * 100)
    assert len(text) + 103 - len(shown) <= 60


def test_numbers_are_resolved_in_their_order() -> None:
    passages = [passage_of(n, Hit(f"id{n}", 0.5, "a.md", f"text {n}", {})) for n in (1, 2, 3)]
    assert [each.id for each in resolved([3, 1], passages)] == ["id3", "id1"]
