"""Frames that are no messages, or messages that make no sense, on every socket of the service:
5,000 on each, or as many as ``THOTH_TEST_FRAMES`` says."""

from __future__ import annotations

import contextlib
import os
import random
import socket
from pathlib import Path

import numpy as np
import pytest

from tests.faults.garbage import KINDS, Garbage
from tests.faults.rawsockets import Peer, connected, socket_paths
from tests.faults.watching import pids, status
from tests.support.service import RealService, wait_for
from thoth_core import wire
from thoth_core.errors import InvalidInput, from_dict
from thoth_core.ids import new_request_id
from thoth_core.vectors import to_buffer
from thoth_core.wire import Message

FRAMES = int(os.environ.get("THOTH_TEST_FRAMES", "5000"))
#: Of the memory of supervisor and store after a fifth of the frames, so much may be added by the
#: others: what an allocator does not give back, and what is remembered for a time.
GROWTH = 0.1
#: Connections that begin with bytes which are no ZMTP, or nearly.
CONNECTIONS = 1000
#: What a DEALER says first: its greeting, and that it is ready.
GREETING = b"\xff" + bytes(7) + b"\1\x7f\3\1NULL" + bytes(16) + bytes(32)
DEALER = b"\4\x26\5READY\x0bSocket-Type\0\0\0\6DEALER\x08Identity\0\0\0\0"


@pytest.mark.parametrize("name", list(KINDS))
def test_random_frames_end_no_process_and_the_service_still_answers(
    shared: RealService, name: str
) -> None:
    before, counted = pids(shared), _counted(shared)
    with shared.client() as thoth:
        thoth.add(["a good text"], ids=["good"])
    path = socket_paths(shared)[name]
    incarnation = path.stem.partition("-")[2]
    # A fixed seed: what fails once fails again.
    garbage = Garbage(20260, KINDS[name], incarnation)
    with connected(path, b"embed.embed-bulk-1." + incarnation.encode() + b"0") as peer:
        used: dict[str, int] = {}
        for number in range(FRAMES):
            if number == FRAMES // 5:
                used = _memory(before)
            peer.send(garbage.message())
            peer.drain()
        # Until all of them have been read.
        if name == "back":
            wait_for(lambda: _counted(shared) >= counted + FRAMES, 30, "all frames are counted")
        elif name == "store":
            _mark(shared, peer, incarnation)
        else:
            peer.ping()
    wait_for(lambda: status(shared)["queue"]["requests"] == 0, 60, "all calls are answered")
    with shared.client() as thoth:
        assert thoth.add([f"after {name}"], ids=[name]).failed == []
        assert [hit.id for hit in thoth.query(f"after {name}", k=1)] == [name]
        assert [row.text for row in thoth.get(ids=["good"])] == ["a good text"]
    assert pids(shared) == before
    assert status(shared)["state"] == "ready"
    assert _counted(shared) > counted
    for process, bytes_used in _memory(before).items():
        print(f"{process}: {used[process] >> 20} MiB, {bytes_used >> 20} MiB at the end")
        assert bytes_used <= used[process] * (1 + GROWTH) + (8 << 20)


def test_bytes_that_are_no_zmtp_end_no_process(shared: RealService) -> None:
    before, paths, chance = pids(shared), [*socket_paths(shared).values()], random.Random(20261)
    for number in range(CONNECTIONS):
        said = bytearray((GREETING + DEALER) * (number % 3 > 0))
        if said:
            said[chance.randrange(len(said))] = chance.randrange(256)
        said += chance.randbytes(chance.randrange(1, 300))
        with socket.socket(socket.AF_UNIX) as connection, contextlib.suppress(BrokenPipeError):
            connection.connect(str(paths[number % len(paths)]))
            connection.sendall(said)
            if number % 5 == 0:
                # What is read of it first is the end.
                continue
            connection.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):
                # Until the other end has done with it.
                while connection.recv(4096):
                    pass
    with shared.client() as thoth:
        assert thoth.add(["after it"], ids=["zmtp"]).failed == []
        assert [hit.id for hit in thoth.query("after it", k=1)] == ["zmtp"]
    assert pids(shared) == before


@pytest.mark.parametrize("name", ["", "nobody", 7, [], ["store"], {}, {"a": 1}, True, b"store"])
def test_a_restart_of_what_is_no_worker_is_refused(shared: RealService, name: object) -> None:
    before = pids(shared)
    id = new_request_id()
    with connected(socket_paths(shared)["control"]) as peer:
        peer.send(wire.encode(Message("restart", id, body={"worker": name})))
        assert isinstance(from_dict(peer.answer(id).body), InvalidInput)
    assert pids(shared) == before


def _memory(pids: dict[str, int]) -> dict[str, int]:
    """The private and shared memory in use, in bytes, of supervisor and store."""
    pages = {
        name: int(Path(f"/proc/{pids[name]}/statm").read_text().split()[1])
        for name in ("supervisor", "store")
    }
    return {name: each * os.sysconf("SC_PAGE_SIZE") for name, each in pages.items()}


def _counted(service: RealService) -> int:
    """Messages that the supervisor could make nothing of."""
    counters = status(service)["counters"]
    return int(counters["frames_bad"] + counters["frames_late"])


def _mark(service: RealService, peer: Peer, incarnation: str) -> None:
    """Write a row past the supervisor, after everything else, and wait until it is there."""
    body = {"collection": "mark", "ids": ["mark"], "texts": ["m"], "number": 1, "model": None}
    vector = to_buffer(np.ones((1, 4), dtype=np.float32))
    message = Message("upsert", "mark", 1, incarnation, body=body, buffers=(vector,))
    peer.send(wire.encode(message))
    with service.client() as thoth:
        wait_for(
            lambda: "mark" in {each.name for each in thoth.collections()}, 60, "the mark is there"
        )
