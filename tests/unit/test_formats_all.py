"""What holds of every format, whatever the file holds."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.places import chunks_of
from tests.unit.test_format_docx import document
from tests.unit.test_format_ipynb import notebook
from tests.unit.test_format_pdf import pdf
from thoth_core.documents.base import Content, Format, formats
from thoth_core.errors import InvalidInput

FORMATS = sorted(set(formats().values()), key=lambda form: form.name)
NAMES = [form.name for form in FORMATS]
#: Some good bytes of each of the formats with a structure of their own.
GOOD = {
    "csv": b"id,name\n1,one two\n2,three\n",
    "docx": document(),
    "html": b"<h1>T</h1><table><tr><td>a<td>b</table><pre>c\n</pre><p>d",
    "ipynb": notebook(),
    "json": b'{"a": [{"b": 1}, {"c": ["x", "y"]}], "d": "e\\nf"}',
    "jsonl": b'{"a": 1}\n{"b": [1, 2]}\n',
    "markdown": b"---\ntitle: t\n---\n# A\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```\nx\n```\n",
    "pdf": pdf(),
    "rst": b"A\n=\n\n+---+\n| a |\n+===+\n| b |\n+---+\n",
}


def check(content: Content) -> None:
    """That the layout of ``content`` is one, and that nothing is lost on the way to its chunks."""
    content.text.encode()
    content.title.encode()
    assert "\r" not in content.text and "\0" not in content.text
    layout, end = content.layout, len(content.text)
    starts = [heading.start for heading in layout.headings]
    for places in (layout.breaks, layout.pages, [place for place, _ in layout.lines or ()]):
        assert all(a < b for a, b in itertools.pairwise(places))
        assert all(0 <= place <= end for place in places)
    assert starts == sorted(starts) and all(0 <= start <= end for start in starts)
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(layout.rows))
    assert all(0 <= start <= stop <= end for start, stop in layout.rows)
    chunks_of(content, size=16, overlap=3)


def read(form: Format, data: bytes) -> None:
    try:
        content = form.read(data)
    except InvalidInput as refused:
        assert refused.details["reason"]
    else:
        check(content)


@pytest.mark.parametrize("form", FORMATS, ids=NAMES)
def test_nothing_in_a_file_makes_it_fail_without_a_reason(form: Format) -> None:
    good = GOOD.get(form.name, b"def f():\n    pass\n")
    check(form.read(good))
    for data in (
        b"",
        b"\n",
        b"\0\0\0",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        good[: len(good) // 2],
        good[len(good) // 2 :],
        good + b"\0",
        good + good,
        b"\xff" * 300,
        "ä€漢😀 <|endoftext|>".encode("utf-16"),
        "ä€漢😀".encode("latin-1", "ignore"),
    ):
        read(form, data)


@given(st.sampled_from(FORMATS), st.binary(max_size=200))
def test_any_bytes_are_a_text_or_refused_with_a_reason(form: Format, data: bytes) -> None:
    read(form, data)


@given(
    st.sampled_from(sorted(GOOD)),
    st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=3), st.integers(0, 20)), max_size=4),
)
def test_a_file_that_was_damaged_here_and_there_is_too(
    name: str, damages: list[tuple[float, bytes, int]]
) -> None:
    data = bytearray(GOOD[name])
    for share, put, removed in damages:
        at = int(share * len(data))
        data[at : at + removed] = put
    form = next(each for each in FORMATS if each.name == name)
    read(form, bytes(data))


@pytest.mark.parametrize("name", sorted({"c", "csv", "html", "json", "jsonl", "markdown", "rst"}))
def test_one_line_of_two_megabytes_is_read_whole(name: str) -> None:
    form = next(each for each in FORMATS if each.name == name)
    line = "word, (other) | = - # ; " * (2_000_000 // 24)
    if name in ("json", "jsonl"):
        line = f'["{line}"]'
    content = form.read(line.encode())
    assert len(content.text) > 1_800_000
    assert content.text.count("other") == line.count("other")


def test_the_same_bytes_give_the_same_text() -> None:
    for form in FORMATS:
        good = GOOD.get(form.name, Path(__file__).read_bytes())
        assert form.read(good) == form.read(good)
