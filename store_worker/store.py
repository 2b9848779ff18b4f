"""The open store: what the calls work on, and how its parts are opened."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import logging
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from store_worker import ledger_guard, ledger_staging
from store_worker.keeper import Keeper
from store_worker.ledger import Ledger
from store_worker.passes import Passes
from store_worker.snapshots import Snapshots
from thoth_core.errors import MissingDependency, StorageError

#: Versions told at READY.
_PACKAGES = ("chromadb", "numpy", "msgpack")


@dataclass(slots=True)
class Store:
    """``now`` gives wall time in seconds."""

    ledger: Ledger
    keeper: Keeper
    data_dir: Path
    now: Callable[[], float]
    snapshots: Snapshots = field(default_factory=Snapshots)
    passes: Passes = field(default_factory=Passes)

    def __post_init__(self) -> None:
        self.keeper.before_log_is_cut.append(self.passes.follow)

    @classmethod
    def open(
        cls,
        data_dir: Path,
        service: str,
        log: logging.Logger,
        now: Callable[[], float],
        nudge: Callable[[], None],
        *,
        faults: bool = False,
        keep_damaged: bool = False,
    ) -> Store:
        """Open or make the store in ``data_dir``, whose lock the caller holds. Its index is opened
        by and by; ``nudge`` is called when that has something to say. Raises typed errors."""
        if importlib.util.find_spec("chromadb") is None:
            raise MissingDependency(
                "chromadb is not installed", fix="pip install 'thoth-core[service]'"
            )
        chroma = data_dir / "chroma"
        if chroma.exists() and not chroma.is_dir():
            raise StorageError(
                f"the folder of the index cannot be made: {chroma}",
                cause="there is a file where the folder should be",
                fix=f"move that file away: mv {chroma} {chroma}.aside",
                path=str(chroma),
            )
        ledger_guard.before_open(data_dir / "ledger.sqlite3")
        ledger = Ledger.open(data_dir / "ledger.sqlite3", service, ledger_guard.look)
        try:
            # A full disk is no reason not to serve what can be read.
            with contextlib.suppress(StorageError), ledger.transaction():
                ledger_staging.prune(ledger, now())
            keeper = Keeper(ledger, data_dir, log, nudge, faults=faults, keep_damaged=keep_damaged)
        except BaseException:
            ledger.db.close()
            raise
        return cls(ledger, keeper, data_dir, now)

    def close(self, *, finish: bool) -> None:
        """Close both; with ``finish``, when the index has everything. What it lacks is told to it
        at the next start."""
        self.snapshots.close_all()
        try:
            self.keeper.close(finish=finish)
        finally:
            self.ledger.close()


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
