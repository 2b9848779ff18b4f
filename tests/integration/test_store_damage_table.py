"""Whatever is damaged in the index, it heals, and nobody who searches is kept waiting for it.

A store is built once. For each row of the table a copy of it is damaged; the store opens, answers
all along as the healthy one did, and has a good index again, with nothing but its ledger to make it
from. By default one damage of each file is done to a store of 1,000 chunks. ``make damage-table``
does each of all to a store of 5,000 whose index is all in its files and to one with rows that only
Chroma's log has, and shows that a stock Chroma client fails on a copy or misses chunks.
"""

from __future__ import annotations

import os
import resource
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest

from tests.integration.store_double import StoreRoom, model
from tests.support import healthy_store
from tests.support.damage import DAMAGES, OF_EACH_FILE, RAN, SILENT
from tests.support.healthy_store import COLLECTION, DIMENSION, PENDING, Content, K

FULL = bool(os.environ.get("THOTH_DAMAGE_TABLE"))
ROWS = 5000 if FULL else 1000
#: Seconds between two searches, that may pass without an answer, and until all is well again.
EVERY, GAP, HEALED = 0.05, 2.0, 60.0
#: Seconds that searches go on when all is well again.
LONGER = 1.0 if FULL else 0.25

FLUSHED, WITH_PENDING = "all in its files", "rows in the log"
SHORT = dict(zip(OF_EACH_FILE, cycle((FLUSHED, WITH_PENDING)), strict=False))
TABLE = [
    pytest.param(damage, variant, id=f"{damage}, {variant}")
    for damage in DAMAGES
    for variant in (FLUSHED, WITH_PENDING)
    if FULL or SHORT.get(damage) == variant
]


@dataclass(frozen=True)
class Healthy:
    """``stores`` are data directories to copy, ``told`` what the stock client is to find in
    them."""

    content: Content
    stores: Mapping[str, Path]
    told: Path
    digest: str


@pytest.fixture(autouse=True)
def no_large_files() -> Iterator[None]:
    """Nor of the index processes: a damaged index makes Chroma write a file that fills the disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (healthy_store.MAX_FILE, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Healthy:
    """One whose index is all in its files, and one that has some rows only in Chroma's log."""
    folder = tmp_path_factory.mktemp("healthy")
    all_of_it, told = healthy_store.content(ROWS), folder / "told.npz"
    healthy_store.save(all_of_it, told)
    with_pending, flushed = folder / "with-pending", folder / "flushed"

    def fill(store: StoreRoom, start: int, end: int) -> None:
        for at in range(start, end, 500):
            part = slice(at, min(at + 500, end))
            store.upsert(
                all_of_it.ids[part],
                all_of_it.vectors[part],
                collection=COLLECTION,
                texts=all_of_it.texts[part],
                metadatas=all_of_it.metadatas[part],
                model=model(f"fake/{DIMENSION}", DIMENSION),
            )

    with StoreRoom(with_pending, folder / "run") as store:
        fill(store, 0, ROWS - PENDING)
        store.healthy()
    healthy_store.stock_flush(with_pending / "chroma", told)
    with StoreRoom(with_pending, folder / "run", incarnation="two") as store:
        fill(store, ROWS - PENDING, ROWS)
        store.healthy()
        # The answers that are asked for below are those of an index as it should be.
        for query, nearest in zip(all_of_it.queries, all_of_it.nearest, strict=True):
            hits = store.search(query[np.newaxis], k=K, collection=COLLECTION)[0]
            assert [hit["id"] for hit in hits] == nearest
        assert store.index()["index"]["generation"] == 1
    assert healthy_store.unflushed(with_pending / "chroma").pending == PENDING
    shutil.copytree(with_pending, flushed)
    healthy_store.stock_flush(flushed / "chroma", told)
    assert healthy_store.unflushed(flushed / "chroma").pending == 0
    stores = {FLUSHED: flushed, WITH_PENDING: with_pending}
    for store_dir in stores.values():
        assert healthy_store.stock_look(store_dir / "chroma", told) == ""
    return Healthy(all_of_it, stores, told, healthy_store.ledger_digest(flushed))


@dataclass
class Watched:
    """What the searches saw while the store healed."""

    longest_gap: float
    searches: int
    states: list[str]


def watch(store: StoreRoom, content: Content) -> Watched:
    """Search every 50 ms until the index is healthy and a moment longer; all answers are those of
    the healthy store."""
    seen = Watched(0.0, 0, [])
    last = started = time.monotonic()
    well_since: float | None = None
    while well_since is None or last < well_since + LONGER:
        turn = seen.searches % len(content.queries)
        hits = store.search(content.queries[turn : turn + 1], k=K, collection=COLLECTION)[0]
        now = time.monotonic()
        seen.longest_gap = max(seen.longest_gap, now - last)
        seen.searches += 1
        assert [hit["id"] for hit in hits] == content.nearest[turn], seen
        state = store.index()
        if seen.states[-1:] != [state["index_state"]]:
            seen.states.append(state["index_state"])
        well = state["index_state"] == "healthy" and not state["index"]["pending"]
        well_since = (well_since or now) if well else None
        assert now < started + HEALED, state
        last = now
        time.sleep(max(0.0, EVERY - (time.monotonic() - now)))
    return seen


@pytest.mark.parametrize(("damage", "variant"), TABLE)
def test_a_damaged_index_heals_while_the_store_answers(damage, variant, healthy, tmp_path):
    damaged, content = tmp_path / "store", healthy.content
    shutil.copytree(healthy.stores[variant], damaged)
    DAMAGES[damage](damaged / "chroma")
    with StoreRoom(damaged, tmp_path / "run", incarnation="three") as store:
        seen = watch(store, content)
        assert seen.longest_gap < GAP, seen
        assert seen.states[-1] == "healthy"
        said = store.index()["index"]
        assert said["generation"] == 2
        assert said["reason"]
        missed = []
        for at in range(0, ROWS, 500):
            part = slice(at, at + 500)
            found = store.search(content.vectors[part], k=1, collection=COLLECTION)
            ids = zip(found, content.ids[part], strict=True)
            missed += [id for hits, id in ids if hits[0]["id"] != id]
        # It is approximate.
        assert len(missed) <= ROWS // 1000, missed
    assert store.ended is None
    # No text was embedded: there was nobody to do it, and the vectors are those that were there.
    assert healthy_store.ledger_digest(damaged) == healthy.digest
    assert list(damaged.glob("chroma-damaged-*")) == []
    assert not (damaged / RAN).exists()
    assert healthy_store.stock_look(damaged / "chroma", healthy.told) == ""


@pytest.mark.skipif(not FULL, reason="only in make damage-table; it is of Chroma, not of Thoth")
@pytest.mark.parametrize(("damage", "variant"), TABLE)
def test_the_same_damage_is_one_for_stock_chroma(damage, variant, healthy, tmp_path):
    stock = tmp_path / "chroma"
    shutil.copytree(healthy.stores[variant] / "chroma", stock)
    DAMAGES[damage](stock)
    look = healthy_store.stock_write if damage in SILENT else healthy_store.stock_look
    wrong = look(stock, healthy.told)
    # It may have grown as far as it was let.
    shutil.rmtree(stock)
    print(f"stock Chroma, {damage}, {variant}: {wrong}")
    assert wrong != ""


@pytest.mark.skipif(not FULL, reason="only in make damage-table; it is of Chroma, not of Thoth")
@pytest.mark.parametrize("variant", [FLUSHED, WITH_PENDING])
def test_stock_chroma_finds_no_fault_with_a_healthy_store_that_it_writes_to(
    variant, healthy, tmp_path
):
    stock = tmp_path / "chroma"
    shutil.copytree(healthy.stores[variant] / "chroma", stock)
    assert healthy_store.stock_write(stock, healthy.told) == ""
