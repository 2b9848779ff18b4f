"""Thoth's checks against the Chroma that is installed.

What Thoth lets through Chroma must take and give back unchanged; what Chroma refuses Thoth must
refuse before. Where Thoth is stricter on purpose, the reason is shown here by Chroma itself.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import chromadb
import pytest
from chromadb.config import Settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from thoth_core.errors import InvalidInput
from thoth_core.validation import (
    check_collection_name,
    check_ids,
    check_metadata,
    check_where,
    check_where_document,
)

numbers = itertools.count()
few = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    path = tmp_path_factory.mktemp("chroma")
    opened = chromadb.PersistentClient(
        path=str(path), settings=Settings(anonymized_telemetry=False)
    )
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def collection(client: Any) -> Any:
    return client.create_collection("agreement", embedding_function=None)


def fresh(client: Any) -> Any:
    return client.create_collection(f"fresh-{next(numbers)}", embedding_function=None)


def kept(collection: Any, metadata: Any) -> Any:
    """What Chroma gives back for ``metadata``."""
    name = f"id-{next(numbers)}"
    collection.upsert(ids=[name], embeddings=[[1.0, 2.0]], documents=["d"], metadatas=[metadata])
    return collection.get(ids=[name], include=["metadatas"])["metadatas"][0]


def same(one: Any, other: Any) -> bool:
    """Equal; floats but for the last digit, which Chroma may lose on its way through JSON."""
    if isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-14, abs_tol=1e-300)
    return bool(one == other)


def refused(check: Callable[..., None], *args: Any) -> bool:
    try:
        check(*args)
    except InvalidInput:
        return True
    return False


def accepts(action: Callable[[], object]) -> bool:
    # Chroma refuses with ValueError, TypeError and half a dozen classes of its own.
    try:
        action()
    except Exception:
        return False
    return True


characters = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
scalar_lists = st.one_of(
    st.lists(characters, min_size=1, max_size=3),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=3),
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=3),
    st.lists(st.booleans(), min_size=1, max_size=3),
)
good_values = st.one_of(
    st.none(),
    characters,
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    scalar_lists,
)


@few
@given(metadata=st.dictionaries(characters, good_values, max_size=4))
def test_metadata_that_is_let_through_comes_back_unchanged(collection: Any, metadata: Any) -> None:
    if refused(check_metadata, metadata, 0):
        assert not accepts(lambda: kept(collection, metadata)) or any(
            key.startswith("chroma:") for key in metadata
        )
        return
    wanted = {key: value for key, value in metadata.items() if value is not None}
    back = kept(collection, metadata) or {}
    assert back.keys() == wanted.keys()
    assert all(same(back[key], value) for key, value in wanted.items())
    assert {k: type(v) for k, v in back.items()} == {k: type(v) for k, v in wanted.items()}


@pytest.mark.parametrize(
    "metadata",
    [
        [],
        {},
        {"": 1},
        {1: 1},
        {"#x": 1},
        {"$x": 1},
        {"chroma:document": "x"},
        {"a": []},
        {"a": [1, 1.0]},
        {"a": [True, 1]},
        {"a": [None]},
        {"a": [[1]]},
        {"a": ("x",)},
        {"a": {"b": 1}},
        {"a": b"x"},
        {"a": "\ud800"},
        {"\ud800": 1},
        {"a": 10**400},
    ],
)
def test_metadata_that_chroma_refuses_is_refused(client: Any, metadata: Any) -> None:
    target = fresh(client)
    assert not accepts(lambda: kept(target, metadata))
    assert refused(check_metadata, metadata, 0)


@pytest.mark.parametrize(
    ("metadata", "back"),
    [
        ({"a": 2**63}, {"a": float(2**63)}),
        ({"a": [2**63]}, {"a": [float(2**63)]}),
        ({"a": math.nan}, None),
        ({"a": math.inf}, None),
        ({"chroma:x": 1}, {}),
    ],
)
def test_metadata_that_chroma_takes_and_changes_is_refused(
    client: Any, metadata: Any, back: Any
) -> None:
    assert kept(fresh(client), metadata) == back
    assert refused(check_metadata, metadata, 0)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_number_that_breaks_a_collection_for_good_is_refused(client: Any, value: float) -> None:
    target = fresh(client)
    assert accepts(lambda: kept(target, {"a": 1}))
    assert not accepts(lambda: kept(target, {"a": [value]}))
    assert not accepts(lambda: kept(target, {"a": 1})), "Chroma recovers now: relax the check"
    assert refused(check_metadata, {"a": [value]}, 0)


@few
@given(
    name=st.text(alphabet="aZ9._-", max_size=8)
    | st.from_regex(r"[0-9]{1,4}(\.[0-9]{1,4}){3}", fullmatch=True)
    | st.text(max_size=6)
)
def test_collection_names_agree(client: Any, name: str) -> None:
    assert refused(check_collection_name, name) != name_is_taken(client, name)


@pytest.mark.parametrize(
    "name",
    ["a" * 512, "a" * 513, "ab", "abc", "abc\n", "01.2.3.4", "0.0.0.0", "255.255.255.256", "٣٣٣"],
)
def test_collection_names_at_the_edges_agree(client: Any, name: str) -> None:
    assert refused(check_collection_name, name) != name_is_taken(client, name)


def name_is_taken(client: Any, name: str) -> bool:
    taken = accepts(lambda: client.create_collection(name, embedding_function=None))
    if taken:
        client.delete_collection(name)
    return taken


@pytest.mark.parametrize("name", ["", "\ud800", " ", "x\0y", "x" * 5000, "漢"])
def test_ids_agree(collection: Any, name: str) -> None:
    taken = accepts(lambda: collection.upsert(ids=[name], embeddings=[[1.0, 2.0]]))
    assert refused(check_ids, [name]) != taken


operands = st.one_of(
    st.none(),
    st.sampled_from(["", "x", 0, 1, -1.5, True, 2**63 - 1, 2**63, math.nan, math.inf, "\ud800"]),
    st.lists(st.sampled_from(["x", "y", 1, 2, 1.5, True, False, None, 2**63]), max_size=3),
)
operators = st.sampled_from(
    ["$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$contains", "$not_contains", "$x"]
)
keys = st.sampled_from(["a", "b", "a b", "", "#document", "$in", "$x", "$contains"])
leaves = st.one_of(
    st.dictionaries(keys, operands, max_size=2),
    st.dictionaries(keys, st.dictionaries(operators, operands, max_size=2), min_size=1, max_size=1),
)
wheres = st.recursive(
    leaves,
    lambda inner: st.dictionaries(
        st.sampled_from(["$and", "$or", "$not"]),
        st.lists(inner, max_size=3),
        min_size=1,
        max_size=1,
    ),
    max_leaves=6,
)


def compares_the_document(where: Any) -> bool:
    """Chroma takes ``{"#document": 0}`` and finds nothing, and for a str says that no index is
    there. It is refused here with a word on what would work."""
    if isinstance(where, list):
        return any(compares_the_document(part) for part in where)
    if not isinstance(where, dict):
        return False
    value = where.get("#document", {"$contains": ""})
    asks = isinstance(value, dict) and value.keys() <= {"$contains", "$not_contains"}
    return not asks or any(compares_the_document(part) for part in where.values())


@settings(few, max_examples=200)
@given(where=wheres)
def test_filters_agree(collection: Any, where: Any) -> None:
    taken = accepts(lambda: collection.get(where=where, include=[]))
    if compares_the_document(where):
        assert refused(check_where, where)
    else:
        assert refused(check_where, where) != taken


document_leaves = st.dictionaries(
    st.sampled_from(["$contains", "$not_contains", "$regex", "$not_regex", "$eq", "a"]),
    st.sampled_from(["x", "", 1, None, "\ud800"]),
    max_size=2,
)
document_wheres = st.recursive(
    document_leaves,
    lambda inner: st.dictionaries(
        st.sampled_from(["$and", "$or"]), st.lists(inner, max_size=3), min_size=1, max_size=1
    ),
    max_leaves=6,
)


@settings(few, max_examples=200)
@given(where=document_wheres)
def test_filters_over_the_text_agree(collection: Any, where: Any) -> None:
    taken = accepts(lambda: collection.get(where_document=where, include=[]))
    assert refused(check_where_document, where) != taken


def test_a_filter_as_deep_as_is_let_through_is_taken(collection: Any) -> None:
    from thoth_core.where_checks import MAX_WHERE_DEPTH

    where: dict[str, Any] = {"a": 1}
    document: dict[str, Any] = {"$contains": "x"}
    for _ in range(MAX_WHERE_DEPTH - 1):
        where = {"$and": [where, {"b": 1}]}
        document = {"$or": [document, {"$contains": "y"}]}
    check_where(where)
    check_where_document(document)
    collection.get(where=where, where_document=document, include=[])
