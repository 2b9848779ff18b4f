"""The power fails at any moment: what was acknowledged is in the ledger, which is whole.

A store runs over a SQLite that notes its writes and syncs. From that, disks are made up as they may
be found afterwards, and the ledger on each is opened by the same code as ever. That the checks
can fail is shown by two mutants: one that does not wait for the disk, one that answers too soon.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from store_worker import ledger as ledger_module
from tests.integration.power_run import LEDGER, Run, lay_out, moments, opened, record
from tests.integration.store_double import StoreRoom
from tests.support.crash_images import Create, Delete, Sync, Truncate, Write, images
from tests.support.recording_vfs import reachable
from thoth_core.errors import LedgerDamaged

pytestmark = pytest.mark.skipif(not reachable(), reason="this Python's SQLite cannot be reached")

CALLS, IMAGES, WHOLE_STORES = 60, 400, 2
SEED = 1


def problems(run: Run, folder: Path, seed: int, count: int) -> Iterator[str]:
    """What is wrong with ``count`` images of ``run``; each problem with its moment."""
    choose = random.Random(seed)
    for moment, image in images(run.events, moments(run, choose, count), choose):
        try:
            with opened(image, folder) as ledger:
                for problem in run.missing(ledger, moment):
                    yield f"moment {moment} of {len(run.events)}: {problem}"
        except (LedgerDamaged, sqlite3.DatabaseError) as problem:
            yield f"moment {moment} of {len(run.events)}: malformed: {problem}"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of the store as it is."""
    folder = tmp_path_factory.mktemp("recorded")
    return record(folder / "data", folder / "run", SEED, CALLS)


def test_whatever_reached_the_disk_what_was_acknowledged_is_there(tmp_path, recorded):
    # What was recorded is what the run was meant to be: each kind of event, and the log copied
    # into the ledger along the way.
    kinds = {type(event) for event in recorded.events}
    assert kinds == {Create, Delete, Sync, Truncate, Write}
    syncs = [event.name for event in recorded.events if isinstance(event, Sync)]
    assert syncs.count(LEDGER) > 5
    done = {recorded.calls[n].kind for n in recorded.outcomes}
    assert done == {
        "upsert",
        "delete",
        "rename_collection",
        "delete_collection",
        "begin_ingest",
        "replace_document",
    }
    assert list(problems(recorded, tmp_path / "image", SEED, IMAGES)) == []


def test_the_whole_store_opens_on_such_a_disk_and_finds_everything(tmp_path, recorded):
    run, choose = recorded, random.Random(SEED)
    after = sorted(choose.sample(sorted(run.acknowledged.values()), WHOLE_STORES))
    for i, (moment, image) in enumerate(images(run.events, after, choose)):
        folder = tmp_path / f"store-{i}"
        lay_out(image, folder)
        least = max(n for n, at in run.acknowledged.items() if at <= moment) + 1
        later = max(n for n, at in run.sent.items() if at <= moment) + 2
        with StoreRoom(folder, tmp_path / "run", service="next", incarnation="next") as store:
            names = [each["name"] for each in store.call("collections", {}).body["collections"]]
            found = {}
            for name in names:
                got = store.get(name, include=["vectors"])
                assert got.vectors is not None
                ids, texts, metadatas = (got.body[key] for key in ("ids", "texts", "metadatas"))
                packed = [vector.tobytes() for vector in got.vectors]
                found[name] = dict(
                    zip(ids, zip(texts, metadatas, packed, strict=True), strict=True)
                )
                for id, vector in zip(ids, got.vectors, strict=True):
                    hits = store.search(np.array([vector]), k=len(ids), collection=name)[0]
                    assert hits[0]["score"] == pytest.approx(1)
                    assert id in {hit["id"] for hit in hits}
        assert found in run.states[least:later]


@pytest.mark.parametrize("level", ["OFF", "NORMAL"])
def test_a_ledger_that_does_not_wait_for_the_disk_is_found_out(tmp_path, monkeypatch, level):
    configure = ledger_module._configure

    def careless(db: sqlite3.Connection, path: Path) -> None:
        configure(db, path)
        db.execute(f"PRAGMA synchronous = {level}")

    with monkeypatch.context() as patch:
        patch.setattr(ledger_module, "_configure", careless)
        run = record(tmp_path / "data", tmp_path / "run", SEED, CALLS)
    found = list(problems(run, tmp_path / "image", SEED, 60))
    assert any("lost:" in each for each in found), found
    assert any("forgotten:" in each for each in found), found


def test_an_acknowledgement_before_the_commit_is_found_out(tmp_path):
    run = record(tmp_path / "data", tmp_path / "run", SEED, CALLS, early=True)
    found = list(problems(run, tmp_path / "image", SEED, 60))
    assert any("lost:" in each for each in found), found
    # The ledger itself is well, it only was not asked in time.
    assert not any("malformed" in each or "mixed" in each for each in found), found
