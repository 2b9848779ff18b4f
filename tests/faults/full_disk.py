"""What the tests of a full disk share: a store's book, and how an error is to read."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tests.integration.store_double import StoreRoom
from tests.support.small_disk import SmallDisk
from thoth_core.errors import StorageError, ThothError

D = 64
MIB = 1024 * 1024
RNG = np.random.default_rng(11)
Array = npt.NDArray[np.float32]


def rows(n: int) -> Array:
    return RNG.normal(size=(n, D)).astype(np.float32)


class Book:
    """Writes to a store, and what of it was acknowledged."""

    def __init__(self, store: StoreRoom) -> None:
        self.store = store
        self.vectors: dict[str, Array] = {}

    def add(self, n: int, text: str = "a text") -> None:
        ids, vectors = [f"id{len(self.vectors) + i}" for i in range(n)], rows(n)
        self.store.upsert(ids, vectors, texts=[f"{text} {id}" for id in ids])
        self.vectors.update(zip(ids, vectors, strict=True))

    def some_are_found(self) -> None:
        ids = [*self.vectors][:5] + [*self.vectors][-5:]
        self._find(ids)

    def all_are_found(self) -> None:
        """Each by its own vector, and each text is its own."""
        assert self.store.call("count", {"collection": "notes"}).body == {
            "count": len(self.vectors)
        }
        ids = [*self.vectors]
        for start in range(0, len(ids), 200):
            self._find(ids[start : start + 200])

    def _find(self, ids: list[str]) -> None:
        found = self.store.search(np.stack([self.vectors[id] for id in ids]), k=1)
        assert [hits[0]["id"] for hits in found] == ids
        got = self.store.get(ids=ids, include=["vectors"])
        assert got.body["ids"] == ids
        assert got.vectors is not None
        assert got.vectors.tobytes() == b"".join(self.vectors[id].tobytes() for id in ids)

    def index_is_whole(self) -> None:
        self.store.healthy()
        told = self.store.call("verify", {}).body
        assert (told["findings"], told["differing"]) == ([], 0)
        assert told["rows"] == len(self.vectors)


def is_typed(problem: ThothError, disk: SmallDisk) -> None:
    """It says what, why, where, and a command."""
    assert isinstance(problem, StorageError), repr(problem)
    assert "full" in problem.message + problem.cause
    assert str(disk.path) in problem.message + problem.cause
    assert str(problem.details["path"]).startswith(str(disk.path))
    assert f"df -h {disk.path}" in problem.fix


def index_of(store: StoreRoom) -> Any:
    store.channel.nudge()
    return store.index()["index"]


def has_no_room(store: StoreRoom) -> bool:
    return "disk is full" in index_of(store)["reason"]


def leftovers(disk: SmallDisk) -> set[str]:
    """What there is that should not be, when all is well."""
    kept = {"chroma", "ledger.sqlite3", "ledger.sqlite3-shm", "ledger.sqlite3-wal", "scan"}
    return {each.name for each in (disk.path / "d").iterdir()} - kept - {"lock-index", "lock-store"}
