"""Documents as the calls of an ingest make them: begin, stage, commit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.integration.store_double import StoreRoom, model
from thoth_core.errors import Conflict, InvalidInput, ModelMismatch, ProtocolError


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StoreRoom]:
    with StoreRoom(tmp_path / "d", tmp_path / "r") as room:
        yield room


def vectors(n: int, seed: int = 0) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(n, 4)).astype(np.float32)


def begin(store: StoreRoom) -> int:
    body = {"collection": "notes", "number": store.next_number(), "request": f"b{store.number}"}
    return int(store.call("begin_ingest", body).body["stage"])


def of(source: str, n: int) -> list[dict[str, Any]]:
    return [{"source": source, "ordinal": i} for i in range(n)]


def add(
    store: StoreRoom, stage: int, ids: Sequence[str], array: npt.NDArray[Any], source: str = "f"
) -> dict[str, Any]:
    """As an embed worker hands them over."""
    texts = [f"text {id}" for id in ids]
    done = store.upsert(
        ids, array, model=model(), texts=texts, metadatas=of(source, len(ids)), stage=stage
    )
    return dict(done)


def commit(store: StoreRoom, stage: int, ids: Sequence[str], **more: Any) -> dict[str, Any]:
    body = {"collection": "notes", "source": "f", "content_hash": "h", "ids": list(ids)}
    body |= {"stage": stage, "number": store.next_number()} | more
    return dict(store.call("replace_document", body).body)


def seen(store: StoreRoom, query: npt.NDArray[Any]) -> set[str]:
    return {hit["id"] for hit in store.search(query[:1], k=50)[0]}


def test_what_is_staged_is_in_no_answer_until_it_is_committed(store):
    old, new = vectors(3), vectors(2, seed=1)
    stage = begin(store)
    assert add(store, stage, ["a", "b", "c"], old)["written"] == 3
    assert seen(store, old) == set()
    commit(store, stage, ["a", "b", "c"])
    assert seen(store, old) == {"a", "b", "c"}

    stage = begin(store)
    add(store, stage, ["x", "y"], new)
    assert seen(store, new) == {"a", "b", "c"}
    assert store.get().body["ids"] == ["a", "b", "c"]
    assert store.get(where={"source": "f"}).body["ids"] == ["a", "b", "c"]
    assert store.get(ids=["x"]).body["ids"] == []
    assert store.delete(ids=["x"]) == 0
    assert store.call("count", {"collection": "notes"}).body == {"count": 3}
    [stats] = store.call("stats", {"collection": "notes"}).body["collections"]
    assert (stats["chunks"], stats["documents"]) == (3, 1)
    assert store.channel.vitals["chunks"] == 3
    with pytest.raises(Conflict):
        # It was deleted, and so it stays: x was not there, but its tombstone is newer.
        commit(store, stage, ["x", "y", "z"])
    assert commit(store, stage, ["x", "y"]) == {"removed": 3, "superseded": False}
    assert seen(store, new) == {"x", "y"}
    assert store.get(ids=["x"], include=["vectors"]).vectors.tobytes() == new[:1].tobytes()


def test_a_delete_between_stage_and_commit_is_older_than_the_document(store):
    stage = begin(store)
    add(store, stage, ["a"], vectors(1))
    store.upsert(["a"], vectors(1, seed=5), texts=["other"])
    assert store.delete(ids=["a"]) == 1
    commit(store, stage, ["a"])
    assert store.get().body["texts"] == ["text a"]


def test_a_begin_that_is_repeated_has_the_same_stage(store):
    number = store.next_number()
    body = {"collection": "notes", "number": number, "request": "r"}
    assert store.call("begin_ingest", body).body == {"stage": number}
    again = body | {"number": store.next_number()}
    assert store.call("begin_ingest", again).body == {"stage": number}
    # It is for documents to come, and makes no collection.
    assert store.call("collections", {}).body == {"collections": []}


def test_a_conflict_names_what_is_missing_and_what_to_do_and_changes_nothing(store):
    first = begin(store)
    add(store, first, ["a", "b"], vectors(2))
    commit(store, first, ["a", "b"])
    second = begin(store)
    add(store, second, ["c"], vectors(1, seed=3))
    with pytest.raises(Conflict, match="1 of 2 chunks") as caught:
        commit(store, second, ["c", "d"])
    assert caught.value.details["missing"] == ["d"]
    assert caught.value.details["source"] == "f"
    assert caught.value.fix.startswith("run the same ingest again")
    assert store.get().body["ids"] == ["a", "b"]
    assert store.call("documents", {"collection": "notes"}).body["documents"]["f"]["chunks"] == 2


def test_a_late_frame_of_a_stage_that_is_gone_is_superseded_and_makes_nothing(store):
    done = add(store, store.next_number(), ["a", "b"], vectors(2))
    assert done == {"written": 0, "unchanged": 0, "superseded": [0, 1]}
    assert store.call("collections", {}).body == {"collections": []}


def test_have_asks_for_what_neither_the_collection_nor_any_stage_has(store):
    first = begin(store)
    texts = ["text a", "text b"]
    asked = {"metadatas": of("f", 2), "stage": first}
    assert store.have(["a", "b"], texts, **asked)["missing"] == [0, 1]
    add(store, first, ["a", "b"], vectors(2))
    assert store.have(["a", "b"], texts, **asked)["unchanged"] == [0, 1]
    second = begin(store)
    assert store.have(["a", "b"], texts, **asked | {"stage": second})["reused"] == [0, 1]
    commit(store, second, ["a", "b"])
    assert store.get(include=["vectors"]).vectors.tobytes() == vectors(2).tobytes()
    # Another run that wants the same chunks stages nothing that has a vector.
    third = begin(store)
    assert store.have(["a", "b"], texts, **asked | {"stage": third})["unchanged"] == [0, 1]
    assert commit(store, third, ["a", "b"]) == {"removed": 0, "superseded": False}
    assert store.get(include=["vectors"]).vectors.tobytes() == vectors(2).tobytes()


def test_what_is_staged_outlives_the_store_and_is_given_up_after_an_hour(tmp_path, monkeypatch):
    with StoreRoom(tmp_path / "d", tmp_path / "r") as store:
        stage = begin(store)
        add(store, stage, ["a"], vectors(1))
        left = begin(store)
        add(store, left, ["b"], vectors(1), source="g")
        number = store.number
    with StoreRoom(tmp_path / "d", tmp_path / "r", incarnation="two") as store:
        store.number = number
        assert commit(store, stage, ["a"]) == {"removed": 0, "superseded": False}
        number = store.number
    import time

    real = time.time
    monkeypatch.setattr("store_worker.service.time.time", lambda: real() + 3601)
    with StoreRoom(tmp_path / "d", tmp_path / "r", incarnation="three") as store:
        store.number = number
        with pytest.raises(Conflict):
            commit(store, left, ["b"], source="g")
        assert store.get().body["ids"] == ["a"]


@pytest.mark.parametrize(
    "wrong",
    [{"metadatas": None}, {"metadatas": [{"page": 1}]}, {"metadatas": [{"source": 7}]}],
    ids=["none", "without source", "no name"],
)
def test_a_staged_chunk_without_its_document_is_refused_by_index(store, wrong):
    stage = begin(store)
    body = {"collection": "notes", "ids": ["a"], "hashes": ["h"], "number": store.next_number()}
    body |= {"model": model(), "stage": stage} | wrong
    problem = store.error("have", body)
    assert isinstance(problem, InvalidInput)
    assert problem.indices == [0]
    problem = store.error("upsert", body | {"texts": ["x"]}, vectors(1))
    assert isinstance(problem, InvalidInput)
    assert store.call("collections", {}).body == {"collections": []}


@pytest.mark.parametrize("stage", [0, -1, 1.5, True, "1", 2**62])
def test_a_stage_that_no_begin_gave_is_refused(store, stage):
    body = {"collection": "notes", "source": "f", "content_hash": "h", "ids": []}
    body |= {"number": store.next_number(), "stage": stage}
    assert isinstance(store.error("replace_document", body), InvalidInput)


def test_own_vectors_and_vectors_of_another_model_are_not_staged(store):
    stage = begin(store)
    add(store, stage, ["a"], vectors(1))
    body = {"collection": "notes", "ids": ["b"], "texts": ["x"], "metadatas": of("f", 1)}
    body |= {"stage": stage}
    own = body | {"number": store.next_number(), "model": None}
    assert isinstance(store.error("upsert", own, vectors(1)), InvalidInput)
    other = body | {"number": store.next_number(), "model": model("fake/other")}
    assert isinstance(store.error("upsert", other, vectors(1)), ModelMismatch)
    unnumbered = {"collection": "notes", "source": "f", "ids": [], "stage": stage}
    assert isinstance(store.error("replace_document", unnumbered), ProtocolError)


def test_a_document_larger_than_a_step_of_the_index_changes_from_one_moment_to_the_next(store):
    def put(version: int) -> None:
        stage = begin(store)
        ids = [f"{version}-{i}" for i in range(1200)]
        array = vectors(1200, seed=version)
        for at in range(0, 1200, 400):
            add(store, stage, ids[at : at + 400], array[at : at + 400])
        body = {"collection": "notes", "source": "f", "content_hash": "h", "ids": ids}
        body |= {"stage": stage, "number": store.next_number()}
        # The searches wait in the queue with it, and are answered whenever the store sees fit.
        posted = [store.post("replace_document", body)]
        query = vectors(1, seed=99)
        asked = {"collection": "notes", "k": 1200}
        posted += [store.post("search", asked, query) for _ in range(30)]
        for _ in posted:
            message = store.channel.sent.get(timeout=30)
            assert message.kind == "result", message.body
            if message.id != posted[0]:
                versions = {hit["id"].split("-")[0] for hit in message.body["hits"][0]}
                assert len(versions) <= 1
                counts.append((len(message.body["hits"][0]), *versions))

    counts: list[tuple[Any, ...]] = []
    put(1)
    put(2)
    assert {count[0] for count in counts} <= {0, 1200}
    assert seen(store, vectors(1, seed=99)) <= {f"2-{i}" for i in range(1200)}


def stored(store: StoreRoom, source: str, digest: str | None = "h", n: int = 1) -> list[str]:
    """A document with chunks that no other has; their ids."""
    stage, ids = begin(store), [f"{source}#{i}" for i in range(n)]
    add(store, stage, ids, vectors(n, seed=len(source)), source)
    commit(store, stage, ids, source=source, content_hash=digest)
    return ids


def below(store: StoreRoom, *paths: str, limit: int = 3) -> list[tuple[str, str | None]]:
    found: list[tuple[str, str | None]] = []
    at, after = 0, ""
    while True:
        body = {"collection": "notes", "below": list(paths), "at": at, "after": after}
        page = store.call("documents", body | {"limit": limit}).body
        assert len(page["below"]) <= limit
        found += [tuple(each) for each in page["below"]]
        if page["next"] is None:
            return found
        at, after = page["next"]


def test_documents_are_found_by_the_folder_that_they_are_below(store):
    names = ["/a", "/a/1", "/a/2", "/a/b/3", "/a/b/4", "/a.txt", "/ab/5", "/z", "mail/1"]
    for name in names:
        stored(store, name)
    stored(store, "/a/part", digest=None)
    expected = [(n, "h") for n in ["/a", "/a/1", "/a/2", "/a/b/3", "/a/b/4"]] + [("/a/part", None)]
    for limit in (1, 2, 3, 5, 6, 7, 100):
        assert below(store, "/a", limit=limit) == expected
        assert below(store, "/z", "/nothing", "/ab", "/a/b", limit=limit) == [
            *[(n, "h") for n in ("/z", "/ab/5", "/a/b/3", "/a/b/4")]
        ]
    assert [n for n, _ in below(store, "/")] == sorted([*names[:-1], "/a/part"])
    # One that is gone wholly is no document any more.
    commit(store, begin(store), [], source="/a/part", content_hash=None)
    assert below(store, "/a") == expected[:-1]


def test_a_document_takes_the_place_of_another_in_one_step(store):
    old = stored(store, "old", n=3)
    stage = begin(store)
    add(store, stage, ["n1", "n2"], vectors(2, seed=9), "new")
    done = commit(store, stage, ["n1", "n2"], source="new", instead_of="old")
    assert done["moved"] is True
    assert store.call("get", {"collection": "notes"}).body["ids"] == ["n1", "n2"]
    assert below(store, "old", "new") == [("new", "h")]
    assert not set(old) & seen(store, vectors(1))


@pytest.mark.parametrize("why", ["other content", "later run", "not there", "itself"])
def test_a_document_that_is_not_the_one_that_was_moved_stays(store, why):
    stage = begin(store)
    if why != "not there":
        stored(store, "old", digest="other" if why == "other content" else "h")
    if why != "later run":
        stage = begin(store)
    source = "old" if why == "itself" else "new"
    add(store, stage, ["n1"], vectors(1, seed=9), source)
    assert commit(store, stage, ["n1"], source=source, instead_of="old")["moved"] is False
    there = [source for source, _ in below(store, "old", "new")]
    assert there == {"not there": ["new"], "itself": ["old"]}.get(why, ["old", "new"])


def test_a_document_that_is_not_whole_can_be_found_after_restarts(tmp_path):
    for run in range(4):
        with StoreRoom(tmp_path / "d", tmp_path / f"r{run}", service=f"s{run}") as room:
            if run == 0:
                stored(room, "/f/part", digest=None)
                stored(room, "/f/gone")
                commit(room, begin(room), [], source="/f/gone", content_hash=None)
            assert below(room, "/f") == [("/f/part", None)]
