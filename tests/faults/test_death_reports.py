"""What is kept of a worker's death, and the detector inside the embed worker."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Make
from tests.faults.watching import pids, status, wait_until_ready, worker
from tests.support.service import RealService, wait_for
from tests.support.small_disk import small_disk
from thoth_core.errors import PoisonInput
from thoth_core.ids import text_hash


def crashes(service: RealService, *more: str) -> list[dict[str, Any]]:
    """The reports, the newest first, as the command tells them."""
    done = service.run("thoth-supervisor", "crashes", "--json", "-n", "100", *more)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["schema_version"] == 1
    return list(told["crashes"])


def ran(death: dict[str, Any]) -> list[str]:
    """The hashes of the texts that the worker was running."""
    return [hash for u in death["in_flight"]["units"] if u["running"] for hash in u["hashes"]]


@pytest.mark.parametrize(
    ("text", "function"), [("!gil:30", "_sleep_with_gil"), ("!hang", "commit_fault")]
)
def test_a_hang_is_ended_by_the_worker_itself_and_the_report_names_the_frame(
    make_service: Make, text: str, function: str
) -> None:
    """``!gil`` holds the interpreter's lock in native code: no thread of the worker runs."""
    service = make_service(THOTH_FAULTS="1", THOTH_UNIT_TIMEOUT="2").start()
    supervisor = status(service)["pid"]
    deadline = 60.0
    began = time.monotonic()
    with service.client() as caller, service.client() as other, ThreadPoolExecutor(1) as pool:
        other.add(["to be found"], ids=["other"])
        call = pool.submit(caller.add, ["fine", text], ids=["a", "b"], deadline=deadline)
        answered = 0
        while not call.done():
            # Each has a worker of its own, so these are not even late.
            assert len(other.query("anything", k=1, deadline=20)) == 1
            assert other.embed([f"other {answered}"], deadline=20).shape == (1, 32)
            answered += 1
        report = call.result()
    assert time.monotonic() - began < deadline
    assert answered > 0
    assert [(index, type(error)) for index, error in report.failed] == [(1, PoisonInput)]
    assert status(service)["pid"] == supervisor
    found = [death for death in crashes(service) if text_hash(text) in ran(death)]
    # Once with the other text beside it, and twice alone.
    assert len(found) == 3
    for death in found:
        assert (death["signal"], death["reason"]) == ("SIGALRM", "made no progress")
        assert (death["state"], death["stalled"]) == ("BUSY", True)
        frames = [f for f in death["stacks"]["threads"][0]["frames"] if "fake.py" in f["file"]]
        assert frames[0]["function"] == function
        assert text not in json.dumps(death["in_flight"])
    if text.startswith("!gil"):
        assert found[0]["top_frame"].endswith(" in _sleep_with_gil")
    assert found[0]["in_flight"]["units"][0]["alone"]
    log = service.settings().data_dir / "logs" / f"{found[0]['worker']}.log"
    assert f"in {function}" in log.read_text()


def test_a_crash_is_reported_with_its_stack_and_what_was_in_hand(service: RealService) -> None:
    with service.client() as thoth, pytest.raises(PoisonInput):
        thoth.embed(["!segv"])
    wait_until_ready(service)
    found = crashes(service)
    for death in found:
        assert death["signal"] == "SIGSEGV"
        assert death["stacks"]["header"] == "Fatal Python error: Segmentation fault"
        assert death["top_frame"].endswith(" in string_at")
        [unit] = death["in_flight"]["units"]
        assert unit["hashes"] == [text_hash("!segv")]
        assert (unit["kind"], unit["texts"]) == ("embed", 1)
        assert death["versions"]["engine"] == "fake"
        assert "thoth" in death["versions"]
        assert death["model"] == "fake/32"
        assert death["uptime_s"] > 0
    last = {w["last_exit"]["report"] for w in status(service)["workers"] if w["last_exit"]}
    assert last <= {death["id"] for death in found}
    assert last
    listed = json.loads(service.run("thoth", "quarantine", "list", "--json").stdout)
    assert [e["frame"].endswith(" in string_at") for e in listed["entries"]] == [True]
    shown = service.run("thoth-supervisor", "crashes", found[0]["id"][-6:])
    assert shown.returncode == 0
    assert "in string_at" in shown.stdout
    assert text_hash("!segv") in shown.stdout
    # Reading needs no supervisor.
    service.stop()
    assert crashes(service) == found
    table = service.run("thoth-supervisor", "crashes").stdout.splitlines()
    assert len(table) == 1 + len(found)
    assert "SIGSEGV" in table[1]
    assert "string_at" in table[1]


def test_the_death_of_the_index_process_is_reported_with_its_stack_and_what_it_was_at(
    service: RealService,
) -> None:
    with service.client() as thoth:
        thoth.add(["fine", "this one says !index-abort"], ids=["a", "b"])

        def left_out() -> list[dict[str, Any]]:
            return list(status(service)["store"]["unindexed"])

        # The index process ended each time that it was told of it.
        assert len(wait_for(left_out, 60, "the text is left out of the index")) == 1
        # Searches need no index.
        assert {hit.id for hit in thoth.query("fine", k=2)} == {"a", "b"}
    aborts = crashes(service)
    assert aborts
    for death in aborts:
        assert (death["worker"], death["role"], death["signal"]) == ("index", "index", "SIGABRT")
        assert death["state"] == "BUSY"
        [call] = death["in_flight"]["calls"]
        assert call["kind"] in ("apply", "rows")
        assert "follower.py" in death["top_frame"]
        assert death["stacks"]["header"] == "Fatal Python error: Aborted"
        assert "chromadb" in death["versions"]
    # One from outside, while it is at nothing.
    pid = wait_for(lambda: status(service)["store"]["index"]["pid"], 30, "there is another")
    wait_for(lambda: status(service)["store"]["index_state"] == "healthy", 60, "it is healthy")
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: len(crashes(service)) > len(aborts), 30, "that is reported too")
    death = crashes(service)[0]
    assert (death["pid"], death["signal"], death["stacks"]) == (pid, "SIGKILL", None)
    table = service.run("thoth-supervisor", "crashes").stdout
    assert "follower.py" in table
    shown = service.run("thoth-supervisor", "crashes", aborts[0]["id"])
    assert "index (pid" in shown.stdout
    assert "Aborted" in shown.stdout
    # A planned end is none, nor is what the end of the store brings.
    old = service.pid("store")
    assert service.run("thoth-supervisor", "restart", "store").returncode == 0
    service.ready_again("store", old)
    assert len(crashes(service)) == len(aborts) + 1


def test_only_ends_that_were_not_planned_are_reported(service: RealService) -> None:
    for name in ("embed-bulk-1", "store"):
        old = service.pid(name)
        assert service.run("thoth-supervisor", "restart", name).returncode == 0
        service.ready_again(name, old)
    assert crashes(service) == []
    done = service.run("thoth-supervisor", "crashes")
    assert (done.returncode, done.stdout) == (0, "")
    old = service.pid("store")
    os.kill(old, signal.SIGKILL)
    service.ready_again("store", old)
    [death] = crashes(service)
    assert (death["worker"], death["pid"], death["signal"]) == ("store", old, "SIGKILL")
    assert death["rss_bytes"] > 1_000_000
    assert death["stacks"] is None
    assert worker(service, "store")["last_exit"]["report"] == death["id"]


def test_a_worker_writes_its_stacks_when_asked_and_lives_on(service: RealService) -> None:
    old = service.pid("embed-bulk-1")
    os.kill(old, signal.SIGUSR1)
    with service.client() as thoth:
        assert thoth.embed([f"text {n}" for n in range(300)]).shape == (300, 32)
    assert service.pid("embed-bulk-1") == old
    # What it wrote then says nothing about how it ended later.
    os.kill(old, signal.SIGKILL)
    service.ready_again("embed-bulk-1", old)
    [death] = crashes(service)
    assert death["stacks"] is None


def test_a_worker_that_is_stopped_is_ended_by_its_supervisor(make_service: Make) -> None:
    """Its own timer does not fire either: a stopped process handles no signal."""
    service = make_service(THOTH_FAULTS="1", THOTH_UNIT_TIMEOUT="1").start()
    workers = [pid for name, pid in pids(service).items() if name.startswith("embed")]
    with service.client() as thoth, ThreadPoolExecutor(1) as pool:
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        try:
            call = pool.submit(thoth.add, ["a text"], ids=["a"], deadline=60)
            busy = wait_for(
                lambda: [w for w in status(service)["workers"] if w["state"] == "BUSY"],
                20,
                "one of them is given it",
            )
        finally:
            for pid in workers:
                if pid != busy[0]["pid"]:
                    os.kill(pid, signal.SIGCONT)
        assert call.result().embedded == 1
    service.ready_again(busy[0]["name"], busy[0]["pid"])
    [death] = crashes(service)
    assert (death["signal"], death["reason"]) == ("SIGKILL", "made no progress")
    assert (death["pid"], death["state"]) == (busy[0]["pid"], "BUSY")


@pytest.mark.parametrize("how", ["a file in its place", "a full disk"])
def test_reports_that_cannot_be_kept_cost_the_service_nothing(make_service: Make, how: str) -> None:
    service = make_service()
    folder: Path = service.settings().data_dir / "deaths"
    folder.parent.mkdir(parents=True)
    with contextlib.ExitStack() as stack:
        if how == "a full disk":
            stack.enter_context(small_disk(folder, 1)).fill()
        else:
            folder.write_text("")
        service.start()
        thoth = stack.enter_context(service.client())
        old = service.pid("embed-bulk-1")
        os.kill(old, signal.SIGKILL)
        service.ready_again("embed-bulk-1", old)
        assert thoth.embed(["two"] * 40).shape == (40, 32)
        assert worker(service, "embed-bulk-1")["last_exit"]["report"] is None
    log = service.settings().data_dir / "logs" / "supervisor.log"
    assert "could not be kept" in log.read_text()
