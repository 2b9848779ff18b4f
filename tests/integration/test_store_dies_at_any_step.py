"""The process ends between any two steps of a write; ledger and index then agree with a model."""

from __future__ import annotations

import contextlib
import copy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.integration.dying_store import DIED, REFUSALS, Model, apply, plan
from tests.integration.store_double import StoreRoom

ROOT = Path(__file__).parents[2]
SEED = 3


def state(store: StoreRoom) -> Model:
    model: Model = {}
    for each in store.call("collections", {}).body["collections"]:
        found = store.get(each["name"], include=["vectors"])
        body, vectors = found.body, found.vectors
        assert vectors is not None
        model[each["name"]] = {
            id: (body["texts"][i], body["metadatas"][i], vectors[i].tobytes())
            for i, id in enumerate(body["ids"])
        }
    return model


def check_index(store: StoreRoom, model: Model) -> None:
    for name, chunks in model.items():
        for _, _, vector in chunks.values():
            query = np.frombuffer(vector, "<f4").reshape(1, -1)
            hits = store.search(query, k=9, collection=name)[0]
            assert hits[0]["score"] == pytest.approx(1)
            assert {hit["id"] for hit in hits} == set(chunks)
        for g in (0, 1):
            filtered = store.get(name, where={"g": g}).body["ids"]
            assert set(filtered) == {id for id, chunk in chunks.items() if chunk[1].get("g") == g}


@pytest.mark.parametrize("step", [3, 6, 9, 13, 17, 20, 24, 27, 31, 34, 38, 41])
def test_what_was_answered_is_there_and_the_call_under_way_is_there_wholly_or_not(tmp_path, step):
    folder = tmp_path / str(SEED)
    folder.mkdir()
    ended = subprocess.run(
        [sys.executable, "-m", "tests.integration.dying_store", str(folder), str(step)],
        cwd=ROOT,
        timeout=60,
        check=False,
    )
    assert ended.returncode == DIED
    calls = plan(SEED)
    answered = len((folder / "answered").read_text())
    assert answered < len(calls)
    model: Model = {}
    for call in calls[:answered]:
        apply(model, call)
    done = copy.deepcopy(model)
    apply(done, calls[answered])
    with StoreRoom(folder / "d", folder / "r", incarnation="two") as store:
        found = state(store)
        assert found in (model, done)
        check_index(store, found)
        # Sent again, as dispatch does, and then the rest.
        for kind, body, vectors in calls[answered:]:
            with contextlib.suppress(*REFUSALS):
                store.call(kind, body, vectors)
        for call in calls[answered:]:
            apply(model, call)
        assert state(store) == model
        check_index(store, model)
