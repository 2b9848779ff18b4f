"""Arguments that are wrong, through a real service: vectors, ids, metadata, names and numbers. A
typed error that names the item, before anything is written."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from thoth_core import Thoth
from thoth_core.errors import CollectionNotFound, InvalidInput

DIMENSION = 32


# ---- the caller's own vectors


def vectors(**rows: list[float]) -> Any:
    array = np.eye(3, DIMENSION)
    for name, row in rows.items():
        array[int(name[1:]), : len(row)] = row
    return array


@pytest.mark.parametrize(
    ("array", "indices"),
    [
        (vectors(r1=[math.nan]), [1]),
        (vectors(r0=[math.inf], r2=[-math.inf]), [0, 2]),
        (vectors(r2=[0.0] * DIMENSION), [2]),
        (np.ones((3, DIMENSION + 1)), None),
        ([[1.0, 2.0], [3.0], [4.0]], None),
        (np.ones((2, DIMENSION)), None),
        (np.ones(DIMENSION), None),
        ([["a"] * DIMENSION] * 3, None),
    ],
    ids=["nan", "inf", "zero", "dimension", "ragged", "length", "one-row", "strings"],
)
def test_bad_vectors_are_refused_before_anything_is_written(
    thoth: Thoth, array: Any, indices: list[int] | None
) -> None:
    thoth.upsert(["there"], np.ones((1, DIMENSION)), texts=["there"], collection="own")
    with pytest.raises(InvalidInput) as caught:
        thoth.upsert(["a", "b", "c"], array, collection="own")
    if indices is not None:
        assert caught.value.indices == indices
    assert thoth.get(collection="own").ids == ["there"]


def test_vectors_without_ids_are_refused(thoth: Thoth) -> None:
    with pytest.raises(InvalidInput, match="1 vectors for 0 items"):
        thoth.upsert([], np.ones((1, DIMENSION)), collection="own-none")


@pytest.mark.parametrize(
    "vector",
    [
        [math.nan] * DIMENSION,
        [math.inf] * DIMENSION,
        [0.0] * DIMENSION,
        [1.0] * (DIMENSION - 1),
        np.ones((2, DIMENSION)),
        [[1.0, 2.0], [3.0]],
        None,
        "text",
    ],
    ids=["nan", "inf", "zero", "dimension", "two", "ragged", "none", "text"],
)
def test_a_bad_vector_is_not_searched_for(thoth: Thoth, vector: Any) -> None:
    thoth.upsert(["there"], np.ones((1, DIMENSION)), collection="searched")
    with pytest.raises(InvalidInput):
        thoth.search(vector, collection="searched")
    assert [hit.id for hit in thoth.search(np.ones(DIMENSION), collection="searched")] == ["there"]


# ---- ids, metadata, names, numbers


def test_an_id_twice_is_refused_with_both_indexes(thoth: Thoth) -> None:
    for call in (
        lambda: thoth.add(["a", "b", "c"], ids=["x", "y", "x"], collection="twice"),
        lambda: thoth.upsert(["x", "y", "x"], np.ones((3, DIMENSION)), collection="twice"),
    ):
        with pytest.raises(InvalidInput, match="twice, at 0 and 2") as caught:
            call()
        assert caught.value.indices == [0, 2]
    with pytest.raises(CollectionNotFound):
        thoth.count("twice")


@pytest.mark.parametrize(
    "value",
    [
        {"a": 1},
        (1, 2),
        {1, 2},
        math.nan,
        2**63,
        [],
        [1, "a"],
        [None],
        b"x",
        np.float32(1),
        "\ud8ff",
    ],
    ids=ascii,
)
def test_metadata_that_chroma_cannot_keep_is_refused_by_index_and_key(
    thoth: Thoth, value: Any
) -> None:
    with pytest.raises(InvalidInput) as caught:
        thoth.add(["a", "b"], metadatas=[{"fine": 1}, {"wrong": value}], collection="metadata")
    assert caught.value.indices == [1]
    assert caught.value.details["key"] == "'wrong'"
    assert caught.value.cause
    with pytest.raises(CollectionNotFound):
        thoth.count("metadata")


def test_items_without_metadata_may_stand_among_others(thoth: Thoth) -> None:
    thoth.add(
        (text for text in ("one", "two", "three")),
        metadatas=iter([None, {}, {"year": 2026}]),
        ids=(id for id in ("i", "j", "k")),
        collection="sparse",
    )
    assert thoth.get(where={"year": 2026}, collection="sparse").ids == ["k"]
    assert thoth.get(ids=iter(["j", "i"]), collection="sparse").ids == ["j", "i"]
    assert thoth.delete(ids=iter(["i"]), collection="sparse") == 1


@pytest.mark.parametrize(
    "name", ["", "ab", "-abc", "a..b", "1.2.3.4", "größe", "x" * 513, "a b", 5]
)
def test_a_bad_collection_name_is_refused_with_the_rule(thoth: Thoth, name: Any) -> None:
    for call in (
        lambda: thoth.create_collection(name),
        lambda: thoth.add(["a"], collection=name),
        lambda: thoth.query("a", collection=name),
        lambda: thoth.rename_collection("fine-name", name),
        lambda: thoth.stats(name),
    ):
        with pytest.raises(InvalidInput) as caught:
            call()
        assert caught.value.cause
        assert caught.value.details["value"]
    assert name not in [c.name for c in thoth.collections()]


@pytest.mark.parametrize(
    "keywords",
    [
        {"limit": -1},
        {"limit": 1.5},
        {"limit": "x"},
        {"limit": np.int64(3)},
        {"limit": 10**30},
        {"offset": None},
        {"offset": -1},
        {"include": "vectors"},
        {"include": ["documents"]},
        {"include": 5},
        {"include": [["vectors"]]},
        {"where": 5},
        {"where": {"a": {"$nope": 1}}},
        {"where_document": {"$contains": 3}},
    ],
    ids=repr,
)
def test_a_bad_argument_of_get_is_refused(thoth: Thoth, keywords: dict[str, Any]) -> None:
    thoth.add(["a"], collection="got")
    with pytest.raises(InvalidInput):
        thoth.get(collection="got", **keywords)


@pytest.mark.parametrize("k", [0, -1, 1.5, True, "3", 10**7])
def test_a_bad_k_is_refused(thoth: Thoth, k: Any) -> None:
    with pytest.raises(InvalidInput, match="k is"):
        thoth.query("a", k=k, collection="never-made")


@pytest.mark.parametrize("deadline", [0, -1, math.nan, True, "5"])
def test_a_deadline_that_is_no_time_is_refused(thoth: Thoth, deadline: Any) -> None:
    with pytest.raises(InvalidInput, match="deadline is"):
        thoth.embed(["a"], deadline=deadline)


@pytest.mark.parametrize("deadline", [math.inf, 1e300, 10**400, 1e8])
def test_a_deadline_in_the_far_future_is_none(thoth: Thoth, deadline: Any) -> None:
    assert thoth.embed(["a"], deadline=deadline).shape == (1, DIMENSION)


def test_an_unknown_collection_is_named_with_those_that_are_there(thoth: Thoth) -> None:
    thoth.add(["a"], collection="is-there")
    for call in (
        lambda: thoth.query("a", collection="not-there"),
        lambda: thoth.count("not-there"),
        lambda: thoth.get(collection="not-there"),
        lambda: thoth.delete(["a"], collection="not-there"),
        lambda: thoth.rename_collection("not-there", "anywhere"),
    ):
        with pytest.raises(CollectionNotFound, match="not-there") as caught:
            call()
        assert "is-there" in caught.value.cause
    assert thoth.delete_collection("not-there") is False
