"""The calls of the power-loss test, and what they do to plain dicts.

Of collections, chunks and documents; in bursts, so that some of them share a transaction. The state
after each call is known before any of them is made.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.integration.store_double import model as identity
from thoth_core.ids import text_hash

DIMENSION = 16
MODEL = identity(f"fake/{DIMENSION}", DIMENSION)
#: Of documents; it is neither renamed nor dropped, so that its staged chunks are not either.
PAPERS = "papers"
_NAMES = ("one", "two", "three")
_KINDS = ("upsert", "upsert", "upsert", "delete", "document", "rename_collection", "drop")

#: {collection: {id: (text, metadata, vector)}}
Chunks = dict[str, dict[str, tuple[str | None, dict[str, Any], bytes]]]


@dataclass(frozen=True, slots=True)
class Call:
    kind: str
    body: Mapping[str, Any]
    vectors: Any = None


@dataclass
class World:
    """What is there after some of the calls."""

    chunks: Chunks = field(default_factory=dict)
    staged: dict[int, dict[str, tuple[str | None, dict[str, Any], bytes]]] = field(
        default_factory=dict
    )

    def apply(self, call: Call) -> None:
        body = call.body
        name = body.get("collection", "")
        if call.kind == "begin_ingest":
            self.staged[body["number"]] = {}
        elif call.kind == "upsert":
            staged = body.get("stage")
            mine = self.chunks.setdefault(name, {})
            into = mine if staged is None else self.staged[staged]
            for i, id in enumerate(body["ids"]):
                into[id] = (body["texts"][i], body["metadatas"][i] or {}, call.vectors[i].tobytes())
        elif call.kind == "replace_document":
            mine = self.chunks.setdefault(name, {})
            for id in [i for i, chunk in mine.items() if chunk[1]["source"] == body["source"]]:
                del mine[id]
            mine |= self.staged.pop(body["stage"])
        elif call.kind == "delete":
            for id in body["ids"]:
                self.chunks.get(name, {}).pop(id, None)
        elif call.kind == "delete_collection":
            self.chunks.pop(name, None)
        else:
            assert call.kind == "rename_collection"
            if name in self.chunks and body["to"] not in self.chunks:
                self.chunks[body["to"]] = self.chunks.pop(name)


def plan(seed: int, length: int) -> list[Call]:
    """At least ``length`` calls, numbered as those of one supervisor."""
    choose, rng = random.Random(seed), np.random.default_rng(seed)
    calls: list[Call] = []

    def text() -> str | None:
        # Up to more than a page, so that a row is in several sectors.
        return choose.choice([None, f"{choose.random()} " * choose.choice([1, 20, 600])])

    def add(kind: str, vectors: Any = None, **body: Any) -> int:
        number = (1 << 40) + len(calls) + 1
        calls.append(Call(kind, {"number": number, "request": f"r{number}", **body}, vectors))
        return number

    def vectors_for(ids: list[str]) -> Any:
        return rng.normal(size=(len(ids), DIMENSION)).astype(np.float32)

    while len(calls) < length:
        kind = choose.choice(_KINDS) if len(calls) > 6 else "upsert"
        name = choose.choice(_NAMES)
        ids = choose.sample("abcdefghijkl", choose.randint(1, 6))
        if kind == "upsert":
            metadatas = [choose.choice([None, {"n": len(calls)}]) for _ in ids]
            texts = [text() for _ in ids]
            more: dict[str, Any] = {"ids": ids, "texts": texts, "metadatas": metadatas}
            add("upsert", vectors_for(ids), collection=name, model=None, **more)
        elif kind == "delete":
            add("delete", collection=name, ids=ids)
        elif kind == "drop":
            add("delete_collection", collection=name)
        elif kind == "rename_collection":
            add("rename_collection", collection=name, to=choose.choice(_NAMES))
        else:
            source = choose.choice(["/a.txt", "/b.txt"])
            # Chunks of a document are its own: their ids name it.
            ids = [source + id for id in ids]
            written = [text() or "empty" for _ in ids]
            stage = add("begin_ingest")
            more = {
                "ids": ids,
                "texts": written,
                "metadatas": [{"source": source} for _ in ids],
                "hashes": [text_hash(each) for each in written],
                # What an embed worker sends is a part of a request and carries no request's id.
                "request": None,
            }
            staged = {"collection": PAPERS, "stage": stage}
            add("upsert", vectors_for(ids), model=MODEL, **staged, **more)
            add("replace_document", source=source, content_hash=f"h{stage}", ids=ids, **staged)
    return calls


def states(calls: list[Call]) -> list[Chunks]:
    """What is there before the first call and after each."""
    world, found = World(), [Chunks()]
    for call in calls:
        world.apply(call)
        found.append(copy.deepcopy(world.chunks))
    return found


def bursts(calls: list[Call], seed: int) -> list[list[int]]:
    """Positions of the calls that are sent without waiting for one another."""
    choose, found, start = random.Random(seed), [], 0
    while start < len(calls):
        stop = min(len(calls), start + choose.randint(1, 5))
        found.append(list(range(start, stop)))
        start = stop
    return found
