"""Frames that are no messages, or messages that make no sense, on every socket of the service:
5,000 on each, or as many as ``THOTH_TEST_FRAMES`` says."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest

from tests.faults.rawsockets import Peer, connected, socket_paths
from tests.faults.watching import pids, status
from tests.support.service import RealService, wait_for
from thoth_core import wire
from thoth_core.errors import InvalidInput, from_dict
from thoth_core.ids import new_request_id
from thoth_core.vectors import to_buffer
from thoth_core.wire import MAJOR, MINOR, Frame, Message

FRAMES = int(os.environ.get("THOTH_TEST_FRAMES", "5000"))
#: Of the memory of supervisor and store after a fifth of the frames, so much may be added by the
#: others: what an allocator does not give back, and what is remembered for a time.
GROWTH = 0.1

#: What each socket is meant to get, but for what would rightly stop or restart something.
KINDS = {
    "front": [
        *("hello", "embed", "add", "query", "upsert", "search", "get", "delete", "count"),
        *("collections", "create_collection", "rename_collection", "delete_collection"),
        *("stats", "documents", "begin_ingest", "replace_document", "ping", "cancel"),
        *("begin_reembed", "reembed_page", "finish_reembed", "abort_reembed", "compact"),
    ],
    "control": ["ping", "status", "hello"],
    "back": ["hello", "state", "ready", "failed", "beat", "started", "done", "handed", "result"],
    "store": [
        *("upsert", "search", "have", "get", "delete", "count", "remember", "stats"),
        *("begin_reembed", "reembed_page", "finish_reembed", "abort_reembed", "compact"),
    ],
}
#: Fields of bodies, each with a value that it might have.
FIELDS: dict[str, Any] = {
    "texts": ["one", "two"],
    "ids": ["1", "2"],
    "metadatas": [{"key": 1}, None],
    "hashes": ["a", "b"],
    "collection": "garbage",
    "to": "garbage2",
    "k": 2,
    "where": {"key": {"$gt": 0}},
    "where_document": {"$contains": "one"},
    "include": ["vectors"],
    "limit": 1,
    "after": 0,
    "hold": True,
    "job": "j",
    "number": 5,
    "request": "r",
    "outcome": {},
    "purpose": "document",
    "source": "s",
    "content_hash": "h",
    "settings": {},
}


class Garbage:
    """Random frames, from bytes without a meaning to messages with one field that is wrong."""

    def __init__(self, seed: int, kinds: list[str], incarnation: str) -> None:
        self._chance = random.Random(seed)
        self._kinds = kinds
        self._incarnation = incarnation

    def message(self) -> list[Frame]:
        makers: list[Callable[[], list[Frame]]] = [self._bytes, self._values, self._nearly]
        return self._chance.choice(makers)()

    def _bytes(self) -> list[Frame]:
        chance = self._chance
        return [chance.randbytes(chance.randrange(200)) for _ in range(chance.randrange(1, 20))]

    def _values(self) -> list[Frame]:
        return [msgpack.packb(self._value(3)) for _ in range(self._chance.randrange(1, 5))]

    def _nearly(self) -> list[Frame]:
        """An envelope that may be right, with a body that may be."""
        chance = self._chance
        envelope: dict[str, Any] = {
            "v": [MAJOR, MINOR],
            "kind": chance.choice(self._kinds),
            "id": f"{chance.getrandbits(64):x}",
            "attempt": chance.randrange(3),
            "incarnation": self._incarnation,
        }
        buffers: list[Frame] = []
        if chance.random() < 0.5:
            buffers.append(chance.randbytes(4 * 2 * 4))
            envelope["buffers"] = [{"dtype": "<f4", "shape": [2, 4]}]
        if chance.random() < 0.2:
            envelope[chance.choice(list(envelope))] = self._value(1)
        body = {name: value for name, value in FIELDS.items() if chance.random() < 0.9}
        for name in chance.sample(list(FIELDS), chance.randrange(4)):
            body[name] = self._value(2)
        return [msgpack.packb(envelope), msgpack.packb(body), *buffers]

    def _value(self, depth: int) -> Any:
        chance = self._chance
        if depth and chance.random() < 0.5:
            many = range(chance.randrange(4))
            if chance.random() < 0.5:
                return [self._value(depth - 1) for _ in many]
            return {self._value(0): self._value(depth - 1) for _ in many}
        plain = [None, True, -1, 2**63, float("nan"), 1e300, "", "x" * 40, chance.randbytes(10)]
        return chance.choice(plain)


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
