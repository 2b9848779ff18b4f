from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thoth_core.errors import InvalidInput
from thoth_core.plain_values import shown
from thoth_core.validation import (
    MAX_K,
    check_collection_name,
    check_ids,
    check_k,
    check_metadata,
    check_texts,
    check_where,
    check_where_document,
)
from thoth_core.where_checks import MAX_WHERE_DEPTH


def test_good_texts_have_no_errors() -> None:
    assert check_texts(["a", " b ", "<|endoftext|>", "é" * 10, "\U0001f600", "\0"], 10 + 3) == []
    assert check_texts([], 10) == []


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "blank"),
        (" \n\u2003", "blank"),
        (None, "NoneType"),
        (7, "int"),
        (b"bytes", "bytes"),
        ("a\ud800b", "surrogate at character 1"),
        ("x" * 11, "11 characters, 10 at most"),
    ],
)
def test_a_bad_text_is_named_and_the_others_are_fine(text: object, word: str) -> None:
    found = check_texts(["good", text, "good"], 10)
    assert [index for index, _ in found] == [1]
    error = found[0][1]
    assert word in error.message and error.indices == [1] and "1" in error.message
    error.to_dict()["message"].encode()


def test_one_string_is_no_list_of_texts() -> None:
    with pytest.raises(InvalidInput, match="a list of texts"):
        check_texts("text", 10)


def test_an_id_twice_names_both_indexes() -> None:
    with pytest.raises(InvalidInput) as caught:
        check_ids(["a", "b", "c", "b"])
    assert caught.value.indices == [1, 3]
    assert "1 and 3" in caught.value.message


@pytest.mark.parametrize("bad", ["", None, 3, "\ud800"])
def test_an_id_that_is_no_text_is_named(bad: object) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_ids(["a", bad])
    assert caught.value.indices == [1]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), unique=True))
def test_any_different_texts_are_ids(ids: list[str]) -> None:
    check_ids(ids)


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("metadata", "word"),
    [
        ([], "list"),
        ({}, "one key"),
        ({"": 1}, "non-empty"),
        ({1: 1}, "non-empty str"),
        ({"#x": 1}, "# or $"),
        ({"$x": 1}, "# or $"),
        ({"chroma:document": "x"}, "Chroma's own"),
        ({"a": math.nan}, "finite"),
        ({"a": [1.0, math.inf]}, "finite"),
        ({"a": 2**63}, "64 bits"),
        ({"a": [-(2**63) - 1]}, "64 bits"),
        ({"a": []}, "one element"),
        ({"a": [1, 1.0]}, "all int"),
        ({"a": [True, 1]}, "all bool"),
        ({"a": [None]}, "all str"),
        ({"a": ("x",)}, "make it a list"),
        ({"a": {"b": 1}}, "flatten"),
        ({"a": np.int64(3)}, ".item()"),
        ({"a": b"x"}, "make it a str"),
        ({"a": "\ud800"}, "UTF-8"),
        ({"\ud800": 1}, "UTF-8"),
        ({"a": Unprintable()}, "repr raises RuntimeError"),
    ],
)
def test_bad_metadata_names_index_key_rule_and_value(metadata: Any, word: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_metadata(metadata, 5)
    error = caught.value
    assert error.indices == [5] and "metadata 5" in error.message
    assert word in str(error)
    assert {"key", "rule", "value"} <= set(error.details)
    str(error).encode()


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {"a": None},
        {"a": 2**63 - 1, "b": -(2**63), "c": 1e308, "d": True, "e": "\0", " ": ""},
        {"a": ["x"], "b": [1, 2], "c": [1.5], "d": [True, False]},
        {"a b.c$#": np.float64(1.5)},
    ],
)
def test_good_metadata_is_let_through(metadata: Any) -> None:
    check_metadata(metadata, 0)


@pytest.mark.parametrize("name", ["abc", "a.b_c-d", "A1b", "a" * 512, "999.1.1.1", "01.2.3.4"])
def test_good_collection_names(name: str) -> None:
    check_collection_name(name)


@pytest.mark.parametrize(
    "name", ["", "ab", "_ab", "ab-", "a b", "a..b", "äbc", "abc\n", "1.2.3.4", "a" * 513, None, 3]
)
def test_a_bad_collection_name_names_rule_and_value(name: object) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_collection_name(name)
    assert caught.value.cause.startswith("a collection name")
    assert caught.value.details["value"] == shown(name)


@pytest.mark.parametrize("k", [1, MAX_K])
def test_a_good_k(k: int) -> None:
    check_k(k)


@pytest.mark.parametrize("k", [0, -1, True, 1.0, "4", None, MAX_K + 1])
def test_a_bad_k(k: object) -> None:
    with pytest.raises(InvalidInput):
        check_k(k)


@pytest.mark.parametrize(
    ("where", "word"),
    [
        ({}, "one key"),
        ({"a": 1, "b": 2}, "$and"),
        ([], "one key"),
        ({1: 2}, "a key is a str"),
        ({"a": None}, "operator"),
        ({"a": [1]}, "operator"),
        ({"a": math.nan}, "finite"),
        ({"a": 2**63}, "64 bits"),
        ({"a": {}}, "one operator"),
        ({"a": {"$gt": 1, "$lt": 2}}, "$and"),
        ({"a": {"$like": "x"}}, "one of $contains"),
        ({"a": {"$gt": "x"}}, "compares"),
        ({"a": {"$gt": True}}, "compares"),
        ({"a": {"$in": []}}, "non-empty list"),
        ({"a": {"$in": [1, "x"]}}, "all str"),
        ({"a": {"$in": [1, True]}}, "all str"),
        ({"a": {"$in": [math.inf]}}, "finite"),
        ({"a": {"$eq": [1]}}, "takes a str"),
        ({"a": {"$ne": None}}, "takes a str"),
        ({"a": "\ud800"}, "UTF-8"),
        ({"$and": [{"a": 1}]}, "two or more"),
        ({"$or": {"a": 1}}, "two or more"),
        ({"$and": [{"a": 1}, {"b": None}]}, "key 'b'"),
        ({"$not": {"a": 1}}, "begins with"),
        ({"#document": "x"}, "$contains"),
        ({"#document": {"$contains": 1}}, "$contains"),
        ({"#document": {"$eq": "x"}}, "$contains"),
    ],
)
def test_a_bad_where_says_which_rule(where: Any, word: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_where(where)
    assert word in str(caught.value)


def test_a_where_is_nested_to_a_bound() -> None:
    where: dict[str, Any] = {"a": 1}
    for _ in range(MAX_WHERE_DEPTH - 1):
        where = {"$and": [where, {"b": 1}]}
    check_where(where)
    with pytest.raises(InvalidInput, match="where"):
        check_where({"$or": [where, {"b": 1}]})
    for _ in range(100_000):
        where = {"$and": [where, {"b": 1}]}
    with pytest.raises(InvalidInput):
        check_where(where)
    # Taken apart one by one: the interpreter would recurse into the whole to free it.
    while "$and" in where:
        where = where["$and"].pop(0)


@pytest.mark.parametrize(
    "where",
    [{}, {"$contains": ""}, {"$contains": 1}, {"a": "b"}, {"$and": [{"$contains": "x"}]}, "x"],
)
def test_a_bad_where_document(where: Any) -> None:
    with pytest.raises(InvalidInput, match="where_document"):
        check_where_document(where)


def test_no_filter_is_a_filter() -> None:
    check_where(None)
    check_where_document(None)


@given(
    st.recursive(
        st.none() | st.text() | st.integers() | st.floats() | st.binary() | st.booleans(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
        max_leaves=20,
    )
)
def test_no_value_whatever_makes_a_check_fail_in_another_way(value: Any) -> None:
    checks = (check_where, check_where_document, check_collection_name, check_k)
    for check in (*checks, lambda v: check_metadata(v, 0), lambda v: check_ids([v])):
        try:
            check(value)
        except InvalidInput as error:
            str(error).encode()


@given(st.text() | st.binary() | st.integers())
def test_a_value_is_shown_short_and_printable(value: object) -> None:
    text = shown(value)
    assert len(text) <= 80
    text.encode()


def test_showing_a_huge_value_takes_no_time() -> None:
    assert len(shown("x" * 30_000_000)) <= 80
    assert "bits" in shown(10**5000)
