"""Chroma as an index of the ledger: it finds ids, and can be made again from nothing.

``chroma/`` is an ordinary Chroma directory with the users' names, ids, texts, metadata and vectors,
so that a stock client reads it while Thoth is stopped.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from store_worker.chroma_import import import_chromadb
from store_worker.replay import Create, Drop, Found, Rename, Step, plan_collections
from store_worker.room import check_room, has_room
from thoth_core.errors import MissingDependency, StorageError
from thoth_core.vectors import Vectors

if TYPE_CHECKING:
    from chromadb.api.client import Client
    from chromadb.api.models.Collection import Collection as ChromaCollection

#: Rows after which Chroma writes its graph to the disk. A kill meanwhile damages it, so it must be
#: seldom; but whoever opens the index reads all rows since then from Chroma's log. Measured in
#: docs/measurements.md.
SYNC_THRESHOLD = 5_000
EF_SEARCH = 100
#: What SQLite under Chroma says to a filter of more than 32,766 values.
_TOO_MANY = "too many SQL variables"
#: And what it says when there is no room.
_NO_ROOM = "database or disk is full"
#: Metadata of a Chroma collection that ties it to a ledger and a collection there.
LEDGER_KEY = "thoth_ledger"
OWNER_KEY = "thoth_collection"


class IndexRefused(Exception):
    """Chroma does not accept what it was asked; the index itself is well."""


class IndexFailed(Exception):
    """A call into Chroma failed."""


class IndexFull(Exception):
    """The disk was full in the middle of a call. What the index has now is not known, and the next
    call may hang: the process is of no more use."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A record of the index. ``metadata`` is the ledger's JSON."""

    id: str
    vector: bytes
    text: str | None
    metadata: str | None


class Index:
    """An open Chroma directory. For one thread; ``critical`` is held around every call."""

    def __init__(self, client: Client, path: Path, ident: str, critical: Lock) -> None:
        self.path = path
        self._client = client
        self._ident = ident
        self._critical = critical
        self._handles: dict[int, ChromaCollection] = {}
        with self._call():
            self.max_batch = int(client.get_max_batch_size())

    @classmethod
    def open(cls, path: Path, ident: str, critical: Lock) -> Index:
        """Open or make the directory for the ledger ``ident``. :class:`IndexFailed`,
        :class:`IndexFull`, :class:`MissingDependency`; :class:`StorageError` before anything is
        done, also if there is no room: Chroma writes as it opens."""
        try:
            chromadb = import_chromadb()
            from chromadb.config import Settings
        except ImportError as problem:
            raise MissingDependency(
                "chromadb is not installed",
                cause=str(problem),
                fix="pip install 'thoth-core[service]'",
            ) from problem
        check_room(path.parent)
        try:
            path.mkdir(exist_ok=True)
        except OSError as problem:
            raise StorageError(
                f"the folder of the index cannot be made: {path}",
                cause=problem.strerror or str(problem),
                fix=f"ls -ld {path} {path.parent}; df -h {path.parent}",
                path=str(path),
            ) from problem
        with critical, _translated(path):
            client: Any = chromadb.PersistentClient(
                path=str(path), settings=Settings(anonymized_telemetry=False)
            )
        return cls(client, path, ident, critical)

    def close(self) -> None:
        with self._call():
            self._handles.clear()
            self._client.close()

    # -- collections --------------------------------------------------------------------------

    def plan(self, ledger: Mapping[int, str]) -> list[Step]:
        """What has to be done for the index to have the collections of ``ledger`` (id to name)."""
        found = []
        with self._call():
            # Chroma lists 100 without a limit.
            listed = self._client.list_collections(limit=self._client.count_collections() or 1)
        for each in listed:
            tags = each.metadata or {}
            mine = tags.get(LEDGER_KEY) == self._ident
            owner = tags.get(OWNER_KEY) if mine else None
            found.append(Found(each.name, owner if isinstance(owner, int) else None))
        return plan_collections(ledger, found)

    def take(self, step: Step, space: str) -> None:
        """Carry out one step of a plan; a collection is made with ``space``. :class:`StorageError`
        before it if there is no room."""
        check_room(self.path.parent)
        with self._call():
            if isinstance(step, Drop):
                self._handles.clear()
                self._client.delete_collection(step.name)
            elif isinstance(step, Rename):
                self._handles.clear()
                self._client.get_collection(step.name, embedding_function=None).modify(step.to)
            else:
                self._create(step, space)

    def _create(self, step: Create, space: str) -> None:
        client: Any = self._client
        handle = client.create_collection(
            step.name,
            metadata={LEDGER_KEY: self._ident, OWNER_KEY: step.owner},
            configuration={
                "hnsw": {
                    "space": space,
                    "sync_threshold": SYNC_THRESHOLD,
                    "ef_search": EF_SEARCH,
                }
            },
            embedding_function=None,
        )
        self._handles[step.owner] = self._warm(handle)

    def attach(self, ledger: Mapping[int, str]) -> None:
        """Take hold of the collections of ``ledger``, which the index has."""
        for owner, name in ledger.items():
            if owner not in self._handles:
                with self._call():
                    handle = self._client.get_collection(name, embedding_function=None)
                    self._handles[owner] = self._warm(handle)

    @staticmethod
    def _warm(handle: ChromaCollection) -> ChromaCollection:
        # Chroma 1.5.9: if the first call after opening or making a collection is a write, the first
        # write after the first search puts every row of the log into the graph once more, 2.5 ms a
        # row. A read that comes before all else avoids that.
        handle.count()
        return handle

    def has(self, owner: int) -> bool:
        return owner in self._handles

    def _handle(self, owner: int) -> ChromaCollection:
        try:
            return self._handles[owner]
        except KeyError:
            raise IndexFailed("the index has not got this collection yet") from None

    # -- records ------------------------------------------------------------------------------

    def apply(self, owner: int, upserts: Sequence[Entry], deletes: Sequence[str]) -> None:
        """Bring records up to date; may be repeated. :class:`StorageError` before it if there is no
        room."""
        size = sum(len(each.vector) + 4 * len(each.text or "") for each in upserts)
        check_room(self.path.parent, size)
        handle = self._handle(owner)
        for start in range(0, len(deletes), self.max_batch):
            with self._call():
                handle.delete(ids=list(deletes[start : start + self.max_batch]))
        for start in range(0, len(upserts), self.max_batch):
            self._upsert(handle, upserts[start : start + self.max_batch])

    def _upsert(self, handle: ChromaCollection, entries: Sequence[Entry]) -> None:
        ids = [each.id for each in entries]
        with self._call():
            before = handle.get(ids=ids, include=["metadatas"])
        # Chroma's upsert merges: keys that are gone must be told as None, and a text can be taken
        # away only with the record.
        old: dict[str, Any] = dict(zip(before["ids"], before["metadatas"] or [], strict=True))
        textless = [each.id for each in entries if each.text is None and each.id in old]
        if textless:
            with self._call():
                handle.delete(ids=textless)
            for id in textless:
                del old[id]
        metadatas: list[Any] = []
        for each in entries:
            new = json.loads(each.metadata) if each.metadata else {}
            gone = dict.fromkeys((old.get(each.id) or {}).keys() - new.keys())
            metadatas.append({**new, **gone} or None)
        vectors = np.frombuffer(b"".join(each.vector for each in entries), "<f4")
        documents: list[Any] = [each.text for each in entries]
        with self._call():
            handle.upsert(
                ids=ids,
                embeddings=vectors.reshape(len(entries), -1),
                metadatas=metadatas,
                documents=documents,
            )

    def nearest(
        self,
        owner: int,
        vectors: Vectors,
        n: int,
        where: Mapping[str, Any] | None,
        where_document: Mapping[str, Any] | None,
    ) -> list[list[str]]:
        """Ids of up to ``n`` near records for each row of ``vectors`` (m, dimension)."""
        filters: dict[str, Any] = {"where": where, "where_document": where_document}
        with self._call():
            found = self._handle(owner).query(
                query_embeddings=vectors, n_results=n, include=[], **filters
            )
        return found["ids"]

    def matching(
        self,
        owner: int,
        ids: Sequence[str] | None,
        where: Mapping[str, Any] | None,
        where_document: Mapping[str, Any] | None,
    ) -> list[str]:
        """Ids of the records (out of ``ids``, if given) that the filters let through."""
        filters: dict[str, Any] = {"where": where, "where_document": where_document}
        handle = self._handle(owner)
        if ids is None:
            with self._call():
                return handle.get(include=[], **filters)["ids"]
        found: list[str] = []
        for start in range(0, len(ids), self.max_batch):
            with self._call():
                part = list(ids[start : start + self.max_batch])
                found += handle.get(ids=part, include=[], **filters)["ids"]
        return found

    @contextlib.contextmanager
    def _call(self) -> Iterator[None]:
        with self._critical, _translated(self.path):
            yield


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    from chromadb.errors import InvalidArgumentError, InvalidDimensionException

    try:
        yield
    except (InvalidArgumentError, InvalidDimensionException, ValueError, TypeError) as problem:
        raise IndexRefused(str(problem)) from problem
    except (IndexFailed, IndexFull):
        raise
    except Exception as problem:
        if _TOO_MANY in str(problem):
            raise IndexRefused("the filter has too many values") from problem
        # Not every part of Chroma says why it failed.
        if _NO_ROOM in str(problem) or not has_room(path.parent):
            raise IndexFull(f"{type(problem).__name__}: {problem}") from problem
        raise IndexFailed(f"{type(problem).__name__}: {problem}") from problem
    except BaseException as problem:
        # A panic in Chroma's Rust code arrives as a BaseException of pyo3.
        if type(problem).__name__ == "PanicException":
            if not has_room(path.parent):
                raise IndexFull(f"Chroma panicked: {problem}") from problem
            raise IndexFailed(f"Chroma panicked: {problem}") from problem
        raise
