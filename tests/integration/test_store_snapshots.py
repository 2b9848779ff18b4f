"""An export's view of the ledger: of one moment, bounded, and in nobody's way."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from store_worker import snapshots as snapshots_module
from store_worker.calls_snapshot import PAGE_BYTES, PAGE_ROWS
from store_worker.snapshots import IDLE_SECONDS, MOST, Snapshots
from tests.integration.store_double import StoreRoom, model
from thoth_core.errors import CollectionNotFound, Conflict, InvalidInput, Overloaded, SnapshotLost

RNG = np.random.default_rng(3)


def rows(n: int) -> np.ndarray:
    return RNG.normal(size=(n, 4)).astype(np.float32)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StoreRoom]:
    with StoreRoom(tmp_path / "data", tmp_path / "run") as room:
        yield room
    assert room.ended is None


def page(store: StoreRoom, after: int = 0, collection: str = "notes", name: str = "s") -> Any:
    body = {"snapshot": name, "collection": collection, "after": after}
    return store.call("snapshot_page", body)


def test_a_snapshot_stays_as_it_was_while_everything_changes(store: StoreRoom) -> None:
    vectors = rows(4)
    store.upsert(
        ["a", "b", "c"],
        vectors[:3],
        texts=["ta", None, "tc"],
        metadatas=[{"n": 1, "source": "s"}, None, None],
    )
    store.upsert(["d"], vectors[3:], model=model(), texts=["td"])
    document = {"collection": "notes", "source": "s", "content_hash": "h", "ids": ["a"]}
    store.call("replace_document", document | {"number": store.next_number()})
    opened = store.call("snapshot_open", {"snapshot": "s"}).body["collections"]
    assert opened == [
        {
            "name": "notes",
            "model": model(),
            "dimension": 4,
            "space": "cosine",
            "chunks": 4,
            "documents": 1,
        }
    ]
    store.upsert(["e", "a"], rows(2), texts=["te", "other"])
    store.delete(ids=["b"])
    drop = {"collection": "notes", "number": store.next_number()}
    assert store.call("delete_collection", drop).body == {"deleted": True}

    found = page(store)
    assert found.body["ids"] == ["a", "b", "c", "d"]
    assert found.body["texts"] == ["ta", None, "tc", "td"]
    assert found.body["metadatas"] == ['{"n": 1, "source": "s"}', None, None, None]
    assert found.body["computed"] == [False, False, False, True]
    assert found.vectors is not None
    assert found.vectors.tobytes() == vectors.tobytes()
    assert page(store, found.body["after"]).body["ids"] == []
    documents = {"snapshot": "s", "collection": "notes"}
    assert store.call("snapshot_documents", documents).body["documents"] == [["s", "h", 1]]
    assert store.call("snapshot_documents", documents | {"after": "s"}).body["documents"] == []

    # A later one sees what is there now.
    assert store.call("snapshot_open", {"snapshot": "t"}).body["collections"] == []
    assert store.call("snapshot_close", {"snapshot": "s"}).body == {"closed": True}
    assert store.call("snapshot_close", {"snapshot": "s"}).body == {"closed": False}
    assert isinstance(store.error("snapshot_page", documents), SnapshotLost)


def test_pages_are_bounded_in_rows_and_in_bytes(store: StoreRoom) -> None:
    n = PAGE_ROWS + 1
    store.upsert([f"i{i}" for i in range(n)], rows(n), "many")
    store.upsert(["a", "b", "c"], rows(3), "long", texts=["x" * (PAGE_BYTES * 2), "y", "z"])
    store.call("snapshot_open", {"snapshot": "s"})
    first = page(store, collection="many")
    assert len(first.body["ids"]) == PAGE_ROWS
    assert page(store, first.body["after"], "many").body["ids"] == [f"i{PAGE_ROWS}"]
    alone = page(store, collection="long")
    assert alone.body["ids"] == ["a"]
    assert page(store, alone.body["after"], "long").body["ids"] == ["b", "c"]


def test_named_collections_alone_and_one_that_is_not_there(store: StoreRoom) -> None:
    for name in ("one", "two"):
        store.upsert(["a"], rows(1), name)
    body = {"snapshot": "s", "collections": ["two", "two"]}
    opened = store.call("snapshot_open", body).body["collections"]
    assert [each["name"] for each in opened] == ["two"]
    missing = store.error("snapshot_open", {"snapshot": "t", "collections": ["two", "three"]})
    assert isinstance(missing, CollectionNotFound)
    # It has left no place taken.
    assert isinstance(
        store.error("snapshot_page", {"snapshot": "t", "collection": "two"}), SnapshotLost
    )


def test_a_repeated_opening_takes_no_second_place_and_a_third_export_waits(
    store: StoreRoom,
) -> None:
    store.upsert(["a"], rows(1))
    for _ in range(3):
        store.call("snapshot_open", {"snapshot": "s0"})
    store.upsert(["b"], rows(1))
    assert page(store, name="s0").body["ids"] == ["a"]
    for place in range(1, MOST):
        store.call("snapshot_open", {"snapshot": f"s{place}"})
    refused = store.error("snapshot_open", {"snapshot": "more"})
    assert isinstance(refused, Overloaded)
    assert refused.retry_after > 0
    store.call("snapshot_close", {"snapshot": "s0"})
    store.call("snapshot_open", {"snapshot": "more"})
    assert page(store, name="more").body["ids"] == ["a", "b"]


def test_one_that_nobody_asks_ends_and_gives_its_place_back(store: StoreRoom) -> None:
    path = store.data_dir / "ledger.sqlite3"
    now = [0.0]
    kept = Snapshots(lambda: now[0])
    for place in range(MOST):
        kept.open(f"s{place}", path)
    now[0] = IDLE_SECONDS - 1
    kept.get("s0")
    now[0] = IDLE_SECONDS
    kept.open("new", path)
    with pytest.raises(SnapshotLost):
        kept.get("s1")
    kept.get("s0")
    kept.close_all()
    assert len(kept) == 0


def test_an_export_left_alone_lets_the_write_ahead_log_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as it reads, the log stays, and nobody waits for it."""
    monkeypatch.setattr("store_worker.service.QUIET_SECONDS", 0.05)
    with StoreRoom(tmp_path / "data", tmp_path / "run") as store:
        log = tmp_path / "data" / "ledger.sqlite3-wal"
        store.upsert(["a"], rows(1))
        store.call("snapshot_open", {"snapshot": "s"})
        store.upsert(["b"], rows(1), texts=["x" * 100_000])
        store._thread.join(0.3)
        began = time.monotonic()
        assert store.call("count", {"collection": "notes"}).body == {"count": 2}
        # Waiting for the reader would be SQLite's busy timeout, 5 seconds.
        assert time.monotonic() - began < 4.5
        assert log.stat().st_size > 100_000
        assert page(store).body["ids"] == ["a"]
        monkeypatch.setattr(snapshots_module, "IDLE_SECONDS", 0.0)
        end = time.monotonic() + 10
        while log.stat().st_size and time.monotonic() < end:
            store._thread.join(0.05)
        assert log.stat().st_size == 0
        lost = store.error("snapshot_page", {"snapshot": "s", "collection": "notes"})
        assert isinstance(lost, SnapshotLost)


def restore(store: StoreRoom, ids: list[str], vectors: Any, **more: Any) -> Any:
    body = {
        "collection": "part",
        "ids": ids,
        "computed": False,
        "model": None,
        "number": store.next_number(),
        **more,
    }
    return store.call("restore", body, vectors).body


def test_rows_come_back_as_they_were_and_find_their_name_last(store: StoreRoom) -> None:
    vectors = rows(4)
    restore(
        store, ["a", "b"], vectors[:2], model=model(), computed=True, texts=["x", None], after=""
    )
    more = {"model": model(), "texts": ["y"], "metadatas": [{"source": "s"}], "after": "b"}
    assert restore(store, ["c"], vectors[2:3], **more) == {
        "written": 1,
        "unchanged": 0,
        "superseded": [],
    }
    documents = {"collection": "part", "documents": [["s", "h", 1]]}
    store.call("restore_documents", documents | {"number": store.next_number()})
    finish = {"collection": "part", "to": "notes", "chunks": 3, "documents": 1}
    number = {"number": store.next_number()}
    wrong = store.error("restore_finish", {"collections": [finish | {"chunks": 4}]} | number)
    assert isinstance(wrong, Conflict)
    assert isinstance(store.error("count", {"collection": "notes"}), CollectionNotFound)
    number = {"number": store.next_number()}
    assert store.call("restore_finish", {"collections": [finish]} | number).body == {"finished": 1}
    store.call("snapshot_open", {"snapshot": "s"})
    found = page(store)
    assert found.body["ids"] == ["a", "b", "c"]
    assert found.body["computed"] == [True, True, False]
    assert found.vectors.tobytes() == vectors[:3].tobytes()
    assert store.search(vectors[:1], k=1)[0][0]["id"] == "a"
    # A computed vector serves an equal text again, the caller's own does not.
    had = store.have(["n1", "n2"], ["x", "y"])
    assert (had["reused"], had["missing"]) == ([0], [1])
    asked = {"collection": "notes", "sources": ["s"]}
    assert store.call("documents", asked).body["documents"]["s"]["content_hash"] == "h"


def test_rows_out_of_order_are_refused_and_change_nothing(store: StoreRoom) -> None:
    restore(store, ["a"], rows(1), after="")
    for after in ("", "b"):
        body = {"collection": "part", "ids": ["z"], "computed": False, "model": None}
        body |= {"after": after, "number": store.next_number()}
        assert isinstance(store.error("restore", body, rows(1)), Conflict)
    assert store.get("part").body["ids"] == ["a"]


def test_an_empty_collection_keeps_its_model_its_dimension_and_its_space(store: StoreRoom) -> None:
    nothing = np.zeros((0, 4), np.float32)
    restore(store, [], nothing, collection="modelled", model=model(), space="l2")
    restore(store, [], nothing, collection="own", space="ip")
    restore(store, [], np.zeros((0, 0), np.float32), collection="bare")
    found = store.call("snapshot_open", {"snapshot": "s"}).body["collections"]
    told = {each["name"]: (each["model"], each["dimension"], each["space"]) for each in found}
    assert told == {
        "bare": (None, None, "cosine"),
        "modelled": (model(), 4, "l2"),
        "own": (None, 4, "ip"),
    }
    body = {"collection": "own", "ids": ["a"], "computed": False, "model": None, "space": "l2"}
    other = store.error("restore", body | {"number": store.next_number()}, rows(1))
    assert isinstance(other, InvalidInput)
    assert "ip" in other.message
