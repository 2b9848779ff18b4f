"""A ledger that is damaged or gone: the service says so and how to get out, and touches nothing."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Make
from tests.support.service import BIN, RealService, wait_for
from thoth_core.errors import LedgerDamaged

PAGE = 8192
ROWS = 1500
VECTORS = np.random.default_rng(2).normal(size=(ROWS, 32)).astype(np.float32)
IDS = [f"id{i:05}" for i in range(ROWS)]
TEXTS = [f"{i} " * 300 for i in range(ROWS)]


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of a service that has stopped."""
    service = RealService.make().start()
    try:
        with service.client() as thoth:
            thoth.upsert(IDS, VECTORS, TEXTS, collection="notes")
            thoth.add(["one", "two"], collection="more")
        service.stop()
        kept = tmp_path_factory.mktemp("data") / "db"
        shutil.copytree(service.root / "db", kept)
    finally:
        service.close()
    return kept


@pytest.fixture
def service(make_service: Make, healthy: Path) -> RealService:
    made = make_service()
    shutil.copytree(healthy, made.root / "db")
    return made


def ledger(service: RealService) -> Path:
    return service.root / "db" / "thoth" / "ledger.sqlite3"


def hashes(service: RealService) -> dict[str, str]:
    """Of the ledger, of what belongs to it, and of the index."""
    folder = service.root / "db" / "thoth"
    files = [*folder.glob("ledger.sqlite3*"), *(folder / "chroma").rglob("*")]
    return {
        str(each.relative_to(folder)): hashlib.sha256(each.read_bytes()).hexdigest()
        for each in files
        # Shared memory: made by whoever looks, and holds nothing.
        if each.is_file() and not each.name.endswith("-shm")
    }


def garble(path: Path, page: int) -> None:
    with path.open("r+b") as file:
        file.seek((page - 1) * PAGE)
        file.write(b"\xa5" * PAGE)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def log_alone(path: Path) -> None:
    path.rename(path.with_name("ledger.sqlite3-wal"))


def without_index(path: Path) -> None:
    """Only the folders of the vectors are left of the index."""
    path.unlink()
    (path.parent / "chroma" / "chroma.sqlite3").unlink()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        pytest.param(cut, "the ledger is damaged", id="cut"),
        pytest.param(lambda p: garble(p, 1), "the ledger is damaged", id="garbled"),
        pytest.param(lambda p: p.write_bytes(b""), "the ledger is gone", id="empty"),
        pytest.param(lambda p: p.unlink(), "the ledger is gone", id="missing"),
        pytest.param(log_alone, "the ledger is gone", id="log alone"),
        pytest.param(without_index, "the ledger is gone", id="only folders of vectors"),
    ],
)
def test_a_start_says_what_is_wrong_and_leaves_all_as_it_is(
    service: RealService, damage: Callable[[Path], object], says: str
) -> None:
    path = ledger(service)
    damage(path)
    before = hashes(service)
    way_out = "put a backup in its place, or: thoth-supervisor stop --if-running; "
    done = service.run("thoth-supervisor", "start")
    assert done.returncode == 1, done.stderr
    assert f"error: {says}: {path}" in done.stderr
    assert "cause: " in done.stderr
    assert f"fix: {way_out}" in done.stderr
    assert "Traceback" not in done.stderr
    # A command that would start a service says the same.
    done = service.run("thoth", "stats", "--json")
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "ledger_damaged"
    assert error["message"].startswith(f"{says}: {path}")
    assert error["cause"]
    assert error["fix"].startswith(way_out)
    assert hashes(service) == before
    assert service.processes() == []


def test_a_page_that_the_verification_meets_stops_the_store_too(service: RealService) -> None:
    service.start()
    path = ledger(service)
    with service.client() as thoth:
        assert thoth.verify()["findings"] == []
        garble(path, path.stat().st_size // PAGE // 2)
        # Who has read a page keeps it in memory until something is written.
        thoth.create_collection("written")
        with pytest.raises(LedgerDamaged):
            thoth.verify(deadline=60)
        with pytest.raises(LedgerDamaged):
            thoth.count("more")
    service.stop()


def test_a_page_that_a_call_meets_stops_the_store_for_good(service: RealService) -> None:
    service.start()
    path = ledger(service)
    garble(path, path.stat().st_size // PAGE // 2)
    with service.client() as thoth:
        with pytest.raises(LedgerDamaged) as caught:
            thoth.get(collection="notes", include=["vectors"])
        assert str(path) in caught.value.message
        store = wait_for(
            lambda: (w := service.worker("store"))["state"] == "FAILED" and w,
            30,
            "the store has given up",
        )
        assert store["failure"]["code"] == "ledger_damaged"
        status = service.run("thoth-supervisor", "status")
        assert "the ledger is damaged" in status.stdout
        assert "service: failed" in status.stdout
        # Who asks now is told at once.
        with pytest.raises(LedgerDamaged):
            thoth.count("more")
        with pytest.raises(LedgerDamaged):
            thoth.add(["three"], collection="more")
    service.stop()
    # Nor does another start begin with it.
    before = hashes(service)
    done = service.run("thoth-supervisor", "start")
    assert done.returncode == 1
    assert "the ledger is damaged" in done.stderr
    assert hashes(service) == before


def test_the_way_out_that_is_told_leads_out(service: RealService) -> None:
    service.start()
    path = ledger(service)
    garble(path, path.stat().st_size // PAGE // 2)
    with service.client() as thoth, pytest.raises(LedgerDamaged) as caught:
        thoth.get(collection="notes", include=["vectors"])
    commands = caught.value.fix.partition("or: ")[2]
    done = subprocess.run(
        ["sh", "-c", commands],
        env=service.environ(PATH=f"{BIN}:/usr/bin:/bin"),
        cwd=service.root,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, (commands, done.stdout, done.stderr)
    with service.client() as thoth:
        found = thoth.get(collection="notes", include=["vectors"])
        lost = ROWS - len(found)
        assert 1 <= lost <= 20
        places = [IDS.index(id) for id in found.ids]
        assert places == sorted(places)
        assert found.texts == [TEXTS[i] for i in places]
        assert found.vectors is not None
        assert found.vectors.tobytes() == VECTORS[places].tobytes()
        assert thoth.query("one", k=1, collection="more")[0].text == "one"
    assert f"lost: {lost} chunks" in done.stdout or "lost: an unknown number" in done.stdout
    assert (service.root / "db" / "thoth.damaged" / "ledger.sqlite3").exists()


def test_the_way_out_of_a_ledger_that_is_gone_leads_out(service: RealService) -> None:
    ledger(service).unlink()
    done = service.run("thoth-supervisor", "start")
    assert done.returncode == 1
    told = re.search(r"^fix: .*?or: (.*)$", done.stderr, re.MULTILINE)
    assert told is not None
    assert "thoth rescue" in told[1]
    done = subprocess.run(
        ["sh", "-c", told[1]],
        env=service.environ(PATH=f"{BIN}:/usr/bin:/bin"),
        cwd=service.root,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, (told[1], done.stdout, done.stderr)
    with service.client() as thoth:
        assert {each.name: each.count for each in thoth.collections()} == {"more": 2, "notes": ROWS}
        found = thoth.get(collection="notes", include=["vectors"])
        assert sorted(found.ids) == IDS
        places = [IDS.index(id) for id in found.ids]
        assert found.texts == [TEXTS[i] for i in places]
        assert found.vectors is not None
        assert np.allclose(found.vectors, VECTORS[places], rtol=1e-5, atol=1e-6)
        assert thoth.query("one", k=1, collection="more")[0].text == "one"
