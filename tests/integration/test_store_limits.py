"""Figures beyond what SQLite, under the ledger or under Chroma, can take."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.integration.store_double import StoreRoom
from thoth_core.errors import InvalidInput


@pytest.fixture
def store(tmp_path: Path):
    with StoreRoom(tmp_path / "data", tmp_path / "run") as room:
        room.upsert(["a"], np.ones((1, 4), np.float32), metadatas=[{"n": 1}])
        yield room


def test_a_filter_of_more_values_than_sqlite_binds_is_answered_from_the_ledger(store):
    store.healthy()
    where = {"n": {"$in": list(range(40_000))}}
    assert store.get(where=where).body["ids"] == ["a"]
    vector = np.ones((1, 4), np.float32)
    assert [hit["id"] for hit in store.search(vector, where=where)[0]] == ["a"]
    assert store.get(where={"n": {"$in": list(range(2, 40_000))}}).body["ids"] == []


@pytest.mark.parametrize("name", ["limit", "offset"])
def test_a_limit_beyond_64_bits_is_invalid_input(store, name):
    problem = store.error("get", {"collection": "notes", name: 2**63})
    assert isinstance(problem, InvalidInput)
    assert store.get(**{name: 2**63 - 1}).body["ids"] in (["a"], [])
