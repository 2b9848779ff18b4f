"""A client that asks for much and reads nothing: little waits for it, and it is given up. One that
only stood still has its answers all the same."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from tests.conftest import Make
from tests.faults.rawsockets import connected, socket_paths
from tests.faults.watching import (
    TWO_BULK,
    is_stopped,
    pids,
    status,
    supervisor_log,
    wait_until_ready,
)
from tests.support.service import wait_for
from thoth_core import wire
from thoth_core.ids import new_request_id
from thoth_core.wire import Message

MB = 1_000_000
#: Calls that it makes, and the bytes of the answer to each.
CALLS, TEXTS, DIMENSION = 60, 2048, 1024
ANSWER = TEXTS * DIMENSION * 4


def memory_of(pid: int) -> int:
    """The most that the process has had at once, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    [peak] = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(peak) * 1024


def test_a_client_that_reads_nothing_is_given_up_and_the_others_are_undisturbed(
    make_service: Make,
) -> None:
    service = make_service(f"fake/{DIMENSION}", **TWO_BULK).start()
    before = pids(service)
    memory = memory_of(before["supervisor"])
    front = socket_paths(service)["front"]
    with service.client() as thoth, connected(front, b"slow", hwm=1) as slow:
        for _ in range(CALLS):
            texts = [f"text {n}" for n in range(TEXTS)]
            slow.send(wire.encode(Message("embed", new_request_id(), body={"texts": texts})))
        for n in range(5):
            assert thoth.embed([f"interactive {n}"], deadline=60).shape == (1, DIMENSION)
            assert thoth.embed([f"bulk {n}"] * 40, deadline=60).shape == (40, DIMENSION)
            assert thoth.add([f"row {n}"], ids=[str(n)], deadline=60).embedded == 1
        # Its calls are given up with it; nobody works for what nobody reads.
        wait_for(lambda: status(service)["queue"]["requests"] == 0, 90, "it is given up")
        assert thoth.count() == 5
    grown = memory_of(before["supervisor"]) - memory
    # Far less than it asked for, and also far less than what libzmq kept before its bound was set.
    assert grown < CALLS * ANSWER / 2, f"{grown / MB:.0f} MB"
    assert pids(service) == before


#: A supervisor that gives a client up sooner, and leaves less to libzmq.
SOON = """
import sys
from cli.supervisor import main
from thoth_core import sockets
from thoth_core.supervisor import outbox
outbox.MAX_SECONDS = 3.0
router = sockets.router
sockets.router = lambda *where, **bounds: router(*where, **bounds | {"send_hwm": 1})
sys.argv = ["thoth-supervisor", "start", "--foreground"]
main()
"""
#: It stops itself when all parts of its call are sent, before it reads anything.
EMBED = f"""
import json, os, signal
from thoth_core import Thoth, sockets
from thoth_core.client.book import Book
sockets.dealer.__kwdefaults__["hwm"] = 1
asked, sent = [], Book.sent
def stop_after_four(book, entry, now):
    sent(book, entry, now)
    asked.append(entry)
    if len(asked) == 4:
        os.kill(os.getpid(), signal.SIGSTOP)
Book.sent = stop_after_four
with Thoth(autostart=False) as thoth:
    vectors = thoth.embed([f"text {{n}}" for n in range(4 * {TEXTS})])
    print(json.dumps([*vectors.shape, bool((vectors != 0).any(axis=1).all()), len(asked)]))
"""


def test_a_client_that_stood_still_and_was_given_up_asks_again(make_service: Make) -> None:
    service = make_service(f"fake/{DIMENSION}")
    supervisor = service.popen("python", "-c", SOON)
    try:
        wait_until_ready(service)
        client = service.popen("python", "-W", "error", "-c", EMBED)
        wait_for(lambda: is_stopped(client.pid), 30, "it stands still")
        wait_for(lambda: "is given up" in supervisor_log(service), 60, "it is given up")
        os.kill(client.pid, signal.SIGCONT)
        out, err = client.communicate(timeout=100)
        assert client.returncode == 0, err
        *found, asked = json.loads(out)
        assert found == [4 * TEXTS, DIMENSION, True]
        assert asked > 4
    finally:
        supervisor.terminate()
        supervisor.communicate(timeout=60)
