"""Texts that end their worker: what they cost, and that they cost it once."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Make
from tests.faults.watching import TWO_BULK, status, supervisor_log, wait_until_ready
from tests.support.service import RealService
from tests.support.small_disk import SmallDisk, small_disk
from thoth_core.errors import PoisonInput
from thoth_core.supervisor.quarantine_file import NAME

#: Outside kills in one run; more with this variable.
KILLS = int(os.environ.get("THOTH_TEST_KILLS", "30"))
#: A process that runs a unit may be each of them: the two bulk workers and that for queries.
EMBED_WORKERS = 3


@pytest.fixture
def service(make_service: Make) -> RealService:
    """With two bulk workers."""
    return make_service(THOTH_FAULTS="1", **TWO_BULK).start()


def deaths(service: RealService) -> int:
    """Of embed workers, once all are there again."""
    workers = wait_until_ready(service)["workers"]
    return sum(int(w["restarts"]) for w in workers if w["role"] == "embed")


def entries(service: RealService, *arguments: str) -> list[dict[str, object]]:
    done = service.run("thoth", "quarantine", "list", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["schema_version"] == 1
    return list(document["entries"])


def refused(service: RealService, texts: list[str]) -> PoisonInput:
    with service.client() as thoth, pytest.raises(PoisonInput) as caught:
        thoth.embed(texts)
    return caught.value


def test_a_poison_text_among_five_hundred_costs_three_deaths_and_that_once(
    service: RealService,
) -> None:
    texts = [f"text number {n}" for n in range(500)]
    texts[321] = "!segv at once"
    problem = refused(service, texts)
    assert problem.indices == [321]
    assert "thoth quarantine retry" in problem.fix
    assert np.isnan(problem.partial[321]).all()
    assert np.isfinite(np.delete(problem.partial, 321, axis=0)).all()
    assert deaths(service) <= 3
    # The same call again: nothing dies.
    before = deaths(service)
    problem = refused(service, texts)
    assert problem.indices == [321]
    assert np.isfinite(np.delete(problem.partial, 321, axis=0)).all()
    with service.client() as thoth:
        report = thoth.add(["!segv at once", "a good one"], ids=["bad", "good"])
        assert [(i, type(error)) for i, error in report.failed] == [(0, PoisonInput)]
        with pytest.raises(PoisonInput):
            thoth.query("!segv at once")
    assert deaths(service) == before
    assert status(service)["counters"]["texts_barred"] == 3
    # Nor does anything after a restart of all of it.
    service.stop()
    service.start()
    assert refused(service, texts).indices == [321]
    assert deaths(service) == 0
    assert status(service)["quarantined"] == 1


def test_the_list_is_there_with_and_without_a_service_and_a_retry_tries_again(
    service: RealService,
) -> None:
    refused(service, ["!abort", "fine"])
    [entry] = entries(service)
    assert (entry["signal"], entry["deaths"], entry["model"]) == ("SIGABRT", 2, "fake/32")
    assert "!abort" not in (service.settings().data_dir / NAME).read_text()
    key = str(entry["key"])
    # Through the service: tried again, and back.
    done = service.run("thoth", "quarantine", "retry", key[:8])
    assert done.returncode == 0, done.stderr
    assert key in done.stdout
    assert entries(service) == []
    before = deaths(service)
    refused(service, ["!abort", "fine"])
    assert deaths(service) - before in (2, 3)
    assert [e["key"] for e in entries(service)] == [key]
    # Without one, from the file; and none is started.
    service.stop()
    assert [e["key"] for e in entries(service)] == [key]
    assert service.run("thoth", "quarantine", "clear").returncode == 2
    assert service.run("thoth", "quarantine", "clear", "ffff").returncode == 2
    done = service.run("thoth", "quarantine", "clear", "--all", "--yes", "--json")
    assert [e["key"] for e in json.loads(done.stdout)["removed"]] == [key]
    assert not service.processes()
    assert entries(service) == []
    done = service.run("thoth", "quarantine")
    assert (done.returncode, done.stdout) == (0, "")
    assert "no text" in done.stderr


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """Released after the service that is made after it has ended."""
    with small_disk(tmp_path / "disk", 160) as made:
        yield made


def test_a_damaged_list_and_a_full_disk_cost_a_warning_and_no_answer(
    disk: SmallDisk, make_service: Make
) -> None:
    service = make_service(
        RAG_VECTOR_DB_PATH=str(disk.path / "db"), THOTH_EMBED_WORKERS="1", THOTH_FAULTS="1"
    )
    path = service.settings().data_dir / NAME
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\0" * 100)
    service.start()
    assert "cannot be read" in supervisor_log(service)
    assert status(service)["quarantined"] == 0
    disk.fill()
    assert refused(service, ["!segv first", "fine"]).indices == [0]
    assert path.read_bytes() == b"\0" * 100
    before = deaths(service)
    assert refused(service, ["fine", "!segv first"]).indices == [1]
    assert deaths(service) == before
    # The next time that it is written it has both.
    disk.empty()
    refused(service, ["!segv second"])
    assert len(json.loads(path.read_text())["entries"]) == 2
    assert [p.name for p in path.parent.glob("*quarantine*")] == [NAME]


def test_two_poison_texts_in_one_call_cost_two_deaths_each_and_those_at_the_first(
    service: RealService,
) -> None:
    texts = [f"text number {n}" for n in range(300)]
    texts[10], texts[250] = "!segv of the one", "!exit3 of the other"
    assert refused(service, texts).indices == [10, 250]
    # Each twice alone; and before that in its unit, which may be the same.
    assert 5 <= deaths(service) <= 6
    assert len(entries(service)) == 2


def test_ten_clients_with_one_poison_text_cost_no_more_than_the_workers_that_ran_it(
    service: RealService,
) -> None:
    start = threading.Barrier(10)

    def ask(number: int) -> PoisonInput:
        texts = [f"of client {number}", "!segv of all"]
        with service.client() as thoth:
            assert thoth.dimension == 32
            start.wait(30)
            with pytest.raises(PoisonInput) as caught:
                thoth.embed(texts)
        return caught.value

    with ThreadPoolExecutor(10) as pool:
        problems = list(pool.map(ask, range(10)))
    for problem in problems:
        assert problem.indices == [1]
        assert np.isfinite(problem.partial[0]).all()
    assert 3 <= deaths(service) <= 2 + EMBED_WORKERS
    assert len(entries(service)) == 1


@pytest.mark.timeout(120 + 10 * KILLS)
def test_kills_from_outside_put_nothing_into_quarantine(make_service: Make) -> None:
    service = make_service(**TWO_BULK).start()
    over = threading.Event()

    def bulk(number: int) -> int:
        calls = 0
        with service.client() as thoth:
            while not over.is_set():
                texts = [f"client {number}, call {calls}, text {n}" for n in range(200)]
                assert np.isfinite(thoth.embed(texts)).all()
                report = thoth.add(texts[:20], ids=[f"{number} {n}" for n in range(20)])
                assert not report.failed
                calls += 1
        return calls

    def small(number: int) -> int:
        calls = 0
        with service.client() as thoth:
            while not over.is_set():
                assert np.isfinite(thoth.embed([f"small {number} {calls}"])).all()
                calls += 1
        return calls

    with ThreadPoolExecutor(6) as pool:
        calls: list[Future[int]] = [pool.submit(bulk, n) for n in range(4)]
        calls += [pool.submit(small, n) for n in range(2)]
        try:
            names = cycle(["embed-bulk-1", "embed-interactive", "embed-bulk-2"])
            last = dict.fromkeys(("embed-bulk-1", "embed-interactive", "embed-bulk-2"), 0)
            for _ in range(KILLS):
                name = next(names)
                last[name] = service.ready_again(name, last[name])["pid"]
                os.kill(last[name], signal.SIGKILL)
        finally:
            over.set()
        assert all(call.result(90) > 0 for call in calls)
    assert deaths(service) == KILLS
    said = status(service)
    assert said["quarantined"] == 0
    assert said["counters"]["texts_poisoned"] == 0
    assert said["counters"]["requests_failed"] == 0
