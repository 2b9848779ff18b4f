from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.places import chunk_with, chunks_of
from thoth_core.documents.base import format_of
from thoth_core.documents.html import read
from thoth_core.errors import InvalidInput

PAGE = """<!doctype html>
<html><head><title>A &amp; B</title><style>p { color: red }</style></head><body>
<nav><a href="/">home</a></nav>
<div role="navigation"><ul><li>previous</ul></div>
<main>
<h1>The guide<a class="headerlink" href="#x">¶</a></h1>
<p>One   sentence
over lines<br>and <b>bold</b>face, caf&eacute; &#8364;5&nbsp;each.</p>
<ul><li>first<li><p>second</p></ul>
<h2>Values</h2>
<table><thead><tr><th>Name<th>Value</thead>
<tr><td>one<td><p>1</p><p>more</p></tr><tr><td><td>empty before</table>
<h2>Code</h2>
<pre>
def f():
    return  1
</pre>
<script>if (a < b) { document.write("<p>no</p>") }</script>
<article><p>Quoted.</p><footer>its author</footer></article>
<h3>Deep</h3><p>The known sentence.<img alt="a picture" src="x">
</main><footer>(c) nobody</footer></body></html>"""


def test_a_page_is_what_a_reader_sees() -> None:
    content = read(PAGE.encode())
    assert content.title == "A & B"
    assert content.text == (
        "The guide\n\nOne sentence over lines\nand boldface, café €5 each.\n\n"
        "- first\n- second\n\nValues\n\nName | Value\none | 1 more\n | empty before\n\n"
        "Code\n\ndef f():\n    return  1\n\nQuoted.\n\nits author\n\n"
        "Deep\n\nThe known sentence. a picture"
    )
    found = [(each.level, each.title) for each in content.layout.headings]
    assert found == [(1, "The guide"), (2, "Values"), (2, "Code"), (3, "Deep")]
    rows = [content.text[start:end].strip() for start, end in content.layout.rows]
    assert rows[:3] == ["Name | Value", "one | 1 more", "| empty before"]
    assert rows[3].startswith("Code\n\ndef f()"), "code has its heading with it"


def test_a_known_sentence_has_its_headings() -> None:
    found = chunk_with(chunks_of(read(PAGE.encode()), size=12, overlap=0), "The known sentence.")
    assert found.heading_path == ("The guide", "Code", "Deep")
    assert (found.line_start, found.page) == (None, None)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", ""),
        (b"plain & simple", "plain & simple"),
        (b"<nav>only <a>links</a></nav>", "only links"),
        (b"<p>unclosed <b>tags<p>next</i></p>", "unclosed tags\n\nnext"),
        (b"<meta charset=iso-8859-2><p>\xb1\xe6", "ąć"),
        (b"<meta charset='latin1'><p>\x93quoted\x94 \x80", "“quoted” €"),
        ("<meta charset=iso-8859-1><p>é€".encode(), "é€"),
        ("<p>wide ü".encode("utf-16"), "wide ü"),
        (b'<?xml version="1.0" encoding="koi8-r"?><html><body>\xc1\xc2</body></html>', "аб"),
        (
            b'<?xml version="1.0"?><html><head><script src="a"/><title/></head><body>x<div/>y'
            b"</body></html>",
            "x\ny",
        ),
        (b"<table><tr><td><h1>Side</h1><p>a</td><td>b</table>", "Side\n\na\n\nb"),
        (b"<svg><style>x</style><text>drawn</text></svg><template>no</template>", "drawn"),
        (b"<p>a<!-- <p>no --><p>&lt;|endoftext|&gt;", "a\n\n<|endoftext|>"),
        (b"<noscript>Needs a script.</noscript>", "Needs a script."),
        (b"<dl><dt>term<dd>what it is</dl>", "term\nwhat it is"),
    ],
)
def test_pages_of_every_kind(data: bytes, text: str) -> None:
    assert read(data).text == text


def test_a_page_that_is_nested_without_end_loses_nothing() -> None:
    data = "<div>" * 5_000 + "inside" + "</div>" * 5_000 + "<p>after"
    assert read(data.encode()).text == "inside\n\nafter"


TAGS = ["table", "tr", "td", "th", "p", "pre", "h1", "h2", "li", "ul", "br", "div", "b", "footer"]


@given(st.lists(st.sampled_from([*TAGS, "a"])))
def test_no_word_is_lost_whatever_the_tags_and_places_are_in_order(tags: list[str]) -> None:
    page = "".join(f"<{tag}>w{n}" for n, tag in enumerate(tags))
    content = read(f"<body>{page}<article>".encode())
    for number, tag in enumerate(tags):
        if "footer" not in tags[: number + 1] and tag != "br":
            assert f"w{number}" in content.text
    starts = [each.start for each in content.layout.headings]
    assert starts == sorted(starts)
    end = 0
    for start, stop in content.layout.rows:
        assert end <= start <= stop <= len(content.text)
        end = stop
    chunks_of(content, size=10, overlap=0)


def test_without_its_parser_a_page_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "selectolax.lexbor", None)
    with pytest.raises(InvalidInput) as caught:
        read(b"<p>a")
    assert caught.value.details["reason"] == "selectolax, which reads HTML, is not installed"
    assert caught.value.fix == 'pip install "thoth-core[documents]"'


def test_a_page_is_known_by_how_it_begins() -> None:
    assert format_of(Path("page"), b"<!DOCTYPE html><p>").name == "html"
