"""The store's calls over the real ledger and the real Chroma."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from store_worker.calls_read import READS
from store_worker.calls_write import WRITES
from tests.integration.store_double import StoreRoom, model
from thoth_core.errors import (
    CollectionExists,
    CollectionNotFound,
    InternalError,
    InvalidInput,
    ModelMismatch,
    ProtocolError,
)
from thoth_core.ids import text_hash

RNG = np.random.default_rng(7)


def rows(n: int, dimension: int = 4) -> np.ndarray:
    return RNG.normal(size=(n, dimension)).astype(np.float32)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StoreRoom]:
    with StoreRoom(tmp_path / "data", tmp_path / "run") as room:
        yield room
    assert room.ended is None


def test_ready_says_where_the_store_is_and_what_it_has(store):
    assert store.ready["endpoint"] == store.channel.bound
    assert store.ready["endpoint"].endswith("store-one.sock")
    assert (store.ready["chunks"], store.ready["epoch"]) == (0, 1)
    # A search is answered before the index is open, by a scan.
    assert store.ready["index_state"] == "verifying"
    store.healthy()
    assert store.ready["versions"]["chromadb"].startswith("1.5")


def test_what_was_upserted_is_found_with_its_cosine_text_and_metadata(store):
    vectors = rows(60) * 3
    ids = [f"id{i}" for i in range(60)]
    metadatas = [{"n": i, "source": f"f{i % 3}"} for i in range(60)]
    texts = [f"text {i}" for i in range(60)]
    result = store.upsert(ids, vectors, texts=texts, metadatas=metadatas)
    assert result == {"written": 60, "unchanged": 0, "superseded": []}
    query = rows(1)
    [hits] = store.search(query, k=10)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = unit @ (query[0] / np.linalg.norm(query[0]))
    assert [hit["id"] for hit in hits] == [ids[i] for i in np.argsort(-cosines)[:10]]
    for hit in hits:
        i = int(hit["id"][2:])
        assert hit["score"] == pytest.approx(float(cosines[i]), abs=1e-6)
        assert (hit["text"], hit["metadata"]) == (texts[i], metadatas[i])


def test_hits_of_several_queries_bring_their_vectors_in_order(store):
    vectors = rows(9)
    store.upsert([f"id{i}" for i in range(9)], vectors)
    answer = store.call(
        "search",
        {"collection": "notes", "k": 2, "include": ["vectors"], "indices": [4, 7]},
        rows(2),
    )
    flat = [hit["id"] for hits in answer.body["hits"] for hit in hits]
    assert len(flat) == 4
    assert answer.body["indices"] == [4, 7]
    np.testing.assert_array_equal(answer.vectors, vectors[[int(id[2:]) for id in flat]])


def test_equal_scores_come_in_the_order_of_ids(store):
    store.upsert(["c", "a", "b"], np.repeat(rows(1), 3, axis=0))
    assert [hit["id"] for hit in store.search(rows(1), k=2)[0]] == ["a", "b"]


def test_more_hits_than_chunks_and_an_empty_collection_are_fine(store):
    store.call("create_collection", {"collection": "notes", "number": 1, "model": None})
    assert store.search(rows(2), k=5) == [[], []]
    store.upsert(["a", "b"], rows(2))
    assert len(store.search(rows(1), k=50)[0]) == 2


def test_filters_reach_search_get_and_delete(store):
    texts = ["red apple", "green apple", "red car", "blue sky"]
    metadatas = [{"n": i, "even": i % 2 == 0} for i in range(4)]
    store.upsert(list("abcd"), rows(4), texts=texts, metadatas=metadatas)
    [hits] = store.search(rows(1), k=4, where={"n": {"$gte": 2}})
    assert {hit["id"] for hit in hits} == {"c", "d"}
    [hits] = store.search(rows(1), k=4, where_document={"$contains": "red"})
    assert {hit["id"] for hit in hits} == {"a", "c"}
    assert store.get(where={"even": True}).body["ids"] == ["a", "c"]
    assert store.get(ids=["d", "c", "a"], where={"even": True}).body["ids"] == ["c", "a"]
    assert store.delete(where={"even": True}, where_document={"$contains": "apple"}) == 1
    assert store.delete(ids=["b", "c"], where={"n": 2}) == 1
    assert store.get().body["ids"] == ["b", "d"]


def test_get_gives_the_asked_order_pages_and_the_vectors_as_they_were_given(store):
    vectors = rows(6) * 5
    store.upsert([f"id{i}" for i in range(6)], vectors, texts=[f"t{i}" for i in range(6)])
    answer = store.get(ids=["id4", "absent", "id1"], include=["vectors"])
    assert answer.body == {"ids": ["id4", "id1"], "texts": ["t4", "t1"], "metadatas": [{}, {}]}
    np.testing.assert_array_equal(answer.vectors, vectors[[4, 1]])
    # An overwritten row keeps its place.
    store.upsert(["id0"], rows(1))
    assert store.get(limit=2, offset=1).body["ids"] == ["id1", "id2"]
    assert store.get().body["ids"][0] == "id0"
    assert store.get(offset=99, include=["vectors"]).vectors.shape == (0, 4)


def test_overwriting_replaces_text_and_metadata_in_the_index_too(store):
    store.upsert(["a"], rows(1), texts=["old words"], metadatas=[{"gone": 1, "kept": 1}])
    store.upsert(["a"], rows(1), texts=["new words"], metadatas=[{"kept": 2}])
    assert store.get(where={"gone": 1}).body["ids"] == []
    assert store.get(where={"kept": 2}).body["ids"] == ["a"]
    store.upsert(["a"], rows(1))
    assert store.get(where={"kept": 2}).body["ids"] == []
    assert store.get(where_document={"$contains": "words"}).body["ids"] == []
    answer = store.get(ids=["a"])
    assert (answer.body["texts"], answer.body["metadatas"]) == ([None], [{}])
    assert len(store.search(rows(1))[0]) == 1


def test_every_kind_of_metadata_comes_back_as_it_was(store):
    metadata = {"s": "x", "i": -(2**63), "f": 1.0, "b": True, "none": None, "list": ["a", "b"]}
    store.upsert(["a"], rows(1), metadatas=[metadata])
    [back] = store.get(ids=["a"]).body["metadatas"]
    assert back == metadata
    assert [type(back[k]) for k in "sifb"] == [str, int, float, bool]


def test_delete_counts_what_there_was_and_the_deleted_is_not_found(store):
    store.upsert(list("abc"), rows(3))
    assert store.delete(ids=["a", "a", "absent"]) == 1
    assert store.call("count", {"collection": "notes"}).body == {"count": 2}
    assert store.channel.vitals["chunks"] == 2
    assert {hit["id"] for hit in store.search(rows(1), k=9)[0]} == {"b", "c"}
    assert isinstance(
        store.error("delete", {"collection": "notes", "number": store.next_number()}),
        InvalidInput,
    )


def test_a_late_upsert_does_not_undo_a_delete(store):
    store.upsert(["x"], rows(1))
    early = store.next_number()
    store.delete(ids=["a"])
    assert store.upsert(["a"], rows(1), number=early)["superseded"] == [0]
    assert [hit["id"] for hit in store.search(rows(1), k=9)[0]] == ["x"]


def test_have_tells_an_add_what_is_missing_and_reuses_vectors(store):
    m = model()
    number = store.next_number()
    assert store.have(["a", "b"], ["one", "two"], number=number)["missing"] == [0, 1]
    # There is nothing yet that could be of a model.
    assert store.call("collections", {}).body["collections"] == []
    vectors = rows(2)
    store.upsert(["a", "b"], vectors, number=number, model=m, texts=["one", "two"])
    assert store.have(["a", "b"], ["one", "two"])["unchanged"] == [0, 1]
    said = store.have(["a", "c", "d"], ["one", "two", "three"], metadatas=[{"k": 1}, None, None])
    assert said == {"unchanged": [], "superseded": [], "reused": [0, 1], "missing": [2]}
    answer = store.get(ids=["a", "c"], include=["vectors"])
    assert answer.body["texts"] == ["one", "two"]
    assert answer.body["metadatas"] == [{"k": 1}, {}]
    np.testing.assert_array_equal(answer.vectors, vectors)
    assert store.get(where={"k": 1}).body["ids"] == ["a"]
    assert {hit["id"] for hit in store.search(rows(1), k=9)[0]} == {"a", "b", "c"}


def test_a_repeated_request_gets_the_outcome_it_had(store):
    outcome = {"embedded": 2, "errors": []}
    store.call("remember", {"request": "r1", "outcome": outcome})
    assert store.have(["a"], ["one"], request="r1") == {"outcome": outcome}
    assert isinstance(store.error("count", {"collection": "notes"}), CollectionNotFound)
    store.upsert(list("abc"), rows(3))
    assert store.delete(ids=["a", "b"], request="r2") == 2
    assert store.delete(ids=["c"], request="r2") == 2
    assert store.call("count", {"collection": "notes"}).body == {"count": 1}


def test_collections_are_made_renamed_dropped_and_listed(store):
    body = {"collection": "notes", "model": None}
    assert store.call("create_collection", body | {"number": 1}).body == {"created": True}
    assert store.call("create_collection", body | {"number": 2}).body == {"created": False}
    store.upsert(["a"], rows(1), model=model(), texts=["one"], number=3)
    store.upsert(["a"], rows(1, 8), collection="wide", number=4)
    rename = {"collection": "notes", "to": "wide", "number": 5}
    assert isinstance(store.error("rename_collection", rename), CollectionExists)
    store.call("rename_collection", rename | {"to": "papers", "number": 6})
    assert store.call("collections", {}).body["collections"] == [
        {"name": "papers", "model": model(), "dimension": 4, "count": 1},
        {"name": "wide", "model": None, "dimension": 8, "count": 1},
    ]
    assert len(store.search(rows(1), collection="papers")[0]) == 1
    drop = {"collection": "papers", "number": 7}
    assert store.call("delete_collection", drop).body == {"deleted": True}
    assert store.call("delete_collection", drop | {"number": 8}).body == {"deleted": False}
    problem = store.error("search", {"collection": "papers", "k": 1}, rows(1))
    assert isinstance(problem, CollectionNotFound)
    assert problem.details["collections"] == ["wide"]
    # The name is free again, for any dimension.
    store.upsert(["a"], rows(1, 2), collection="papers", number=9)
    assert len(store.search(rows(1, 2), collection="papers")[0]) == 1


def test_documents_are_recorded_replaced_and_counted(store):
    metadatas = [{"source": "f.md"}] * 3
    store.upsert(list("abc"), rows(3), metadatas=metadatas)
    body = {"collection": "notes", "source": "f.md", "content_hash": "h1", "ids": ["a", "b"]}
    replace = body | {"number": store.next_number()}
    assert store.call("replace_document", replace).body == {"removed": 1}
    recorded = {"f.md": {"content_hash": "h1", "chunks": 2}}
    assert store.call("documents", {"collection": "notes"}).body == {"documents": recorded}
    asked = {"collection": "notes", "sources": ["other.md"]}
    assert store.call("documents", asked).body == {"documents": {}}
    store.healthy()
    stats = store.call("stats", {"collection": "notes"}).body
    held = {"name": "notes", "model": None, "dimension": 4, "chunks": 2, "documents": 1}
    assert stats["collections"] == [held | {"staged": 0, "unindexed": 0, "reembed": None}]
    assert stats["ledger_bytes"] > 0
    assert stats["index_bytes"] > 0
    assert store.get(where={"source": "f.md"}).body["ids"] == ["a", "b"]


def test_another_model_or_dimension_is_refused_before_anything_is_written(store):
    store.upsert(["a"], rows(1), model=model(), texts=["one"])
    other = model("fake/other")
    body = {"collection": "notes", "ids": ["b"], "texts": ["x"], "number": store.next_number()}
    problem = store.error("upsert", body | {"model": other}, rows(1))
    assert isinstance(problem, ModelMismatch)
    assert "fake/4" in problem.message
    assert "fake/other" in problem.message
    assert problem.fix
    have = body | {"hashes": [text_hash("x")], "model": other, "request": "r"}
    assert isinstance(store.error("have", have), ModelMismatch)
    search = {"collection": "notes", "k": 1}
    assert isinstance(store.error("search", search | {"model": other}, rows(1)), ModelMismatch)
    assert isinstance(store.error("upsert", body | {"model": None}, rows(1, 5)), InvalidInput)
    assert isinstance(store.error("search", search, rows(1, 5)), InvalidInput)
    assert store.call("count", {"collection": "notes"}).body == {"count": 1}


def test_a_query_with_a_model_leaves_a_collection_of_the_callers_own_vectors_as_it_is(store):
    store.upsert(["a"], rows(1))
    assert len(store.search(rows(1), model=model())[0]) == 1
    [listed] = store.call("collections", {}).body["collections"]
    assert listed["model"] is None


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0])
def test_a_vector_without_a_direction_is_refused_with_its_index(store, bad):
    vectors = rows(3)
    vectors[1] = bad
    body = {"collection": "notes", "ids": list("abc"), "number": 1, "model": None}
    problem = store.error("upsert", body, vectors)
    assert isinstance(problem, InvalidInput)
    assert problem.indices == [1]
    assert store.call("collections", {}).body == {"collections": []}


@pytest.mark.parametrize(
    "change",
    [
        {"ids": ["a", "a"]},
        {"metadatas": [{"x": {"nested": 1}}, None]},
        {"texts": ["fine", "\ud800"]},
        {"collection": "no"},
    ],
)
def test_what_the_caller_may_not_send_is_invalid_input_and_writes_nothing(store, change):
    body = {"collection": "notes", "ids": ["a", "b"], "number": 1, "model": None}
    assert isinstance(store.error("upsert", body | change, rows(2)), InvalidInput)
    assert store.call("collections", {}).body == {"collections": []}


@pytest.mark.parametrize(
    "change", [{"k": 0}, {"where": {"$nonsense": 1}}, {"where_document": {"$regex": "("}}]
)
def test_a_search_that_cannot_be_asked_is_invalid_input_and_the_store_goes_on(store, change):
    store.upsert(["a"], rows(1), texts=["x"])
    body = {"collection": "notes", "k": 1}
    assert isinstance(store.error("search", body | change, rows(1)), InvalidInput)
    assert len(store.search(rows(1))[0]) == 1


def test_calls_that_are_no_calls_are_answered_and_those_for_another_store_are_dropped(store):
    assert isinstance(store.error("nonsense", {}), ProtocolError)
    assert isinstance(store.error("upsert", {"collection": "notes"}), ProtocolError)
    store.post("collections", {}, incarnation="another")
    assert store.call("collections", {}).body == {"collections": []}
    assert store.channel.vitals["dropped"] == 1


def test_a_defect_is_answered_as_internal_logged_and_the_next_call_is_served(
    store, monkeypatch, caplog
):
    def defective(*_: object) -> None:
        raise RuntimeError("a defect")

    store.upsert(["a"], rows(1))
    monkeypatch.setitem(READS, "count", defective)
    monkeypatch.setitem(WRITES, "delete", defective)
    for kind in ("count", "delete"):
        problem = store.error(kind, {"collection": "notes"})
        assert isinstance(problem, InternalError)
        assert "a defect" in problem.cause
    assert "RuntimeError: a defect" in caplog.text
    assert len(store.search(rows(1))[0]) == 1
