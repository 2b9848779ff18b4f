"""What a service manager is told, over a real datagram socket, with the time passed in."""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from thoth_core.supervisor.notify import PATIENCE_EVERY, Notifier, settled
from thoth_core.supervisor.slots import Slot, State


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        yield manager


def told(manager: socket.socket) -> list[str]:
    """The lines that have come."""
    lines: list[str] = []
    while True:
        try:
            lines += manager.recv(4096).decode().split("\n")
        except BlockingIOError:
            return lines


def slots(**states: State) -> list[Slot]:
    """``store`` and embed workers in these states."""
    made = []
    for name, state in states.items():
        slot = Slot(name, "store" if name == "store" else "embed", "", lambda: 0.5)
        slot.state = state
        made.append(slot)
    return made


READY, LOADING = State.READY, State.LOADING


def test_ready_is_said_once_and_not_before_every_worker_is(manager: socket.socket) -> None:
    notifier = Notifier(manager.getsockname())
    notifier.turned(0.0, slots(store=READY, one=READY, two=LOADING), False)
    first = told(manager)
    assert "STATUS=degraded: 2 of 3 workers are ready" in first
    assert "READY=1" not in first
    for turn in range(1, 9):
        notifier.turned(turn, slots(store=READY, one=READY, two=READY), False)
    assert sorted(told(manager)) == ["READY=1", "STATUS=ready: 3 of 3 workers are ready"]
    notifier.turned(20.0, slots(store=READY, one=READY, two=State.DRAINING), True)
    assert sorted(told(manager)) == ["STATUS=stopping: 2 of 3 workers are ready", "STOPPING=1"]
    notifier.turned(21.0, slots(store=READY, one=READY, two=State.DRAINING), True)
    assert told(manager) == []
    notifier.close()


def test_a_worker_that_cannot_be_had_keeps_nobody_waiting() -> None:
    assert not settled(slots(store=READY))
    assert not settled(slots(one=READY))
    assert not settled(slots(store=LOADING, one=READY))
    assert settled(slots(store=READY, one=READY, two=State.FAILED))
    waiting = slots(store=READY, one=READY, two=State.BACKOFF)
    assert not settled(waiting)
    waiting[2].restarts = 1
    assert settled(waiting)


def test_a_start_that_goes_on_asks_for_patience(manager: socket.socket) -> None:
    notifier = Notifier(manager.getsockname())
    asked = 0
    for turn in range(100):
        notifier.turned(turn * 0.5, slots(store=LOADING, one=LOADING), False)
        asked += told(manager).count("EXTEND_TIMEOUT_USEC=60000000")
    assert asked == 50 / PATIENCE_EVERY
    notifier.close()


def test_pings_come_at_a_third_of_the_interval_and_only_when_the_loop_turns(
    manager: socket.socket,
) -> None:
    notifier = Notifier(manager.getsockname(), 30.0)
    pings = []
    now = 0.0
    while now < 100.0:
        notifier.turned(now, slots(store=READY, one=READY), False)
        pings += [now] * told(manager).count("WATCHDOG=1")
        # As the loop does: it sleeps no longer than to the next ping.
        now = min(now + 1.0, notifier.wakes_at)
    assert len(pings) == 10
    assert max(b - a for a, b in itertools.pairwise(pings)) <= 10.0
    notifier.close()


def test_what_the_manager_cannot_take_now_is_said_later(manager: socket.socket) -> None:
    notifier = Notifier(manager.getsockname())
    filled = 0
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.setblocking(False)
        while True:
            try:
                other.sendto(b"X=1", manager.getsockname())
                filled += 1
            except BlockingIOError:
                break
    notifier.turned(0.0, slots(store=READY, one=READY), False)
    assert told(manager) == ["X=1"] * filled
    notifier.turned(1.0, slots(store=READY, one=READY), False)
    assert "READY=1" in told(manager)
    notifier.close()


def test_a_manager_that_is_gone_disturbs_nobody(tmp_path: Path) -> None:
    for address in (str(tmp_path / "none"), "/" + "x" * 200):
        notifier = Notifier(address, 1.0)
        notifier.turned(0.0, slots(store=READY, one=READY), False)
        notifier.close()


def test_the_names_are_taken_out_of_the_environment() -> None:
    environ = {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "", "A": "b"}
    environ["WATCHDOG_PID"] = str(os.getpid())
    notifier = Notifier.take(environ)
    assert environ == {"A": "b"}
    assert notifier.wakes_at == 0.0
    # Not meant for this process, no number, or no address.
    for other in (
        {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"},
        {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "soon"},
        {"NOTIFY_SOCKET": "vsock:2:1", "WATCHDOG_USEC": "3000000"},
        {"WATCHDOG_USEC": "3000000"},
    ):
        assert Notifier.take(other).wakes_at == float("inf")
        assert other == {}
