"""Frames that are no messages, or messages that make no sense, for every socket of the service."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import msgpack

from thoth_core.wire import MAJOR, MINOR, Frame

#: What each socket is meant to get, but for what would rightly stop or restart something.
KINDS = {
    "front": [
        *("hello", "embed", "add", "query", "upsert", "search", "get", "delete", "count"),
        *("collections", "create_collection", "rename_collection", "delete_collection"),
        *("stats", "documents", "look_up", "begin_ingest", "replace_document", "ping", "cancel"),
        *("begin_reembed", "reembed_page", "finish_reembed", "abort_reembed", "compact"),
    ],
    "control": ["ping", "status", "hello"],
    "back": ["hello", "state", "ready", "failed", "beat", "started", "done", "handed", "result"],
    "store": [
        *("upsert", "search", "have", "get", "delete", "count", "remember", "stats", "look_up"),
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
