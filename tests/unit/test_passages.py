"""How a passage is shown: which words are marked, which part is shown, and how wide it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli import harmless, passages
from cli.places import place, relative, short_id


def marked(query: str, text: str) -> list[str]:
    return [text[a:b] for a, b, _ in passages.marks(text, passages.words_of(query))]


@pytest.mark.parametrize(
    ("query", "text", "expected"),
    [
        ("where are the keys?", "The Keys are where the lamp is", ["Keys"]),
        ("cafe", "Le CAFÉ, un café", ["CAFÉ", "café"]),
        ("café", "cafe cafe\u0301", ["cafe", "cafe\u0301"]),
        ("straße", "STRASSE", ["STRASSE"]),
        ("config", "configuration reconfigure", ["configuration"]),
        ("ab", "ab abc", ["ab"]),
        ("who is who", "Who knows", ["Who"]),
        ("東京", "私は東京に住む", ["東京"]),
        ("x.*", "x.* and y", ["x"]),
        ("", "anything", []),
    ],
)
def test_words_are_marked_whatever_their_case_and_accents(
    query: str, text: str, expected: list[str]
) -> None:
    assert marked(query, text) == expected


def test_the_part_with_most_of_the_words_is_shown() -> None:
    text = "keys " * 5 + "filler " * 100 + "the lamp and the keys " + "filler " * 100
    shown = passages.excerpt(text, passages.words_of("lamp keys"), 60)
    assert shown.startswith("…")
    assert shown.endswith("…")
    assert "the lamp and the keys" in shown
    assert len(shown) <= 62


def test_without_any_of_the_words_the_beginning_is_shown() -> None:
    assert passages.excerpt("one two three four", {"nine"}, 9) == "one two…"
    assert passages.excerpt("one two", {"nine"}, 9) == "one two"


texts = st.text("ab é東\u0301 .", max_size=200)


@given(texts, st.text("ab é東", max_size=10), st.integers(1, 80))
def test_an_excerpt_is_a_part_of_the_text_and_no_longer_than_asked(
    text: str, query: str, size: int
) -> None:
    line = harmless.one_line(text)
    begin, end = passages.best(line, passages.words_of(query), size)
    assert 0 <= begin <= end <= len(line)
    assert end - begin <= size
    if line:
        assert begin < end


@given(texts, st.integers(2, 40))
def test_wrapped_lines_fit_and_lose_nothing(text: str, width: int) -> None:
    line = harmless.one_line(text)
    lines = list(passages.wrapped(line, width))
    assert "".join(lines).replace(" ", "") == line.replace(" ", "")
    assert all(passages.cells_of(each) <= width for each in lines)


def test_marks_are_bold_and_the_rest_is_as_it_was() -> None:
    assert passages.marked("a key b", {"key"}) == "a \x1b[1mkey\x1b[0m b"


@given(st.text())
def test_nothing_that_a_terminal_obeys_is_left(text: str) -> None:
    for made in (harmless.harmless(text), harmless.one_line(text), harmless.name(text)):
        assert not {c for c in made if ord(c) < 32 and c not in "\n\t"}
        assert not {c for c in made if 0x7F <= ord(c) < 0xA0 or 0x202A <= ord(c) <= 0x202E}
        made.encode()
    assert "\n" not in harmless.one_line(text) + harmless.name(text)


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=3))
def test_json_is_the_same_and_harmless(value: dict[str, str]) -> None:
    import json

    text = harmless.escaped_json(json.dumps(value, ensure_ascii=False))
    assert json.loads(text) == value
    assert not {c for c in text if ord(c) < 32 or 0x7F <= ord(c) < 0xA0}


@pytest.mark.parametrize(
    ("source", "metadata", "expected"),
    [
        ("/h/docs/a.md", {"line_start": 3, "line_end": 9}, "docs/a.md:3-9"),
        ("/h/docs/a.md", {"line_start": 3, "line_end": 3}, "docs/a.md:3"),
        ("/other/a.md", {}, "/other/a.md"),
        ("/h", {}, "/h"),
        ("/hh/a", {}, "/hh/a"),
        ("/h/a.pdf", {"page": 3, "page_end": 4, "line_start": 7}, "a.pdf, pages 3-4"),
        ("/h/a.pdf", {"page": 3, "heading": "One\n > Two"}, "a.pdf, page 3 — One > Two"),
        ("/h/a\nb\x1b[31m", {}, "a\\nb\\x1b[31m"),
        ("", {"line_start": 3}, ""),
        ("", {"page": 2, "heading": "H"}, "page 2 — H"),
        ("x", {"page": True, "line_start": "7", "heading": 7}, "x"),
    ],
)
def test_a_place(source: str, metadata: dict[str, object], expected: str) -> None:
    assert place(source, metadata, "/h") == expected


def test_the_root_and_no_folder_are_folders_too() -> None:
    assert relative("/a/b", "/") == "a/b"
    assert relative("/a/b", "") == "/a/b"


def test_a_short_id_is_what_a_shell_gives_to_show() -> None:
    assert short_id("3f2a9c81d0b7" + "0" * 20) == "3f2a9c81d0b7"
    assert short_id("note:1") == "note:1"
    assert short_id("a b'c") == "'a b'\"'\"'c'"
