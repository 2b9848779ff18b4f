"""A store that ends with its process at a given step, for ``test_store_dies_at_any_step``.

``python -m tests.integration.dying_store FOLDER STEP`` makes the calls of :func:`plan` in order and
writes down each that was answered. A step is one edge of a transaction, or of
something asked of the index process or answered by it.
"""

from __future__ import annotations

import contextlib
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from store_worker.index_answers import IndexAnswers
from store_worker.index_child import IndexChild
from store_worker.ledger import Ledger
from tests.integration.store_double import StoreRoom
from thoth_core.errors import CollectionExists, CollectionNotFound

DIED = 77
#: Both are answers like any other here.
REFUSALS = (CollectionExists, CollectionNotFound)
_KINDS = (
    "upsert",
    "upsert",
    "delete",
    "filter",
    "delete_collection",
    "rename_collection",
    "replace",
)

Call = tuple[str, dict[str, Any], Any]
#: {collection: {id: (text, metadata, vector)}}
Model = dict[str, dict[str, tuple[str | None, dict[str, Any], bytes]]]


def plan(seed: int, length: int = 14) -> list[Call]:
    choose, rng = random.Random(seed), np.random.default_rng(seed)
    calls: list[Call] = []
    for n in range(1, length + 1):
        name, kind = choose.choice(["one", "two"]), choose.choice(_KINDS)
        if n <= 2:
            name, kind = ("one", "two")[n - 1], "upsert"
        ids = choose.sample("abcdefgh", choose.randint(1, 5))
        body: dict[str, Any] = {"collection": name, "number": (1 << 40) + n, "request": f"r{n}"}
        vectors = None
        if kind == "upsert":
            choices = [None, {"g": 0, f"k{n % 2}": 1}, {"g": 1, "source": "s"}]
            body |= {"ids": ids, "model": None}
            body["texts"] = [choose.choice([None, f"{n}{id}"]) for id in ids]
            body["metadatas"] = [choose.choice(choices) for _ in ids]
            vectors = rng.normal(size=(len(ids), 4)).astype(np.float32)
        elif kind == "delete":
            body["ids"] = ids
        elif kind == "filter":
            kind, body["where"] = "delete", {"g": choose.randint(0, 1)}
        elif kind == "rename_collection":
            body["to"] = choose.choice(["one", "two", "three"])
        elif kind == "replace":
            kind = "replace_document"
            body |= {"source": "s", "content_hash": "h", "ids": ids}
        calls.append((kind, body, vectors))
    return calls


def apply(model: Model, call: Call) -> None:
    """What ``call`` does, in plain dicts."""
    kind, body, vectors = call
    name = body["collection"]
    if kind == "upsert":
        chunks = model.setdefault(name, {})
        for i, id in enumerate(body["ids"]):
            chunks[id] = (body["texts"][i], body["metadatas"][i] or {}, vectors[i].tobytes())
    elif kind == "delete_collection":
        model.pop(name, None)
    elif kind == "rename_collection":
        if name in model and body["to"] not in model:
            model[body["to"]] = model.pop(name)
    elif kind == "replace_document":
        chunks = model.setdefault(name, {})
        for id in [i for i, c in chunks.items() if c[1].get("source") == "s"]:
            if id not in body["ids"]:
                del chunks[id]
    else:
        chunks = model.get(name, {})
        for id in list(chunks):
            filtered = "where" in body and chunks[id][1].get("g") == body["where"]["g"]
            if filtered or id in body.get("ids", ()):
                del chunks[id]


def main(folder: Path, last: int) -> None:
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1
        if steps == last:
            os._exit(DIED)

    ask, answered_by, transaction = IndexChild.ask, IndexAnswers._answered, Ledger.transaction

    def dying_ask(self: IndexChild, *given: Any, **fields: Any) -> None:
        step()
        ask(self, *given, **fields)
        step()

    def dying_answered(self: IndexAnswers, *given: Any) -> None:
        step()
        answered_by(self, *given)
        step()

    @contextlib.contextmanager
    def dying_transaction(self: Ledger) -> Iterator[None]:
        step()
        with transaction(self):
            yield
            step()
        step()

    IndexChild.ask = dying_ask  # type: ignore[method-assign]
    IndexAnswers._answered = dying_answered  # type: ignore[method-assign]
    Ledger.transaction = dying_transaction  # type: ignore[method-assign]
    with (
        (folder / "answered").open("a") as answered,
        StoreRoom(folder / "d", folder / "r") as store,
    ):
        for kind, body, vectors in plan(int(folder.name)):
            with contextlib.suppress(*REFUSALS):
                store.call(kind, body, vectors)
            answered.write("x")
            answered.flush()
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
