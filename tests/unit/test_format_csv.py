from __future__ import annotations

import csv
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.places import chunk_with, chunks_of
from thoth_core.documents.csv import read

WORDS = ("river", "stone", "window", "harbour", "lantern")


def written(records: list[list[str]], **dialect: str) -> bytes:
    """The file that Python's own writer makes of ``records``."""
    into = io.StringIO(newline="")
    csv.writer(into, **dialect).writerows(records)  # type: ignore[arg-type]
    return into.getvalue().encode()


def inventory(count: int) -> list[list[str]]:
    return [
        ["id", "name", "remark"],
        *(
            [str(n), f"item {n}", f"It was found by the {WORDS[n % 5]},\nnumber {n}."]
            for n in range(count)
        ),
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_record_says_its_columns_and_its_lines_whatever_the_delimiter(delimiter: str) -> None:
    data = written(inventory(60), delimiter=delimiter)
    content = read(data)
    chunks = chunks_of(content)
    found = chunk_with(chunks, "number 41.")
    assert "id: 41 | name: item 41 | remark: It was found by the stone,\nnumber 41." in found.text
    # Each record has two lines, and the header has one.
    first, last = found.line_start, found.line_end
    assert first is not None and last is not None
    lines = data.decode().splitlines()[first - 1 : last]
    assert lines[0].startswith(found.text[4:].split(" |")[0]) and "number 41." in "".join(lines)
    # Each chunk begins with a record and ends with one.
    assert all(each.text.startswith(("id: ", "id | name")) for each in chunks)
    assert all(each.text.endswith(".") for each in chunks)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"Ada,London\nGrace,New York\n", "Ada | London\nGrace | New York"),
        (b"name,name\na,1\n", "name | name\na | 1"),
        (b"1,2\n3,4\n", "1 | 2\n3 | 4"),
        (b"year,year\n", "year | year"),
        (b"id,note\n1,a\n2,b\n", "id | note\nid: 1 | note: a\nid: 2 | note: b"),
        (b"1,5;2,5\n3,5;4,5\n", "1,5 | 2,5\n3,5 | 4,5"),
        (b"day,\n2026-01-02,x\n", "day\n2026-01-02 | x"),
        (b"", ""),
        (b"\n\n", ""),
        (b"alone", "alone"),
    ],
)
def test_the_first_record_is_a_header_only_where_that_is_certain(data: bytes, text: str) -> None:
    assert read(data).text == text


def test_a_quotation_mark_that_stays_open_does_not_swallow_the_rest() -> None:
    content = read(b'a,b\n1,"open\n2,x\n3,y\n')
    assert content.text == 'a | b\na: 1 | b: "open\na: 2 | b: x\na: 3 | b: y'
    assert content.layout.lines == ((0, 1), (6, 2), (22, 3), (34, 4))
    assert "never closed" in content.note


def test_a_huge_field_is_kept_whole() -> None:
    value = "word " * 100_000
    content = read(written([["id", "text"], ["1", value]]))
    assert content.text.endswith(value.strip())


@given(
    st.lists(
        st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"])), min_size=1, max_size=4),
        max_size=8,
    )
)
def test_no_value_is_lost(records: list[list[str]]) -> None:
    text = read(written(records)).text
    for record in records:
        assert all(word in text for field in record for word in re.findall(r"\w+", field))
