"""A query's worker gets the processor before those for bulk, in a service as it runs."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from embed_worker.service import BULK_NICENESS
from tests.support.service import RealService, wait_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")

#: What a query's worker is to have of a core that it shares with one for bulk, as a multiple of
#: that one's share. By the kernel's table of weights it is 9.
LEAST = 4.0
SPIN = "import time\nwhile time.thread_time() < 30: pass"
TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Processor time that the process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def pin(pid: int, core: int) -> None:
    """All threads of the process to one core."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {core})


@pytest.fixture
def niceness_counts() -> None:
    """Skips where it does not: some kernels and sandboxes share a core out without a look at it."""
    core = min(os.sched_getaffinity(0))
    spinners: list[subprocess.Popen[bytes]] = []
    try:
        for nice in (0, BULK_NICENESS):
            spinners.append(subprocess.Popen([sys.executable, "-c", SPIN]))
            pin(spinners[-1].pid, core)
            mine = os.getpriority(os.PRIO_PROCESS, 0)
            os.setpriority(os.PRIO_PROCESS, spinners[-1].pid, mine + nice)
        began = [cpu_seconds(each.pid) for each in spinners]

        def had() -> list[float]:
            return [cpu_seconds(s.pid) - b for s, b in zip(spinners, began, strict=True)]

        first, second = wait_for(lambda: had() if sum(had()) >= 0.8 else None, 60, "both computed")
    finally:
        for each in spinners:
            each.kill()
            each.wait()
    if first < LEAST * second:
        pytest.skip(f"of one core niceness 0 had {first:.2f} s and niceness 10 {second:.2f} s here")


@pytest.fixture
def service() -> Iterator[RealService]:
    service = RealService.make("fake/32", THOTH_FAULTS="1", THOTH_EMBED_WORKERS="1")
    yield service.start()
    service.close()


def test_all_are_in_one_session_and_only_bulk_gives_way(service: RealService) -> None:
    supervisor = int(service.status()["pid"])
    nice = os.getpriority(os.PRIO_PROCESS, supervisor)
    [index] = [
        pid
        for pid in service.processes()
        if b"store_worker.index_process" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    names = ("embed-bulk-1", "embed-interactive", "store")
    pids = {name: service.pid(name) for name in names} | {"index": index}
    assert {os.getsid(pid) for pid in pids.values()} == {os.getsid(supervisor)}
    by_name = {name: os.getpriority(os.PRIO_PROCESS, pid) - nice for name, pid in pids.items()}
    assert by_name == {
        "embed-bulk-1": BULK_NICENESS,
        "embed-interactive": 0,
        "store": 0,
        "index": 0,
    }


@pytest.mark.usefixtures("niceness_counts")
def test_a_query_has_most_of_the_core_that_it_shares_with_bulk(service: RealService) -> None:
    bulk, queries = service.pid("embed-bulk-1"), service.pid("embed-interactive")
    core = min(os.sched_getaffinity(0))
    pin(bulk, core)
    pin(queries, core)
    before = cpu_seconds(bulk)
    failed: list[BaseException] = []

    def ingest() -> None:
        # More than sixteen texts are bulk.
        try:
            with service.client() as client:
                client.embed(["!spin:2", *(f"text {n}" for n in range(20))])
        except BaseException as problem:
            failed.append(problem)

    thread = threading.Thread(target=ingest)
    thread.start()
    wait_for(lambda: failed or cpu_seconds(bulk) - before >= 0.1, 60, "bulk computes")
    with service.client() as client:
        # Processor time and not hours on the clock: on a machine with other work both take longer.
        began = cpu_seconds(bulk), cpu_seconds(queries)
        client.embed(["!spin:1"])
        theirs, its = cpu_seconds(bulk) - began[0], cpu_seconds(queries) - began[1]
    still_busy = thread.is_alive()
    thread.join(60)
    print(f"queries had {its:.2f} s, bulk {theirs:.2f} s")
    assert not failed
    assert still_busy
    assert its >= 0.9
    assert its >= LEAST * theirs, f"a query had {its:.2f} s of the core and bulk {theirs:.2f} s"
