"""The two ends speak different major versions of the protocol."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import msgpack
import pytest

from tests.conftest import Make
from tests.faults.rawsockets import connected, socket_paths
from tests.faults.watching import pids
from tests.support.service import RealService
from thoth_core import sockets
from thoth_core.client import patience
from thoth_core.errors import VersionMismatch, from_dict
from thoth_core.wire import MAJOR, MINOR, Message

THEIRS = [MAJOR + 1, 7]


def frames_of(message: Message, version: list[int]) -> list[bytes]:
    envelope = {"v": version, "kind": message.kind, "id": message.id}
    return [msgpack.packb(envelope), msgpack.packb(dict(message.body))]


@pytest.mark.parametrize("name", ["front", "control"])
def test_a_client_of_another_major_version_is_told_both(shared: RealService, name: str) -> None:
    before = pids(shared)
    with connected(socket_paths(shared)[name]) as peer:
        for _ in range(3):
            peer.send(frames_of(Message("hello", "from-the-future"), THEIRS))
            # The service cannot know where an unknown version has the id.
            error = from_dict(peer.answer("").body)
            assert isinstance(error, VersionMismatch)
            assert f"{THEIRS[0]}.{THEIRS[1]}" in error.message
            assert f"{MAJOR}.{MINOR}" in error.message
            assert error.fix
        peer.ping()
    assert pids(shared) == before


def test_a_worker_of_another_major_version_disturbs_nobody(shared: RealService) -> None:
    before = pids(shared)
    with connected(socket_paths(shared)["back"], b"embed.embed-bulk-1.0123456789ab") as peer:
        for kind in ("hello", "ready", "beat", "done"):
            peer.send(frames_of(Message(kind, "u1"), THEIRS))
        with shared.client() as thoth:
            assert thoth.embed(["x"]).shape == (1, 32)
    assert pids(shared) == before


class OtherSupervisor(threading.Thread):
    """Listens where the service would, and answers everything in another version."""

    def __init__(self, service: RealService) -> None:
        super().__init__(name="other-supervisor")
        self._room = service.settings().service_dir
        self._room.mkdir(parents=True, mode=0o700)
        self._ending = threading.Event()
        self._bound = threading.Event()
        self.start()
        assert self._bound.wait(10)

    def run(self) -> None:
        ctx = sockets.context()
        routers: list[Any] = [sockets.router(ctx, self._room / n) for n in ("front", "control")]
        poller = sockets.poller()
        for each in routers:
            poller.register(each, sockets.POLLIN)
        self._bound.set()
        while not self._ending.is_set():
            for each in dict(poller.poll(20)):
                while (frames := sockets.receive(each)) is not None:
                    asked = msgpack.unpackb(frames[1])
                    answer = Message("result", asked.get("id", ""), body={"pid": 1})
                    sockets.send(each, frames_of(answer, THEIRS), to=bytes(frames[0]))
        for each in routers:
            each.close(100)
        ctx.term()

    def end(self) -> None:
        self._ending.set()
        self.join(10)


@pytest.fixture
def future(make_service: Make) -> Iterator[RealService]:
    """Settings of a service that is of another version."""
    service = make_service()
    (service.root / "run").mkdir(mode=0o700)
    other = OtherSupervisor(service)
    yield service
    other.end()


def test_a_service_of_another_major_version_is_a_typed_error_at_once(future: RealService) -> None:
    began = time.monotonic()
    for autostart in (False, True):
        with (
            future.client(autostart=autostart) as thoth,
            pytest.raises(VersionMismatch) as caught,
        ):
            thoth.embed(["x"])
        assert f"{THEIRS[0]}.{THEIRS[1]}" in caught.value.message
        assert f"{MAJOR}.{MINOR}" in caught.value.message
        assert "thoth-supervisor stop" in caught.value.fix
    assert time.monotonic() - began < 2 * patience.GREETING_SILENCE


@pytest.mark.parametrize(
    "command", [["thoth", "embed", "x"], ["thoth-supervisor", "status"]], ids=["thoth", "status"]
)
def test_a_command_names_both_versions_and_what_to_do(
    future: RealService, command: list[str]
) -> None:
    done = future.run(*command)
    assert done.returncode == 1
    assert f"speaks protocol {THEIRS[0]}.{THEIRS[1]}, this one {MAJOR}.{MINOR}" in done.stderr
    assert "fix: thoth-supervisor stop" in done.stderr
    assert "Traceback" not in done.stderr
