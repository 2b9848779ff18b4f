"""One value in the text of a thoth.toml, and nothing else, is changed."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thoth_core.setting_specs import SPECS
from thoth_core.toml_lines import CannotChange, to_toml, with_value, without_value


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "RAG_CHUNK_SIZE = 200\n"),
        ("# mine\n", "# mine\nRAG_CHUNK_SIZE = 200\n"),
        ("RAG_CHUNK_SIZE = 500", "RAG_CHUNK_SIZE = 200"),
        (
            "a = 1\nRAG_CHUNK_SIZE=500 # small\nb = 2\n",
            "a = 1\nRAG_CHUNK_SIZE=200 # small\nb = 2\n",
        ),
        ("chunk_size = '500'\t# '#'\n", "chunk_size = 200\t# '#'\n"),
        ('"rag_chunk_size" = "5#0" # c\n', '"rag_chunk_size" = 200 # c\n'),
        ("[thoth]\nchunk_size = 5\n", "[thoth]\nchunk_size = 200\n"),
        ("[thoth]\nx = 1\n", "[thoth]\nx = 1\nRAG_CHUNK_SIZE = 200\n"),
        ("# a\n[other]\nx = 1\n", "# a\nRAG_CHUNK_SIZE = 200\n[other]\nx = 1\n"),
        ("[other]\nchunk_size = 7\n", "RAG_CHUNK_SIZE = 200\n[other]\nchunk_size = 7\n"),
        ("x = '''\nchunk_size = 3\n'''\nchunk_size = 4\n", None),
        (
            "chunk_size = [\n  '1', # one\n  '2',\n] # two\nb = 1\n",
            "chunk_size = 200 # two\nb = 1\n",
        ),
        ("chunk_size = 5\r\nb = 1\r\n", "chunk_size = 200\r\nb = 1\r\n"),
        ("b = 1\r\n", "b = 1\r\nRAG_CHUNK_SIZE = 200\r\n"),
    ],
)
def test_the_line_is_changed_and_the_rest_stays(before: str, after: str | None) -> None:
    made = with_value(before, "RAG_CHUNK_SIZE", "200")
    assert made == (after or before.replace("chunk_size = 4", "chunk_size = 200"))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", None),
        ("[other]\nchunk_size = 7\n", None),
        ("RAG_CHUNK_SIZE = 500", ""),
        ("a = 1\nRAG_CHUNK_SIZE=500 # small\nb = 2\n", "a = 1\nb = 2\n"),
        ("[thoth]\nchunk_size = 5\n", "[thoth]\n"),
        ("x = '''\nchunk_size = 3\n'''\nchunk_size = 4\n", "x = '''\nchunk_size = 3\n'''\n"),
        ("chunk_size = [\n  '1', # one\n  '2',\n] # two\nb = 1\n", "b = 1\n"),
        ("chunk_size = 5\r\nb = 1\r\n", "b = 1\r\n"),
    ],
)
def test_the_line_is_taken_out_and_the_rest_stays(before: str, after: str | None) -> None:
    assert without_value(before, "RAG_CHUNK_SIZE") == after


def test_what_it_cannot_change_it_says() -> None:
    with pytest.raises(CannotChange, match="twice"):
        with_value("chunk_size = 1\n[thoth]\nchunk_size = 2\n", "RAG_CHUNK_SIZE", "3")
    with pytest.raises(CannotChange):
        with_value("thoth = { chunk_size = 1, x = 2 }\n", "RAG_CHUNK_SIZE", "3")
    with pytest.raises(CannotChange):
        without_value("thoth = { chunk_size = 1, x = 2 }\n", "RAG_CHUNK_SIZE")
    with pytest.raises(tomllib.TOMLDecodeError):
        with_value("no toml\n", "RAG_CHUNK_SIZE", "3")
    with pytest.raises(CannotChange, match="UTF-8"):
        with_value("", "RAG_QA_MODEL", "\udcff")


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_any_value_is_read_as_it_was_written(text: str) -> None:
    value: Any = tomllib.loads(f"x = {to_toml(text)}")["x"]
    assert value == text or str(value) == text or float(text) == value


NAMES = [spec.name for spec in SPECS]
line = st.one_of(
    st.sampled_from(["# a comment", "", "[other]", "[thoth]", "x = 1"]),
    st.builds(
        "{}{} = {}{}".format,
        st.sampled_from(["", " "]),
        st.sampled_from([n.lower() for n in NAMES] + NAMES),
        st.sampled_from(["1", "'a'", '"a # b"', "[1, 2]", "true"]),
        st.sampled_from(["", " # why", "  #"]),
    ),
)


@given(
    st.lists(line, max_size=8).map("\n".join), st.sampled_from(NAMES), st.text("ab1.", max_size=5)
)
def test_only_that_value_is_different_and_no_comment_is_lost(
    source: str, name: str, text: str
) -> None:
    try:
        before = tomllib.loads(source)
        made = with_value(source, name, text)
    except (tomllib.TOMLDecodeError, CannotChange):
        return
    after = tomllib.loads(made)
    for table in (before, after):
        for part in (table, table.get("thoth", {})):
            for key in [k for k in part if k.upper() == name or _field(k) == name]:
                del part[key]
    assert {k: v for k, v in after.items() if v != {}} == {
        k: v for k, v in before.items() if v != {}
    }
    assert made.count("#") >= source.count("# why")


def _field(key: str) -> str:
    from thoth_core.settings_files import setting_name

    return setting_name(key) or ""


@given(st.lists(line, max_size=8).map("\n".join), st.sampled_from(NAMES))
def test_what_was_added_can_be_taken_out_again(source: str, name: str) -> None:
    try:
        before = tomllib.loads(source)
        if without_value(source, name) is not None:
            return
        made = without_value(with_value(source, name, "3"), name)
    except (tomllib.TOMLDecodeError, CannotChange):
        return
    assert made is not None and tomllib.loads(made) == before
    assert made.rstrip("\n") == source.rstrip("\n")
