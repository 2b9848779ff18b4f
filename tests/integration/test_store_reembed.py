"""The next generation of a collection in one store: unseen until it has everything, then it alone.

What the client does between begin and finish is done here by hand, step by step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from store_worker import calls_reembed, passes
from tests.integration.store_double import StoreRoom, model
from thoth_core.errors import (
    CollectionNotFound,
    Conflict,
    InvalidInput,
    ModelMismatch,
    Overloaded,
)

OLD, NEW = model("fake/4", 4), model("fake/6", 6)
RNG = np.random.default_rng(44)
IDS = [f"id{i}" for i in range(30)]
TEXTS = [f"text {i}" for i in range(30)]
METADATAS: list[dict[str, Any] | None] = [
    {"source": f"f{i % 3}", "n": i} if i % 5 else None for i in range(30)
]


def rows(n: int, dimension: int) -> np.ndarray:
    return RNG.normal(size=(n, dimension)).astype(np.float32)


VECTORS = rows(30, 4)


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "data", tmp_path / "run"


@pytest.fixture
def store(places: tuple[Path, Path]) -> Iterator[StoreRoom]:
    with StoreRoom(*places) as room:
        fill(room)
        yield room


def fill(store: StoreRoom) -> None:
    store.upsert(IDS, VECTORS, model=OLD, texts=TEXTS, metadatas=METADATAS)


def begin(store: StoreRoom, name: str = "notes", new: Mapping[str, Any] = NEW) -> Mapping[str, Any]:
    body = {"collection": name, "number": store.next_number(), "model": new}
    return store.call("begin_reembed", body).body


def page(store: StoreRoom, after: int | None, name: str = "notes") -> Mapping[str, Any]:
    body: dict[str, Any] = {"collection": name}
    return store.call("reembed_page", body if after is None else body | {"after": after}).body


def add(store: StoreRoom, generation: str, lacking: Mapping[str, Any]) -> None:
    """As dispatch does it: ask, then send the vectors of what is missing."""
    columns = [lacking[name] for name in ("ids", "texts", "metadatas")]
    number = store.next_number()
    ids, texts, metadatas = columns
    had = store.have(ids, texts, generation, number, metadatas=metadatas, model=NEW)
    ids, texts, metadatas = ([column[i] for i in had["missing"]] for column in columns)
    if ids:
        store.upsert(
            ids,
            rows(len(ids), 6),
            generation,
            number,
            model=NEW,
            texts=texts,
            metadatas=metadatas,
        )


def finish(store: StoreRoom, **more: Any) -> dict[str, Any]:
    body = {"collection": "notes", "number": store.next_number(), **more}
    return dict(store.call("finish_reembed", body).body)


def catch_up(store: StoreRoom, generation: str) -> None:
    """Until every chunk of the collection is in the generation."""
    after, end = 0, False
    while not end:
        told = page(store, after)
        if told["ids"]:
            add(store, generation, told)
        after, end = told["after"], told["end"]
    while (told := page(store, None))["ids"]:
        add(store, generation, told)
    assert told["whole"]


def content(store: StoreRoom) -> list[tuple[Any, ...]]:
    body = store.get().body
    return list(zip(body["ids"], body["texts"], body["metadatas"], strict=True))


def names(store: StoreRoom) -> list[str]:
    return [each["name"] for each in store.call("collections", {}).body["collections"]]


def test_the_old_one_serves_until_all_is_there_and_then_the_new_one_does_everywhere(store):
    before = content(store)
    store.healthy()
    generation = begin(store)["generation"]
    add(store, generation, page(store, 0))
    assert content(store) == before
    assert names(store) == ["notes"]
    [told] = store.call("stats", {}).body["collections"]
    assert (told["chunks"], told["reembed"]) == (30, {"model": NEW, "chunks": 30})
    nearest = store.search(VECTORS[3:4], k=1)[0][0]
    assert nearest["id"] == "id3" and nearest["score"] == pytest.approx(1)
    catch_up(store, generation)
    assert store.channel.vitals["chunks"] == 30
    done = finish(store)
    assert done == {"finished": True, "missing": [], "chunks": 30, "removed": 0}
    assert store.channel.vitals["chunks"] == 30
    assert content(store) == before
    assert names(store) == ["notes"]
    [told] = store.call("collections", {}).body["collections"]
    assert (told["model"], told["dimension"], told["count"]) == (NEW, 6, 30)
    stored = store.get(include=["vectors"]).vectors
    # By scan now, by the index when it has followed.
    assert [hit["id"] for hit in store.search(stored[7:8], k=1)[0]] == ["id7"]
    store.healthy()
    assert [hit["id"] for hit in store.search(stored[7:8], k=1)[0]] == ["id7"]
    report = store.call("verify", {}).body
    assert (report["findings"], report["differing"], report["rows"]) == ([], 0, 30)


def test_a_stock_client_finds_the_new_generation_under_the_name_and_nothing_else(places):
    with StoreRoom(*places) as store:
        fill(store)
        store.healthy()
        generation = begin(store)["generation"]
        catch_up(store, generation)
        finish(store)
        store.healthy()
        stored = store.get(include=["vectors"]).vectors
        store.stop("drain")
    import chromadb

    client = chromadb.PersistentClient(str(places[0] / "chroma"))
    [collection] = client.list_collections()
    assert (collection.name, collection.count()) == ("notes", 30)
    found = collection.query(query_embeddings=stored[9:10], n_results=1)
    assert found["ids"] == [["id9"]]
    client.close()


def test_it_is_not_finished_before_it_has_what_was_written_meanwhile(store):
    generation = begin(store)["generation"]
    assert finish(store) == {"finished": False, "missing": []}
    catch_up(store, generation)
    # Rows of the caller's own, of the old model's dimension.
    store.upsert(["id1", "late"], rows(2, 4), texts=["other words", "new words"])
    store.delete(ids=["id2"])
    missing = finish(store)
    assert missing["finished"] is False
    assert sorted(missing["missing"]) == ["id1", "late"]
    assert store.get(ids=["id1"]).body["texts"] == ["other words"]
    catch_up(store, generation)
    done = finish(store)
    assert (done["finished"], done["chunks"], done["removed"]) == (True, 30, 1)
    assert store.get(ids=["id1", "late", "id2"]).body["texts"] == ["other words", "new words"]


def test_changed_metadata_alone_is_a_change(store):
    generation = begin(store)["generation"]
    catch_up(store, generation)
    store.upsert(["id1"], rows(1, 4), texts=["text 1"], metadatas=[{"n": -1}])
    assert finish(store)["missing"] == ["id1"]
    catch_up(store, generation)
    assert finish(store)["finished"]
    assert store.get(ids=["id1"]).body["metadatas"] == [{"n": -1}]


def test_what_was_deleted_while_no_store_knew_of_a_pass_is_not_brought_back(places):
    with StoreRoom(*places) as store:
        fill(store)
        generation = begin(store)["generation"]
        catch_up(store, generation)
    with StoreRoom(*places, incarnation="two") as store:
        store.number = 1000
        store.delete(ids=["id4", "id5"])
        store.healthy()
    with StoreRoom(*places, incarnation="three") as store:
        store.number = 2000
        assert begin(store) == {"generation": generation, "chunks": 28, "stored": 30}
        # It was compared by a store that has ended.
        assert finish(store) == {"finished": False, "missing": []}
        assert page(store, None)["whole"] is False
        told = page(store, 0)
        assert (told["ids"], told["end"]) == ([], True)
        done = finish(store)
        assert (done["finished"], done["chunks"], done["removed"]) == (True, 28, 2)
        assert len(content(store)) == 28


def test_a_page_that_does_not_follow_the_last_one_leaves_the_comparison_open(store):
    begin(store)
    told = page(store, 10_000)
    assert (told["ids"], told["end"], told["whole"]) == ([], True, False)
    assert page(store, None)["whole"] is False


def test_pages_are_bounded_in_rows_and_bytes_and_together_have_everything(
    store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passes, "COMPARED_ROWS", 7)
    monkeypatch.setattr(passes, "COMPARED_AGAIN", 3)
    monkeypatch.setattr(calls_reembed, "PAGE_ROWS", 4)
    monkeypatch.setattr(calls_reembed, "PAGE_BYTES", 60)
    generation = begin(store)["generation"]
    catch_up(store, generation)
    assert finish(store)["finished"]
    assert len(content(store)) == 30


def test_documents_go_along_and_so_do_deletes(store):
    whole = [id for id, each in zip(IDS, METADATAS, strict=True) if each and each["source"] == "f1"]
    record = {"collection": "notes", "source": "f1", "content_hash": "h", "ids": whole}
    store.call("replace_document", record | {"number": store.next_number()})
    old_write = store.next_number()
    store.delete(ids=["id2"])
    generation = begin(store)["generation"]
    catch_up(store, generation)
    finish(store)
    recorded = {"f1": {"content_hash": "h", "chunks": len(whole)}}
    assert store.call("documents", {"collection": "notes"}).body == {"documents": recorded}
    # Accepted before the delete, and late.
    done = store.upsert(["id2"], rows(1, 6), number=old_write, model=NEW, texts=["text 2"])
    assert done["superseded"] == [0]
    assert store.get(ids=["id2"]).body["ids"] == []


def test_the_space_of_a_collection_is_that_of_its_next_generation(store):
    body = {
        "collection": "far",
        "ids": ["a", "b"],
        "texts": ["one", "two"],
        "computed": False,
        "model": None,
        "space": "l2",
        "number": store.next_number(),
    }
    store.call("restore", body, rows(2, 4))
    generation = begin(store, "far")["generation"]
    told = page(store, 0, "far")
    add(store, generation, told)
    assert page(store, None, "far")["ids"] == []
    body = {"collection": "far", "number": store.next_number()}
    assert store.call("finish_reembed", body).body["finished"]
    stored = store.get("far", include=["vectors"]).vectors
    # Minus the squared distance.
    assert store.search(stored[:1], k=1, collection="far")[0][0]["score"] == 0


def test_a_collection_of_that_model_already_has_nothing_to_do(store):
    assert begin(store, new=OLD) == {"generation": None, "chunks": 30, "stored": 30}
    with pytest.raises(Conflict):
        page(store, 0)


def test_chunks_without_a_text_are_counted_and_refused_at_once(store):
    store.upsert(["x", "y"], rows(2, 4))
    problem = store.error(
        "begin_reembed", {"collection": "notes", "number": store.next_number(), "model": NEW}
    )
    assert isinstance(problem, InvalidInput)
    assert problem.message.startswith("2 of 32 chunks")
    assert (problem.details["without_text"], problem.details["ids"]) == (2, ["x", "y"])
    store.delete(ids=["x", "y"])
    assert begin(store)["generation"]


def test_what_was_begun_goes_on_and_what_was_begun_for_another_model_is_given_up(store):
    first = begin(store)["generation"]
    add(store, first, page(store, 0))
    assert begin(store) == {"generation": first, "chunks": 30, "stored": 30}
    second = begin(store, new=model("fake/8", 8))
    assert (second["generation"] != first, second["stored"]) == (True, 0)
    assert len(content(store)) == 30


def test_it_can_be_given_up_and_leaves_nothing(store):
    body = {"collection": "notes"}
    generation = begin(store)["generation"]
    add(store, generation, page(store, 0))
    abort = body | {"number": store.next_number()}
    assert store.call("abort_reembed", abort).body == {"aborted": True}
    assert store.call("abort_reembed", abort | {"number": store.next_number()}).body == {
        "aborted": False
    }
    with pytest.raises(Conflict):
        page(store, 0)
    assert len(content(store)) == 30
    swept(store)


def swept(store: StoreRoom) -> None:
    """The store deletes what is gone between its calls."""
    for _ in range(1000):
        told = store.call("stats", {}).body
        if told["chunks"] == sum(each["chunks"] for each in told["collections"]):
            return
    raise AssertionError(told)


def test_the_rows_of_the_old_one_are_deleted_by_and_by(store):
    generation = begin(store)["generation"]
    catch_up(store, generation)
    finish(store)
    swept(store)
    assert store.call("stats", {}).body["chunks"] == 30
    assert len(content(store)) == 30


def test_what_comes_late_for_a_generation_that_is_finished_changes_nothing(store):
    generation = begin(store)["generation"]
    early = store.next_number()
    catch_up(store, generation)
    finish(store)
    store.delete(ids=["id3"])
    done = store.upsert(["id3"], rows(1, 6), generation, early, model=NEW, texts=["text 3"])
    assert done["superseded"] == [0]
    with pytest.raises(InvalidInput, match="not for a collection of yours"):
        store.upsert(["id3"], rows(1, 6), generation, model=NEW, texts=["text 3"])
    assert store.get(ids=["id3"]).body["ids"] == []
    assert names(store) == ["notes"]


def test_users_cannot_take_the_names_of_generations(store):
    generation = begin(store)["generation"]
    number = store.next_number
    taken = {"collection": "thoth-reembed-mine", "number": number(), "model": None}
    assert isinstance(store.error("create_collection", taken), InvalidInput)
    renamed = {"collection": "notes", "to": "thoth-reembed-mine", "number": number()}
    assert isinstance(store.error("rename_collection", renamed), InvalidInput)
    out = {"collection": generation, "to": "mine", "number": number()}
    assert isinstance(store.error("rename_collection", out), InvalidInput)
    again = {"collection": generation, "number": number(), "model": NEW}
    assert isinstance(store.error("begin_reembed", again), InvalidInput)


def test_a_collection_that_is_deleted_takes_its_next_generation_along(store):
    generation = begin(store)["generation"]
    add(store, generation, page(store, 0))
    drop = {"collection": "notes", "number": store.next_number()}
    assert store.call("delete_collection", drop).body == {"deleted": True}
    for name in ("notes", generation):
        assert isinstance(store.error("count", {"collection": name}), CollectionNotFound)
    swept(store)
    assert store.call("stats", {}).body["chunks"] == 0


def test_a_collection_that_is_renamed_keeps_its_next_generation(store):
    generation = begin(store)["generation"]
    number = store.next_number()
    store.call("rename_collection", {"collection": "notes", "to": "papers", "number": number})
    add(store, generation, page(store, 0, "papers"))
    assert page(store, None, "papers")["ids"] == []
    finish = {"collection": "papers", "number": store.next_number()}
    assert store.call("finish_reembed", finish).body["finished"]
    # A write to the first name, accepted before the rename, is for what has its place now.
    done = store.upsert(["z"], rows(1, 6), number=number - 1, model=NEW, texts=["z"])
    assert done["written"] == 1
    assert names(store) == ["papers"]
    assert store.get("papers", ids=["z"]).body["ids"] == ["z"]


def test_another_ones_text_of_the_same_model_is_not_embedded_again(store):
    store.upsert(["t"], rows(1, 6), "other", model=NEW, texts=["text 5"])
    generation = begin(store)["generation"]
    told = page(store, 0)
    had = store.have(told["ids"], told["texts"], generation, model=NEW)
    assert [told["ids"][i] for i in had["reused"]] == ["id5"]


def test_a_collection_that_never_stands_still_is_kept_still_for_a_moment(
    store, monkeypatch: pytest.MonkeyPatch
) -> None:
    generation = begin(store)["generation"]
    catch_up(store, generation)
    store.upsert(["id1"], rows(1, 4), texts=["other words"])
    assert finish(store, hold=True)["missing"] == ["id1"]
    body = {"collection": "notes", "ids": ["q"], "texts": ["q"], "number": store.next_number()}
    assert isinstance(store.error("upsert", body, rows(1, 4)), Overloaded)
    assert isinstance(store.error("delete", body), Overloaded)
    # Others, and who reads, are not kept waiting.
    store.upsert(["q"], rows(1, 4), "other")
    assert len(content(store)) == 30
    catch_up(store, generation)
    assert finish(store, hold=True)["finished"]
    # It is another collection now, of another model.
    store.upsert(["q"], rows(1, 6), texts=["q"])


def test_a_mismatch_names_both_models_and_the_command_that_embeds_anew(store):
    body = {"collection": "notes", "ids": ["b"], "texts": ["x"], "number": store.next_number()}
    problem = store.error("upsert", body | {"model": NEW}, rows(1, 6))
    assert isinstance(problem, ModelMismatch)
    assert "fake/4" in problem.message and "fake/6" in problem.message
    assert "thoth collections reembed notes --model fake/6" in problem.fix


def test_an_export_has_one_generation(store):
    generation = begin(store)["generation"]
    add(store, generation, page(store, 0))
    told = store.call("snapshot_open", {"snapshot": "s"}).body["collections"]
    assert [(each["name"], each["chunks"]) for each in told] == [("notes", 30)]
