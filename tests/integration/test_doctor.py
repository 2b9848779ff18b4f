"""``thoth doctor`` on installations that are well and that are not: what it finds, and that the
command which it names mends it. Each test runs that command in a shell, as a person would."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Make
from tests.support.damage import DAMAGES
from tests.support.openai_server import OpenAIServer
from tests.support.service import BIN, RealService, processes_with, wait_for
from tests.support.small_disk import small_disk
from thoth_core.doctor.registry import NAMES
from thoth_core.doctor.scratch import PREFIX
from thoth_core.whole_file import sync_folder


@pytest.fixture(scope="module")
def stopped() -> Iterator[RealService]:
    """A service that has stopped, with some rows in its store. Not to be changed."""
    service = RealService.make().start()
    try:
        with service.client() as thoth:
            thoth.add([f"text {n}" for n in range(50)], collection="notes")
        wait_for(lambda: service.status()["store"]["index_state"] == "healthy", 30, "it is indexed")
        service.stop()
        yield service
    finally:
        service.close()


@pytest.fixture
def filled(make_service: Make, stopped: RealService) -> RealService:
    """A copy of it."""
    made = make_service()
    shutil.copytree(stopped.root / "db", made.root / "db")
    return made


def examine(
    service: RealService, *options: str, code: int | None = None, **env: str
) -> dict[str, dict[str, Any]]:
    """What doctor says of each check."""
    done = service.run("thoth", "doctor", "--json", *options, env=env, timeout=110)
    assert "Traceback" not in done.stderr
    document = json.loads(done.stdout)
    assert document["schema_version"] == 1
    assert code is None or done.returncode == code, done.stdout
    assert done.returncode == (1 if document["state"] == "failed" else 0)
    return {each["name"]: each for each in document["checks"]}


def mended(service: RealService, fix: str, *options: str, input: str = "", **env: str) -> str:
    """Run ``fix`` and then doctor in one shell, as somebody would who pastes it; what it prints."""
    again = f"{fix}\nexec thoth doctor {' '.join(options)}"
    environ = service.environ(PATH=f"{BIN}:{os.environ['PATH']}", **env)
    done = subprocess.run(
        ["sh", "-c", again],
        input=input,
        capture_output=True,
        text=True,
        env=environ,
        cwd=service.root,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "failed" not in done.stdout, done.stdout
    return done.stdout


def test_a_healthy_installation(make_service: Make) -> None:
    """With the real model, in a scratch directory; nothing is made in the data directory."""
    service = make_service("all-MiniLM-L6-v2")
    found = examine(service, code=0, TMPDIR=str(service.root))
    assert tuple(found) == NAMES
    # What there is of these depends on who runs this.
    theirs = ("memory", "disk", "filesystems")
    well = {name: each["status"] for name, each in found.items() if name not in theirs}
    assert well.pop("provider") == "skipped"
    assert set(well.values()) == {"ok"}, found
    trip = found["round-trip"]["details"]
    assert trip["model"] == "all-MiniLM-L6-v2"
    assert trip["engines"] and "fake" not in trip["engines"][0]
    processes = {each["name"]: each for each in found["threads"]["details"]["processes"]}
    assert {"supervisor", "store", "embed-interactive", "embed-bulk-1", "index"} == set(processes)
    worker = processes["embed-bulk-1"]
    assert worker["configured"]["OMP_NUM_THREADS"] == "1"
    busy = max(each["ms"] for each in worker["threads"])
    assert busy > 20
    looked_at = {each["name"] for each in found["openmp"]["details"]["processes"]}
    assert looked_at == set(processes)
    assert found["model"]["details"]["weights"].startswith("53aa51172d14")
    assert list(service.root.iterdir()) == []
    assert not service.processes()


def test_a_running_service_is_asked_and_left_alone(service: RealService) -> None:
    with service.client() as thoth:
        thoth.add(["a text"], collection="notes")
    wait_for(lambda: service.status()["store"]["index_state"] == "healthy", 30, "it is indexed")
    before = service.status()
    found = examine(service, "--quick", code=0)
    assert set(NAMES) - set(found) == {"round-trip", "threads"}
    assert found["index"]["seen"] == "healthy, generation 1, 1 chunks"
    assert found["service"]["details"]["pid"] == before["pid"]
    assert found["locks"]["details"]["held"]["data"] == before["pid"]
    assert len(found["openmp"]["details"]["processes"]) == 5
    assert [w["pid"] for w in service.status()["workers"]] == [w["pid"] for w in before["workers"]]
    deep = examine(service, "--deep", "--only=index", "--only=ledger", code=0)
    assert deep["index"]["seen"].startswith("1 chunks compared, 1 of 1 sampled vectors found")
    assert "all pages and indexes in order" in deep["ledger"]["seen"]
    killed = before["workers"][1]["pid"]
    os.kill(killed, signal.SIGKILL)
    service.ready_again(before["workers"][1]["name"], killed)
    crashes = examine(service, "--only", "crashes")["crashes"]
    assert (crashes["status"], crashes["details"]["lately"]) == ("warn", 1)


def test_no_model(make_service: Make) -> None:
    service = make_service("nobody/has-this-model", HF_HUB_OFFLINE="1")
    found = examine(service, "--only", "model", "--only", "round-trip", code=1)
    assert found["model"]["status"] == "failed"
    assert "nobody/has-this-model" in found["model"]["seen"]
    # All else is checked all the same.
    assert found["round-trip"]["status"] == "ok"
    assert found["round-trip"]["seen"].startswith("fake/384 (nobody/has-this-model is not on")
    told = mended(service, found["model"]["fix"], "--only", "model")
    assert "all-MiniLM-L6-v2 in " in told


def test_a_damaged_index(filled: RealService) -> None:
    chroma = filled.root / "db" / "thoth" / "chroma"
    well = examine(filled, "--only", "index", code=0)["index"]
    assert well["details"]["rows"] == 50
    with contextlib.closing(sqlite3.connect(chroma / "chroma.sqlite3")) as db, db:
        db.execute("DELETE FROM embeddings WHERE id = (SELECT min(id) FROM embeddings)")
    found = examine(filled, "--only", "index", code=1)["index"]
    assert found["seen"].startswith("1 of 50 chunks are not in the index as they are in the ledger")
    DAMAGES["chroma.sqlite3 truncated"](chroma)
    found = examine(filled, "--only", "index", code=1)["index"]
    assert found["seen"].startswith("the index is damaged: chroma.sqlite3")
    told = mended(filled, found["fix"], "--only", "index")
    assert "damaged: " in told
    # It is made anew, and looked at, in a moment.
    wait_for(lambda: filled.status()["store"]["index_state"] == "healthy", 30, "it is well")
    seen = examine(filled, "--only", "index", code=0)["index"]["seen"]
    assert seen.startswith("healthy, generation 2") and seen.endswith(", 50 chunks")


def test_a_second_owner(filled: RealService) -> None:
    chroma = filled.root / "db" / "thoth" / "chroma"
    code = (
        "import sys, chromadb\n"
        f"client = chromadb.PersistentClient({str(chroma)!r})\n"
        "print(client.list_collections(), flush=True)\n"
        "sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=filled.environ(ANONYMIZED_TELEMETRY="False"),
    )
    try:
        assert other.stdout is not None and "notes" in other.stdout.readline()
        found = examine(filled, "--only", "second-owner", code=1)["second-owner"]
        assert str(other.pid) in found["details"]["processes"]
        assert str(other.pid) in found["seen"] and "chroma.sqlite3" in found["seen"]
        told = mended(filled, found["fix"], "--only", "second-owner", "--only", "index")
        assert "ok      second-owner" in told
        assert other.wait(10) == -signal.SIGTERM
    finally:
        other.kill()
        other.communicate()


def test_two_openmp_runtimes(make_service: Make, tmp_path: Path) -> None:
    """One of GNU's and one that has the name of Intel's, in the workers as in the shell."""
    import torch

    original = next(Path(torch.__file__).parent.glob("lib/libgomp*.so*"))
    copies = [tmp_path / "libgomp.so.1", tmp_path / "libiomp5.so"]
    for each in copies:
        shutil.copyfile(original, each)
    preload = {"LD_PRELOAD": " ".join(map(str, copies)), "THOTH_ENV_PASS": "LD_PRELOAD"}
    service = make_service(**preload).start()
    checks = ["--only=caller", "--only=openmp"]
    found = examine(service, *checks, code=1)
    assert found["openmp"]["status"] == "failed"
    assert str(copies[0]) in found["openmp"]["seen"] and str(copies[1]) in found["openmp"]["seen"]
    several = [p for p in found["openmp"]["details"]["processes"] if len(p["openmp"]) == 2]
    assert any(p["name"].startswith("embed-bulk-1") for p in several)
    assert found["caller"]["status"] == "failed"
    fix = found["openmp"]["fix"]
    assert fix == "unset LD_PRELOAD; thoth-supervisor stop --if-running; thoth-supervisor start"
    told = mended(service, fix, *checks)
    assert "openmp: none in " in told


def test_no_space(make_service: Make) -> None:
    service = make_service()
    with small_disk(service.root / "db", 200) as disk:
        kept = disk.path / "thoth" / "chroma-damaged-1"
        kept.mkdir(parents=True)
        assert examine(service, "--only", "disk", code=0)["disk"]["status"] == "ok"
        disk.fill(leave=1 << 20)
        disk.ballast.rename(kept / "link_lists.bin")
        found = examine(service, "--only", "disk", code=1)["disk"]
        assert found["status"] == "failed"
        assert found["acts"] == [["rm", "-r", "--", str(kept)]]
        # Nobody can be asked: nothing is done.
        done = service.run("thoth", "doctor", "--only", "disk", "--fix")
        assert (done.returncode, kept.exists()) == (2, True)
        assert "add --yes" in done.stderr
        told = mended(service, found["fix"], "--only", "disk")
        assert "ok      disk" in told
        # What is not of Thoth is nothing that it could delete.
        disk.fill(leave=1 << 20)
        found = examine(service, "--only", "disk", code=1)["disk"]
        assert found["acts"] == [] and "du -xh" in found["fix"]


def test_fix_does_what_it_names_and_looks_again(make_service: Make) -> None:
    service = make_service()
    left = service.root / f"{PREFIX}{2**22 + 1}-left"
    left.mkdir()
    env = {"TMPDIR": str(service.root)}
    found = examine(service, "--only", "leftovers", code=0, **env)["leftovers"]
    assert (found["status"], found["details"]["folders"]) == ("warn", [str(left)])
    done = service.run("thoth", "doctor", "--only=leftovers", "--fix", "--yes", "--json", env=env)
    document = json.loads(done.stdout)
    assert document["fixed"] == [
        {"check": "leftovers", "command": f"rm -r -- {left}", "code": 0, "said": ""}
    ]
    assert f"leftovers: rm -r -- {left}\n" in done.stderr
    assert [each["status"] for each in document["checks"]] == ["ok"]
    assert not left.exists()


def test_fix_asks_before_each_act(make_service: Make) -> None:
    service = make_service()
    left = service.root / f"{PREFIX}{2**22 + 1}-left"
    left.mkdir()
    service.env["TMPDIR"] = str(service.root)
    for answer, remains in (("n", True), ("y", False)):
        ours, theirs = os.openpty()
        os.write(ours, f"{answer}\n".encode())
        done = subprocess.run(
            [str(BIN / "thoth"), "doctor", "--only=leftovers", "--fix"],
            stdin=theirs,
            capture_output=True,
            text=True,
            env=service.environ(),
            cwd=service.root,
            timeout=60,
        )
        os.close(ours)
        os.close(theirs)
        assert f"leftovers: rm -r -- {left}\ndo this? [y/N]: " in done.stderr
        assert (done.returncode, left.exists()) == (0, remains)


@pytest.mark.parametrize("model", ["openai/text-embedding-3-small", "fake/32"])
def test_a_wrong_key(make_service: Make, model: str) -> None:
    wrong = "sk-of-yesterday-0123456789abcdef"
    with OpenAIServer(echo_keys=True) as server:
        service = make_service(model, API_OPENAI_KEY=wrong, OPENAI_BASE_URL=server.base_url)
        done = service.run("thoth", "doctor", "--only", "provider")
        assert (done.returncode, len(server.books.requests)) == (0, 0), "it was not asked for"
        found = examine(service, "--openai", "--only", "provider", code=1)["provider"]
        assert found["status"] == "failed" and "refuses the key" in found["seen"]
        assert wrong not in json.dumps(found)
        told = mended(
            service, found["fix"], "--openai", "--only", "provider", input=f"{server.key}\n"
        )
        assert "and gave it (" in told and server.key not in told
        assert len(server.books.requests) == 2


@pytest.mark.parametrize("ours", [True, False])
def test_a_lock_that_another_process_holds(filled: RealService, ours: bool) -> None:
    code = (
        "import sys; from pathlib import Path; from thoth_core.locks import FileLock\n"
        "lock = FileLock(Path(sys.argv[1])); print(lock.acquire(), flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(filled.root / "db" / "thoth" / "lock-store")]
        + ["-m", "store_worker"] * ours,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert other.stdout is not None and other.stdout.readline() == "True\n"
        found = examine(filled, "--only", "locks", code=1)["locks"]
        assert found["details"]["held"] == {"store": other.pid}
        if ours:
            mended(filled, found["fix"], "--only", "locks")
        else:
            assert (found["acts"], found["fix"]) == ([], "") and "none of ours" in found["cause"]
            filled.run("thoth", "doctor", "--fix", "--only", "locks")
            assert other.poll() is None
    finally:
        other.kill()
        other.communicate()


def test_a_service_that_is_not_to_be_reached_from_here(filled: RealService) -> None:
    filled.start()
    elsewhere = {"THOTH_RUNTIME_DIR": str(filled.root / "other")}
    checks = ["--only=service", "--only=locks", "--only=leftovers", "--only=index"]
    found = examine(filled, *checks, code=1, **elsewhere)
    assert [each["status"] for each in found.values()] == ["ok", "failed", "ok", "skipped"]
    told = mended(filled, found["locks"]["fix"], *checks, **elsewhere)
    assert "ok      index: healthy" in told


def test_a_damaged_ledger(filled: RealService) -> None:
    path = filled.root / "db" / "thoth" / "ledger.sqlite3"
    os.truncate(path, path.stat().st_size - 8192)
    sync_folder(path.parent)
    found = examine(filled, "--only", "ledger", code=1)["ledger"]
    assert "the ledger is damaged" in found["seen"]
    mended(filled, found["fix"], "--only", "ledger")
    assert filled.run("thoth", "stats", "--json").returncode == 0


def test_settings_that_cannot_be_used_leave_the_other_checks(make_service: Make) -> None:
    service = make_service(RAG_CHUNK_SIZE="many")
    found = examine(service, code=1)
    assert list(found) == ["settings", "python", "packages", "caller"]
    assert found["settings"]["fix"] == "set RAG_CHUNK_SIZE=500"
    service.env["RAG_CHUNK_SIZE"] = "500"
    found = examine(service, "--only", "settings", code=0, THOTH_EMBED_WORKRES="2")
    assert found["settings"]["status"] == "warn"
    assert "did you mean THOTH_EMBED_WORKERS?" in found["settings"]["cause"]
    told = mended(service, found["settings"]["fix"], "--only", "settings", THOTH_EMBED_WORKRES="2")
    assert told.startswith("ok      settings")


@pytest.mark.parametrize(
    ("number", "when", "code"),
    [
        (signal.SIGINT, "at once", 130),
        (signal.SIGINT, "when its service listens", 130),
        (signal.SIGTERM, "when its service listens", 143),
    ],
)
def test_what_ends_it_leaves_nothing(
    make_service: Make, number: signal.Signals, when: str, code: int
) -> None:
    service = make_service()
    service.env["TMPDIR"] = str(service.root)
    doctor = service.popen("thoth", "doctor", "--only", "round-trip")
    assert doctor.stderr is not None
    line = doctor.stderr.readline()
    assert line.startswith("a service is started in"), line
    assert list(service.root.glob(f"{PREFIX}*"))
    if when != "at once":
        wait_for(lambda: [*service.root.glob(f"{PREFIX}*/run/*/control")], 30, "it listens")
    doctor.send_signal(number)
    _, rest = doctor.communicate(timeout=60)
    assert doctor.returncode == code, rest
    assert not list(service.root.glob(f"{PREFIX}*"))
    assert not processes_with(str(service.root))


def test_a_bundle_has_neither_texts_nor_keys(make_service: Make, tmp_path: Path) -> None:
    key, secret = "sk-proj-0123456789abcdef", "cormorant"
    service = make_service(THOTH_FAULTS="1", API_OPENAI_KEY=key).start()
    with service.client() as thoth:
        report = thoth.add(
            [f"!segv {secret}", f"!raise {secret}", f"a {secret}"],
            ids=[f"{secret}-1", "two", "three"],
            metadatas=[{"who": secret}] * 3,
            collection=secret,
        )
        assert len(report.failed) == 2
    # As a library might, past its log.
    for log in (service.root / "db" / "thoth" / "logs").glob("embed*.log"):
        with log.open("a") as file:
            file.write(f"a library says {secret} and {key}\n")
    path = tmp_path / "doctor.zip"
    checks = [f"--only={name}" for name in NAMES if name not in ("round-trip", "threads")]
    done = service.run("thoth", "doctor", *checks, "--bundle", str(path))
    assert f"the bundle is {path}" in done.stderr
    assert "crashes: 2 in the last day" in done.stdout or "crashes: 3 in the" in done.stdout
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name).decode() for name in archive.namelist()}
    whole = "\n".join(content.values())
    assert secret not in whole and key not in whole and "0123456789abcdef" not in whole
    assert {"results.json", "versions.json", "settings.json", "status.json"} < set(content)
    assert len([name for name in content if name.startswith("deaths/")]) >= 2
    assert "is ready after" in content["logs/embed-bulk-1.log"]
    assert "lines left out" in content["logs/embed-bulk-1.log"]
    shown = {row["name"]: row["value"] for row in json.loads(content["settings.json"])}
    assert (shown["API_OPENAI_KEY"], shown["RAG_EMBEDDING_MODEL"]) == ("set", "fake/32")
    [crash] = [
        each for each in json.loads(content["results.json"])["checks"] if each["name"] == "crashes"
    ]
    assert "SIGSEGV" in crash["cause"]
    # Not there at all, or whole.
    refused = service.run("thoth", "doctor", "--only=python", "--bundle", "/nowhere/doctor.zip")
    assert refused.returncode == 1 and "error: the bundle /nowhere/doctor.zip" in refused.stderr
