"""What a store says of its size, and how it gives room back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.integration.store_double import StoreRoom, model

RNG = np.random.default_rng(33)


def rows(n: int, dimension: int = 4) -> np.ndarray:
    return RNG.normal(size=(n, dimension)).astype(np.float32)


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "data", tmp_path / "run"


@pytest.fixture
def store(places: tuple[Path, Path]) -> Iterator[StoreRoom]:
    with StoreRoom(*places, settings={"faults": True}) as room:
        yield room


def stats(store: StoreRoom, **body: Any) -> dict[str, Any]:
    return dict(store.call("stats", body).body)


def test_an_empty_store_has_no_bytes_a_chunk(store):
    told = stats(store)
    assert (told["chunks"], told["vectors"]) == (0, 0)
    assert (told["ledger_bytes_per_chunk"], told["index_bytes_per_chunk"]) == (None, None)


def test_the_whole_store_is_told_whichever_collection_is_asked_for(store):
    store.upsert(["a", "b"], rows(2))
    store.upsert(["a", "b", "c"], rows(3, 8), collection="papers")
    store.healthy()
    told = stats(store, collection="papers")
    assert [each["name"] for each in told["collections"]] == ["papers"]
    assert told["collections"][0]["chunks"] == 3
    assert (told["chunks"], told["vectors"]) == (5, 5)
    for name in ("ledger", "index"):
        assert told[f"{name}_bytes_per_chunk"] == round(told[f"{name}_bytes"] / 5)
    everything = stats(store)
    assert [each["name"] for each in everything["collections"]] == ["notes", "papers"]
    assert everything["chunks"] == 5


def test_what_is_staged_counts_as_staged_and_its_vectors_as_vectors(store):
    store.upsert(["a"], rows(1), model=model(), texts=["one"], metadatas=[{"source": "f"}])
    stage = store.call("begin_ingest", {"collection": "notes", "number": store.next_number()})
    at = {"stage": stage.body["stage"]}
    source = {"source": "f"}
    # The one is there already, and stands for itself without a vector.
    had = store.have(["a", "b"], ["one", "two"], metadatas=[source, source], **at)
    assert (had["unchanged"], had["missing"]) == ([0], [1])
    store.upsert(["b"], rows(1), model=model(), texts=["two"], metadatas=[source], **at)
    told = stats(store)
    assert (told["chunks"], told["staged"], told["vectors"]) == (1, 2, 2)
    assert told["collections"][0]["staged"] == 2


def test_rows_that_no_index_takes_are_counted(store):
    store.upsert(["a", "b"], rows(2), texts=["fine", "this one says !index-abort"])
    store.healthy(90)
    told = stats(store)
    assert (told["unindexed"], told["collections"][0]["unindexed"]) == (1, 1)
