from __future__ import annotations

import itertools
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.own_time import own_seconds
from tests.support.places import chunk_with, chunks_of
from thoth_core.documents.base import formats

SERVICES = {
    "name": "example",
    "limits": {"memory": {"soft": 512, "hard": None}, "hosts": ["alpha", "beta"], "tags": []},
    "services": [
        {"id": n, "title": f"service number {n}", "ports": [{"public": 8000 + n}, {"public": 1}]}
        for n in range(40)
    ],
    "motto": "first line\nsecond line",
}


def read(name: str, text: str) -> Any:
    return formats()[name].read(text.encode())


def test_each_value_has_its_names_and_its_line() -> None:
    text = json.dumps(SERVICES, indent=2)
    content = read(".json", text)
    lines = content.text.split("\n")
    assert lines[:5] == [
        "name: example",
        "limits.memory.soft: 512",
        "limits.memory.hard: null",
        "limits.hosts: alpha, beta",
        "limits.tags: []",
    ]
    assert content.text.endswith("motto: first line\nsecond line")
    chunks = chunks_of(content)
    found = chunk_with(chunks, "service number 27")
    assert found.line_start is not None and found.line_end is not None
    there = "\n".join(text.split("\n")[found.line_start - 1 : found.line_end])
    assert "service number 27" in there and there.count("service number") == found.text.count(
        "service number"
    )
    assert found.text.startswith("services.id: ") and found.text.endswith(
        "services.ports.public: 1"
    )
    assert (
        chunks[-1].line_end == text.split("\n").index('  "motto": "first line\\nsecond line"') + 1
    )


def test_every_place_is_on_the_line_of_its_value() -> None:
    text = json.dumps(SERVICES, indent=1)
    content = read(".json", text)
    for piece in chunks_of(content, size=8, overlap=0):
        for number in re.findall(r"service number (\d+)", piece.text):
            line = next(i for i, at in enumerate(text.split("\n"), 1) if f'er {number}"' in at)
            assert piece.line_start is not None and piece.line_end is not None
            assert piece.line_start <= line <= piece.line_end


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ('{"a": 1,}', "line 1"),
        ('{"a": 1}\n}', "line 2"),
        ('{\n"a": \n1,\n"b', "line 4"),
        ("// a comment\n{}", "line 1"),
        ('{"a" 1}', "line 1"),
        ("[1 2]", "line 1"),
        ('{1: "a"}', "line 1"),
        ("nul", "line 1"),
        ("[}", "line 1"),
    ],
)
def test_broken_json_is_read_as_text_and_says_where_it_breaks(text: str, note: str) -> None:
    content = read(".json", text)
    assert content.text == text
    assert note in content.note and "read as text" in content.note


def test_a_bad_line_of_json_lines_costs_that_line_only() -> None:
    content = read(".jsonl", '{"a": 1}\n\n{"b": tru}\n[1, {"c": "x\\ny"}]\nnope\n')
    assert content.text == 'a: 1\n\n{"b": tru}\n\n1\nc: x\ny\n\nnope'
    assert content.note == "line 3 (and 1 more) is no JSON, and was read as text"
    assert content.layout.breaks == (0, 6, 18, 28)
    pieces = chunks_of(content, size=8, overlap=0)
    assert [each.line_start for each in pieces] == sorted(each.line_start for each in pieces)
    assert chunk_with(pieces, "nope").line_start == 5


def test_records_over_several_lines_are_read_all_the_same() -> None:
    content = read(".ndjson", "\n".join(json.dumps({"a": n, "b": 2}, indent=1) for n in range(3)))
    assert content.text == "a: 0\nb: 2\n\na: 1\nb: 2\n\na: 2\nb: 2" and not content.note


def test_a_record_is_not_cut_where_it_fits() -> None:
    text = "\n".join(
        json.dumps({"id": n, "text": f"A remark on the number {n}.\n\nIt ends."}) for n in range(50)
    )
    for piece in chunks_of(read(".jsonl", text)):
        assert piece.text.startswith("id: ") and piece.text.endswith("It ends.")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        (" \n", " \n"),
        ('"alone"', "alone"),
        ("[]", "[]"),
        ("-1.5e3", "-1.5e3"),
        ('{"": 1, "a": {"": 2}}', "1\na.: 2"),
        ('["\\ud83d\\ude00", "\\ud800", "a\\u0000b"]', "😀, ?, a\ufffdb"),
        ('{"a":"one\\r\\ntwo"}', "a: one\ntwo"),
        ("[[1, 2], [3], [[4]]]", "1, 2\n3\n4"),
        ("[NaN, -Infinity]", "NaN, -Infinity"),
    ],
)
def test_values_of_every_kind(text: str, expected: str) -> None:
    content = read(".json", text)
    assert content.text == expected
    content.text.encode()


def test_names_that_are_long_or_deep_take_no_memory() -> None:
    deep = '{"name":' * 50_000 + '"inside"' + "}" * 50_000
    content = read(".json", deep)
    assert content.text.endswith("inside") and len(content.text) < 4 * len(deep)
    assert read(".json", "[" * 200_000 + "7" + "]" * 200_000).text == "7"
    long = "k" * 10_000
    content = read(".json", json.dumps({long: {"a": {"b": 1}}}))
    assert content.text.startswith(long) and len(content.text) < 11_000


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(json_values, st.sampled_from([None, 1]))
def test_no_value_is_lost(value: Any, indent: int | None) -> None:
    def words(inner: Any) -> list[str]:
        if isinstance(inner, dict):
            return [w for k, v in inner.items() for w in re.findall(r"\w+", k) + words(v)]
        if isinstance(inner, list):
            return [w for each in inner for w in words(each)]
        return re.findall(r"\w+", inner) if isinstance(inner, str) else [json.dumps(inner)]

    content = read(".json", json.dumps(value, indent=indent, ensure_ascii=False))
    assert not content.note
    for word in words(value):
        assert word in content.text
    chunks_of(content, size=20, overlap=0)
    for places in (content.layout.breaks, [place for place, _ in content.layout.lines or ()]):
        assert list(places) == sorted(set(places))
    rows = content.layout.rows
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(rows))


def test_time_is_linear_in_a_long_value() -> None:
    def seconds(count: int) -> float:
        text = json.dumps({"a": list(range(count)), "b": "x" * count, "c": "\n" * count})
        return own_seconds(lambda: read(".json", text))

    seconds(1_000)
    assert seconds(80_000) < 24 * max(seconds(10_000), 0.02)
