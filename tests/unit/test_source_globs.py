"""Patterns for sources: what they mean in a folder, what they match, and that none is slow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.own_time import own_seconds
from thoth_core.errors import InvalidInput
from thoth_core.source_globs import MAX_PATTERNS, compile_globs, escape, globs_of

HERE = "/home/me/notes"


def matches(pattern: str, source: str, folder: str = HERE) -> bool:
    return compile_globs(globs_of([pattern], folder)).match(source)


@pytest.mark.parametrize(
    ("pattern", "source"),
    [
        ("*.pdf", "/a/b.pdf"),
        ("*.pdf", "b.pdf"),
        ("b.pdf", "/a/b.pdf"),
        ("sub/*.md", f"{HERE}/sub/a.md"),
        ("sub/**/*.md", f"{HERE}/sub/x/y/a.md"),
        ("sub/**/*.md", f"{HERE}/sub/a.md"),
        ("sub/", f"{HERE}/sub/x/a.md"),
        ("sub/", "/elsewhere/sub/a.md".replace("/elsewhere", HERE)),
        ("sub", f"{HERE}/sub/x/a.md"),
        ("./sub", f"{HERE}/sub/x/a.md"),
        ("./*.md", f"{HERE}/a.md"),
        ("../other/*.md", "/home/me/other/a.md"),
        ("..", "/home/me/other/a.md"),
        (".", f"{HERE}/a.md"),
        ("a[1].md", "/q/a[1].md"),
        ("a[1].md", "/q/a1.md"),
        ("https://example.org/x", "https://example.org/x"),
        ("https://example.org/", "https://example.org/x/y"),
        ("wiki:*", "wiki:Start"),
        ("wiki/*", "wiki/Start"),
        ("/home/*/n*", HERE),
        ("/home/**", "/home/a\nb/c"),
        ("**", "anything"),
        ("**/b/**/c", "/b/c"),
        ("**/b/**/c", "/a/b/b/x/c"),
        ("a*b*c", "/axxbyyc"),
        ("?", "é"),
        ("[!a]", "b"),
        ("[a-c]x", "bx"),
        ("[]]", "]"),
        ("[", "["),
        ("/", "/a/b"),
    ],
)
def test_a_pattern_matches(pattern: str, source: str) -> None:
    assert matches(pattern, source)


@pytest.mark.parametrize(
    ("pattern", "source"),
    [
        ("*.pdf", "/a.pdf/b"),
        ("*.pdf", "/a/b.PDF"),
        ("sub/*.md", f"{HERE}/sub/x/a.md"),
        ("sub/*.md", "/elsewhere/sub/a.md"),
        ("sub/", f"{HERE}/subway/a.md"),
        ("sub", f"{HERE}/subway"),
        (".", "/home/me/other/a.md"),
        ("./*.md", "/elsewhere/a.md"),
        ("/home/*/n*", f"{HERE}/x"),
        ("a*b*c", "/axxbyycd"),
        ("[!a]", "a"),
        ("[z-a]", "z"),
        ("?", "ab"),
        ("/home/me/notes/**", HERE),
    ],
)
def test_a_pattern_does_not_match(pattern: str, source: str) -> None:
    assert not matches(pattern, source)


def test_wildcards_in_the_name_of_the_current_folder_are_none() -> None:
    folder = "/home/[me]/*"
    assert matches("*.md".replace("*", "a"), f"{folder}/a.md", folder)
    assert matches("./*.md", f"{folder}/a.md", folder)
    assert not matches("./*.md", "/home/m/x/a.md", folder)


def test_without_a_current_folder_patterns_are_of_whole_sources() -> None:
    assert matches("sub/*.md", "sub/a.md", "")
    assert not matches("sub/*.md", f"{HERE}/sub/a.md", "")


@given(st.text(min_size=1, max_size=30).filter(lambda t: t.isprintable()))
def test_an_escaped_text_matches_itself_and_only_itself(text: str) -> None:
    globs = compile_globs([escape(text)])
    assert globs.match(text)
    assert not globs.match(text + "x")
    assert globs.prefix == text


names = st.text("ab*?[]!-/.", min_size=1, max_size=12)


@given(st.lists(names, min_size=1, max_size=3), names)
def test_what_matches_begins_with_the_prefix(patterns: list[str], source: str) -> None:
    globs = compile_globs(globs_of(patterns, "/a/b"))
    for each in (source, f"/a/b/{source}"):
        if globs.match(each):
            assert each.startswith(globs.prefix)


def test_no_pattern_is_slow() -> None:
    hard = ["**/" + "*a" * 60 + "b", "/".join(["**", "*a*a*a*"] * 20) + "/b"]
    globs = compile_globs(hard)
    source = "/" + "/".join(["a" * 50] * 40)
    assert not globs.match(source)
    # Tried out, it would be years.
    assert own_seconds(lambda: globs.match(source), 5) < 1.0


@pytest.mark.parametrize("bad", ["", "x" * 5000, "\ud800", 7])
def test_what_is_no_pattern_is_refused(bad: object) -> None:
    with pytest.raises(InvalidInput):
        globs_of([bad], HERE)  # type: ignore[list-item]
    with pytest.raises(InvalidInput):
        globs_of(["a"] * (MAX_PATTERNS + 1), HERE)
