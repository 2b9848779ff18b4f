"""Searches narrowed to sources and times, over the real ledger and the real Chroma."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from store_worker import nearest
from tests.integration.store_double import StoreRoom
from thoth_core.errors import InvalidInput
from thoth_core.source_globs import compile_globs

RNG = np.random.default_rng(11)
FILES = 120
EACH = 5


@pytest.fixture(scope="module")
def vectors() -> Any:
    return RNG.normal(size=(FILES * EACH, 4)).astype(np.float32)


def source_of(i: int) -> str:
    return f"/docs/part{i // EACH % 6}/file{i // EACH}.md"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, vectors: Any) -> Iterator[StoreRoom]:
    root = tmp_path_factory.mktemp("store")
    with StoreRoom(root / "data", root / "run") as room:
        count = FILES * EACH
        room.upsert(
            [f"id{i:04}" for i in range(count)],
            vectors,
            texts=[f"text {i}" for i in range(count)],
            metadatas=[
                {"source": source_of(i), "ordinal": i % EACH, "even": i % 2 == 0}
                for i in range(count)
            ],
        )
        room.upsert(["nowhere"], vectors[:1] * 2, texts=["no source"])
        room.healthy()
        yield room


def expected(vectors: Any, query: Any, k: int, allows: Any) -> list[str]:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    order = np.argsort(-(unit @ (query / np.linalg.norm(query))), kind="stable")
    return [f"id{i:04}" for i in order if allows(i)][:k]


@pytest.fixture(params=["scan", "index"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Few rows are compared one by one; of many, the index is asked."""
    monkeypatch.setattr(nearest, "FEW", 10**9 if request.param == "scan" else 0)
    return str(request.param)


@pytest.mark.parametrize(
    "globs",
    [["/docs/part3/**"], ["**/file7?.md"], ["**/file1.md", "/docs/part0/*"], ["/docs/**"]],
)
@pytest.mark.parametrize("where", [None, {"even": True}])
def test_only_chunks_of_the_sources_are_found_and_the_nearest_of_them(
    store: StoreRoom, vectors: Any, way: str, globs: list[str], where: Any
) -> None:
    match = compile_globs(globs).match
    queries = RNG.normal(size=(20, 4)).astype(np.float32)
    found = store.search(queries, k=7, source=globs, where=where)
    for query, hits in zip(queries, found, strict=True):
        wanted = expected(
            vectors,
            query,
            7,
            lambda i: match(source_of(i)) and (where is None or i % 2 == 0),
        )
        assert [hit["id"] for hit in hits] == wanted


def test_the_index_is_asked_again_until_enough_are_of_the_sources(
    store: StoreRoom, vectors: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The farthest from the query of all: those of one file lie where the index looks last.
    monkeypatch.setattr(nearest, "FEW", 0)
    query = -vectors[300]
    match = compile_globs(["/docs/part0/file60.md"]).match
    assert match(source_of(300))
    [hits] = store.search(query[None, :], k=5, source=["/docs/part0/file60.md"])
    assert [h["id"] for h in hits] == expected(vectors, query, 5, lambda i: match(source_of(i)))
    # Beyond so many it gives up, and all of them are compared.
    monkeypatch.setattr(nearest, "MOST", 8)
    [again] = store.search(query[None, :], k=5, source=["/docs/part0/file60.md"])
    assert again == hits


def test_nothing_matches(store: StoreRoom, vectors: Any) -> None:
    assert store.search(vectors[:2], source=["/docs/part9/**"]) == [[], []]
    assert store.search(vectors[:1], since=0.0) == [[]]


@pytest.mark.parametrize(
    "bad", [{"source": []}, {"source": "x"}, {"source": [7]}, {"since": "7d"}, {"since": True}]
)
def test_what_is_no_narrowing_is_refused(store: StoreRoom, vectors: Any, bad: Any) -> None:
    with pytest.raises(InvalidInput):
        store.search(vectors[:1], **bad)


def test_since_leaves_the_documents_that_were_stored_then_or_later(
    store: StoreRoom, vectors: Any
) -> None:
    before = store.call("sources", {"collection": "notes", "limit": 1}).body["sources"]
    assert before[0][2] is None
    ids = [f"id{i:04}" for i in range(10, 15)]
    body = {"collection": "notes", "source": source_of(10), "content_hash": "h", "ids": ids}
    store.call("replace_document", body | {"number": store.next_number()})
    [listed] = store.call("sources", {"collection": "notes", "source": [source_of(10)]}).body[
        "sources"
    ]
    assert listed[0] == source_of(10)
    assert listed[1] == 5
    assert listed[3] is True
    stored = listed[2]
    assert {h["id"] for h in store.search(vectors[:1], k=50, since=stored)[0]} == set(ids)
    assert store.search(vectors[:1], since=stored + 1) == [[]]
    assert store.search(vectors[:1], since=stored, source=["/docs/part0/**"]) == [[]]


def test_sources_are_listed_in_pages_that_miss_none(store: StoreRoom) -> None:
    every = sorted({source_of(i) for i in range(FILES * EACH)})
    read: list[str] = []
    after: Any = None
    pages = 0
    while True:
        body = {"collection": "notes", "limit": 7, "after": after}
        page = store.call("sources", body).body
        read += [each[0] for each in page["sources"]]
        pages += 1
        after = page["after"]
        if after is None:
            break
    assert read == every
    assert pages == FILES // 7 + 1


def test_a_page_looks_at_so_many_sources_and_no_more(
    store: StoreRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    from store_worker import calls_sources

    monkeypatch.setattr(calls_sources, "LOOKED", 10)
    page = store.call("sources", {"collection": "notes", "source": ["**/file119.md"]}).body
    assert page["sources"] == []
    assert page["after"] is not None


def test_a_chunk_is_shown_by_the_beginning_of_its_id_with_its_neighbours(store: StoreRoom) -> None:
    def show(id: str, context: int = 0) -> Any:
        return store.call("show", {"collection": "notes", "id": id, "context": context}).body

    shown = show("id0012", 2)
    assert shown["chunk"]["text"] == "text 12"
    assert [c["id"] for c in shown["before"]] == ["id0010", "id0011"]
    assert [c["id"] for c in shown["after"]] == ["id0013", "id0014"]
    assert show("nowh", 3)["chunk"]["id"] == "nowhere"
    assert show("nowh", 3)["before"] == show("nowh", 3)["after"] == []
    several = show("id00")
    assert "chunk" not in several
    assert several["ids"] == [f"id{i:04}" for i in range(10)]
    assert several["more"]
    assert show("zzz") == {"ids": [], "more": False}


def test_a_filter_of_fifty_thousand_names_ends(store: StoreRoom, vectors: Any) -> None:
    # Chroma refuses so many; one by one against each chunk the ledger would be at it for minutes.
    names = [f"/docs/none/file{i}.md" for i in range(50_000)]
    where = {"source": {"$in": [*names, source_of(0)]}}
    [hits] = store.search(vectors[:1], k=EACH, where=where)
    assert {hit["id"] for hit in hits} == {f"id{i:04}" for i in range(EACH)}
    [others] = store.search(vectors[:1], k=EACH, where={"source": {"$nin": names}})
    assert len(others) == EACH
