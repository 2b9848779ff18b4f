"""A service under a service manager: a socket of this test stands for systemd's."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Make
from tests.faults.watching import pids, stopped, wait_until_ready
from tests.support.service import RealService

#: The watchdog's interval, in seconds: short, since what is seen is that pings stop.
WATCHDOG = 1.5


class Manager:
    """Hears what is sent to ``address``; ``heard`` has all lines so far."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.heard: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)

    def wait_for(self, line: str, seconds: float = 60.0) -> None:
        """Hear until ``line`` comes."""
        before = len(self.heard)
        while line not in self.heard[before:]:
            assert self.hear(seconds), f"{line} did not come; heard: {self.heard}"

    def hear(self, seconds: float) -> list[str]:
        """The lines of the next datagram; none if nothing comes for so long."""
        self._socket.settimeout(seconds)
        try:
            lines = self._socket.recv(4096).decode().split("\n")
        except (TimeoutError, BlockingIOError):
            return []
        self.heard += lines
        return lines

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    path = f"@thoth-test-{os.getpid()}" if request.param == "abstract" else str(tmp_path / "notify")
    manager = Manager(path)
    yield manager
    manager.close()


def start(service: RealService, manager: Manager) -> subprocess.Popen[str]:
    service.env |= {
        "NOTIFY_SOCKET": manager.address,
        "WATCHDOG_USEC": str(int(WATCHDOG * 1e6)),
        # Whatever a user passes on, a worker does not speak for the service.
        "THOTH_ENV_PASS": "NOTIFY_SOCKET,WATCHDOG_USEC",
    }
    return service.popen("thoth-supervisor", "start", "--foreground")


def test_from_ready_to_stopping(make_service: Make, manager: Manager) -> None:
    service = make_service(THOTH_EMBED_WORKERS="1")
    process = start(service, manager)
    try:
        manager.wait_for("READY=1")
        assert service.status()["state"] == "ready"
        assert "EXTEND_TIMEOUT_USEC=60000000" in manager.heard
        manager.wait_for("WATCHDOG=1")

        with stopped([process.pid]):
            while manager.hear(0):
                pass
            # Not one in as long as the manager waits for one.
            assert manager.hear(WATCHDOG) == []
        manager.wait_for("WATCHDOG=1")

        for name, pid in pids(service).items():
            if name != "supervisor":
                environ = Path(f"/proc/{pid}/environ").read_bytes()
                assert b"NOTIFY_SOCKET" not in environ
                assert b"WATCHDOG_" not in environ

        process.send_signal(signal.SIGTERM)
        manager.wait_for("STOPPING=1")
        assert process.wait(60) == 0
        while manager.hear(0):
            pass
        assert manager.heard.count("READY=1") == manager.heard.count("STOPPING=1") == 1
    finally:
        process.kill()
        process.communicate()


def test_the_service_that_a_client_starts_says_nothing_in_the_clients_name(
    make_service: Make, tmp_path: Path
) -> None:
    manager = Manager(str(tmp_path / "notify"))
    service = make_service(THOTH_EMBED_WORKERS="1", NOTIFY_SOCKET=manager.address)
    assert service.run("thoth", "embed", "x").returncode == 0
    assert manager.hear(0) == []
    manager.close()


def test_a_start_that_fails_says_so_by_its_exit_status_and_is_never_ready(
    make_service: Make, tmp_path: Path
) -> None:
    manager = Manager(str(tmp_path / "notify"))
    service = make_service("fake/0", THOTH_EMBED_WORKERS="1", NOTIFY_SOCKET=manager.address)
    assert service.run("thoth-supervisor", "start", "--foreground").returncode == 2
    while manager.hear(0):
        pass
    assert "READY=1" not in manager.heard
    manager.close()


def test_what_the_unit_has_is_enough_to_serve_from_anywhere(make_service: Make) -> None:
    service = make_service("fake/48", THOTH_EMBED_WORKERS="1", RAG_QA_MODEL='a "b" $c%d')
    told = json.loads(service.run("thoth-supervisor", "unit", "--json").stdout)
    lines = [line.partition("=") for line in told["unit"].splitlines()]
    [command] = [shlex.split(value) for name, _, value in lines if name == "ExecStart"]
    # Nothing else is in its environment, and its folder is another one.
    given = [shlex.split(value)[0] for name, _, value in lines if name == "Environment"]
    environ = dict(each.replace("%%", "%").split("=", 1) for each in given)
    assert environ["RAG_QA_MODEL"] == 'a "b" $c%d'
    process = subprocess.Popen(
        command, env={"HOME": "/nowhere", **environ}, cwd="/", stderr=subprocess.DEVNULL
    )
    try:
        assert wait_until_ready(service)["pid"] == process.pid
        with service.client() as thoth:
            assert thoth.embed(["x"]).shape == (1, 48)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
