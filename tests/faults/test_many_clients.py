"""Many clients at once, each with one text: all of them are answered.

A hundred of them, or as many as ``THOTH_TEST_CLIENTS`` says; each is a client of its own with a
connection of its own, in a few processes.
"""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Make
from tests.faults.rawsockets import socket_paths
from tests.faults.watching import TWO_BULK, pids, status, wait_until_ready
from tests.support.service import BIN, RealService, wait_for

CLIENTS = int(os.environ.get("THOTH_TEST_CLIENTS", "100"))
PROCESSES = 4 if CLIENTS <= 200 else 10

#: Every client waits until all of its process are there, and then all ask at once.
_CLIENTS = """
import sys, threading
from thoth_core import Thoth
first, many = int(sys.argv[1]), int(sys.argv[2])
together, answers = threading.Barrier(many), {}

def one(number):
    with Thoth(autostart=False) as thoth:
        together.wait()
        answers[number] = thoth.embed([f"the text of client {number}"])

threads = [threading.Thread(target=one, args=(n,)) for n in range(first, first + many)]
for thread in threads: thread.start()
for thread in threads: thread.join()
with Thoth(autostart=False) as thoth:
    alone = thoth.embed([f"the text of client {n}" for n in range(first, first + many)])
right = sum(n in answers and (answers[n][0] == row).all() for n, row in enumerate(alone, first))
print(right)
"""


@pytest.fixture
def service(make_service: Make) -> RealService:
    """With two bulk workers."""
    return make_service(THOTH_FAULTS="1", **TWO_BULK).start()


def test_all_of_many_clients_are_answered(shared: RealService) -> None:
    before = pids(shared)
    each = CLIENTS // PROCESSES
    asking = [
        subprocess.Popen(
            [sys.executable, "-c", _CLIENTS, str(n * each), str(each)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=shared.environ(),
            cwd=shared.root,
        )
        for n in range(PROCESSES)
    ]
    for process in asking:
        out, err = process.communicate(timeout=100)
        assert process.returncode == 0, err
        assert (out.strip(), err) == (str(each), "")
    assert pids(shared) == before
    assert status(shared)["queue"]["requests"] == 0


def test_more_connections_than_a_shell_lets_a_process_have_open_end_nothing(
    service: RealService,
) -> None:
    """libzmq ends a process that has no descriptor left for one."""
    limit = 128
    service.stop()
    start = f"ulimit -Sn {limit}; exec {shlex.quote(str(BIN / 'thoth-supervisor'))} start"
    subprocess.run(["bash", "-c", start], check=True, env=service.environ(), cwd=service.root)
    before = wait_until_ready(service)["pid"]
    front, connections = str(socket_paths(service)["front"]), []
    try:
        for _ in range(2 * limit):
            connections.append(socket.socket(socket.AF_UNIX))
            connections[-1].connect(front)
        files = Path(f"/proc/{before}/fd")
        wait_for(lambda: len(list(files.iterdir())) > 2 * limit, 30, "all of them are taken")
        with service.client() as thoth:
            assert thoth.embed(["one more"]).shape == (1, 32)
        # There is room for a worker too.
        old = service.pid("store")
        assert service.run("thoth-supervisor", "restart", "store").returncode == 0
        service.ready_again("store", old)
    finally:
        for each in connections:
            each.close()
    assert status(service)["pid"] == before
