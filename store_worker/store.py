"""The open store: what the calls work on, and how its parts are opened."""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from store_worker import ledger_guard, ledger_staging
from store_worker.applier import Applier, IndexBroken
from store_worker.index import Index, IndexFailed, IndexRefused
from store_worker.ledger import Ledger
from store_worker.snapshots import Snapshots
from thoth_core.errors import LedgerDamaged, StorageError

#: Versions told at READY.
_PACKAGES = ("chromadb", "numpy", "msgpack")


@dataclass(slots=True)
class Store:
    """``now`` gives wall time in seconds."""

    ledger: Ledger
    index: Index
    applier: Applier
    now: Callable[[], float]
    snapshots: Snapshots = field(default_factory=Snapshots)

    @classmethod
    def open(
        cls,
        data_dir: Path,
        service: str,
        critical: Lock,
        log: logging.Logger,
        now: Callable[[], float],
        progress: Callable[[], None],
    ) -> Store:
        """Open or make the store in ``data_dir``, whose lock the caller holds, and bring the index
        up to date. Raises typed errors for what a person can mend, :class:`IndexBroken` otherwise.
        """
        ledger_guard.before_open(data_dir / "ledger.sqlite3")
        ledger = Ledger.open(data_dir / "ledger.sqlite3", service, ledger_guard.look)
        try:
            try:
                index = Index.open(data_dir / "chroma", ledger.ident, critical)
            except (IndexFailed, IndexRefused) as problem:
                raise IndexBroken(f"the index cannot be opened: {problem}") from problem
            # A full disk is no reason not to serve what can be read.
            with contextlib.suppress(StorageError), ledger.transaction():
                ledger_staging.prune(ledger, now())
            store = cls(ledger, index, Applier(ledger, index, log), now)
            progress()
            # A full disk is no reason not to serve what can be read: see Applier.behind.
            with contextlib.suppress(StorageError):
                store.applier.catch_up(progress)
            if isinstance(store.applier.behind, LedgerDamaged):
                raise store.applier.behind
        except BaseException:
            ledger.db.close()
            raise
        return store

    def close(self) -> None:
        """Close both; what cannot be written now is replayed at the next start."""
        self.snapshots.close_all()
        try:
            self.ledger.close()
        finally:
            self.index.close()


def make_folder(path: Path) -> None:
    """Make the data directory; :class:`StorageError` that says why it cannot be."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as problem:
        in_place = isinstance(problem, FileExistsError | NotADirectoryError)
        raise StorageError(
            f"the data directory cannot be made: {path}",
            cause="there is a file where the folder should be"
            if in_place
            else problem.strerror or str(problem),
            fix="move that file away, or set RAG_VECTOR_DB_PATH to another folder"
            if in_place
            else f"make {path.parent} writable for your user, or set RAG_VECTOR_DB_PATH to another"
            " folder",
            path=str(path),
        ) from problem


def versions() -> Mapping[str, Any]:
    found = {"sqlite": sqlite3.sqlite_version}
    for name in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found
