"""The ledger: one SQLite file that is the truth about every collection and chunk.

This file opens it and keeps its bookkeeping: transactions, the epoch, the outcomes of requests,
the change log and how far the index has followed it. What is written about collections and chunks
is in ``ledger_collections`` and ``ledger_chunks``, what is read in ``ledger_queries``.
"""

from __future__ import annotations

import contextlib
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgpack

from store_worker.ledger_errors import concerns_all, translated
from store_worker.ledger_schema import migrate
from thoth_core.errors import StorageError

#: Write numbers are ``(epoch << EPOCH_SHIFT) + counter``.
EPOCH_SHIFT = 40
#: Seconds for which the outcome of a request is remembered.
OUTCOME_SECONDS = 600.0
#: How often the old ones are looked for.
PRUNE_SECONDS = 30.0

_BUSY_MS = 5000
#: What ``PRAGMA auto_vacuum`` says.
_INCREMENTAL = 2
_PAGE_BYTES = 8192
_CACHE_KIB = 64 * 1024
#: Pages in the write-ahead log before SQLite copies them into the ledger: 32 MiB.
_CHECKPOINT_PAGES = 4096
#: Steps of SQLite's machine, some milliseconds each hundred thousand, between two signs of life.
_STEPS = 500_000


class Ledger:
    """An open ledger. For one thread. ``db`` is for the modules of this package only.

    Every method may raise :class:`StorageError` (full, read-only, locked) or, when SQLite calls the
    file malformed, :class:`~thoth_core.errors.LedgerDamaged`.
    """

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self.db = db
        self.path = path
        self.epoch = 0
        self._tidied = -1
        #: Names this ledger in the index, so that no other ledger's collections are taken for its.
        self.ident = str(self._meta("ledger"))
        self._pruned_at = float("-inf")
        #: Whether nobody else writes; then what was read once holds until something is written:
        #: the last change and the count of rows changed, by then, in no open transaction.
        self._alone = False
        self._last_change: tuple[int, int] | None = None

    @classmethod
    def open(
        cls,
        path: Path,
        service: str,
        look: Callable[[sqlite3.Connection, Path], None] | None = None,
    ) -> Ledger:
        """Open or make the ledger at ``path`` for the supervisor start ``service``. Another start
        than the last one's begins a new epoch, on disk before this returns. Before anything is
        written, ``look`` may say that the ledger is damaged."""
        with translated(path):
            db = sqlite3.connect(path, isolation_level=None, cached_statements=256)
            try:
                _configure(db, path)
                if look is not None:
                    look(db, path)
                migrate(db)
                ledger = cls(db, path)
                ledger._alone = True
                ledger._begin_epoch(service)
            except BaseException:
                db.close()
                raise
        return ledger

    @classmethod
    def reader(cls, path: Path) -> Ledger:
        """The ledger at ``path``, which another process has open, to read what it has committed."""
        with translated(path):
            name = f"{path.absolute().as_uri()}?mode=ro"
            db = sqlite3.connect(name, uri=True, isolation_level=None)
            try:
                db.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
                db.execute("PRAGMA query_only = ON")
                return cls(db, path)
            except BaseException:
                db.close()
                raise

    def tell_progress(self, tell: Callable[[], None]) -> None:
        """Have ``tell`` called now and then in the course of a statement that takes long."""
        self.db.set_progress_handler(tell, _STEPS)

    def close(self) -> None:
        """:meth:`tidy`, and close."""
        try:
            self.tidy()
        finally:
            self.db.close()

    def tidy(self) -> None:
        """Fold the write-ahead log in: up to 32 MiB of it stay beside the ledger otherwise, however
        little was written."""
        with translated(self.path):
            # Not while somebody reads: SQLite would wait for that, and everybody for SQLite.
            self.db.execute("PRAGMA busy_timeout = 0")
            try:
                busy = self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            finally:
                self.db.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
        if not busy:
            self._tidied = self.db.total_changes

    @property
    def untidy(self) -> bool:
        """Whether something was written since :meth:`tidy`."""
        return self._tidied != self.db.total_changes

    @property
    def shrinks(self) -> bool:
        """Whether unused pages can be given back one by one; a ledger of before that is to be
        written anew first."""
        with translated(self.path):
            return bool(self.db.execute("PRAGMA auto_vacuum").fetchone()[0] == _INCREMENTAL)

    def give_back(self, pages: int) -> int:
        """Give up to ``pages`` unused pages back to the disk; how many there are still."""
        with translated(self.path):
            self.db.execute(f"PRAGMA incremental_vacuum({pages})").fetchall()
            return int(self.db.execute("PRAGMA freelist_count").fetchone()[0])

    def write_anew(self) -> None:
        """Write the whole file once more, without what is unused, and so that it can shrink."""
        with translated(self.path):
            self.db.execute("PRAGMA auto_vacuum = INCREMENTAL")
            # The copy would otherwise be made in memory.
            self.db.execute("PRAGMA temp_store = FILE")
            try:
                self.db.execute("VACUUM")
            finally:
                self.db.execute("PRAGMA temp_store = MEMORY")

    def bytes(self) -> int:
        """Size on disk, the write-ahead log included."""
        total = 0
        for suffix in ("", "-wal"):
            with contextlib.suppress(FileNotFoundError):
                total += self.path.with_name(self.path.name + suffix).stat().st_size
        return total

    # -- transactions -------------------------------------------------------------------------

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it on disk when the block ends, or nothing of it."""
        with translated(self.path):
            self.db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.db.execute("COMMIT")
            except BaseException:
                # SQLite has rolled back by itself after some errors (a full disk is one).
                if self.db.in_transaction:
                    self.db.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def savepoint(self) -> Iterator[None]:
        """A part of a transaction that can fail alone. After an error that :func:`concerns_all`
        nothing is left to go back to, and the whole transaction fails."""
        self.db.execute("SAVEPOINT part")
        try:
            yield
        except Exception as problem:
            if not concerns_all(problem):
                self.db.execute("ROLLBACK TO part")
                self.db.execute("RELEASE part")
            raise
        self.db.execute("RELEASE part")

    # -- epoch --------------------------------------------------------------------------------

    def _begin_epoch(self, service: str) -> None:
        self.epoch = int(self._meta("epoch") or 0)
        if self.epoch and self._meta("service") == service:
            return
        with self.transaction():
            self.epoch += 1
            self._set_meta("epoch", self.epoch)
            self._set_meta("service", service)
            # Tombstones stand against frames that come late. A frame of an older supervisor's
            # unit is addressed to the incarnation of a store that has ended, on a socket that is
            # gone, so nothing of before this epoch can arrive; one epoch is kept to spare.
            horizon = (self.epoch - 1) << EPOCH_SHIFT
            self.db.execute("DELETE FROM tombstones WHERE number < ?", (horizon,))
            self.db.execute("DELETE FROM departed WHERE number < ?", (horizon,))
            self.db.execute(
                "DELETE FROM documents WHERE content_hash IS NULL AND number < ?1"
                # An ingest run that began before the one which wrote it may still be under way.
                " AND NOT EXISTS (SELECT 1 FROM stages WHERE stages.number < documents.begun)"
                # What is left of a document that is not whole can still be asked for, and removed.
                " AND NOT EXISTS (SELECT 1 FROM chunks WHERE chunks.collection ="
                " documents.collection AND chunks.source = documents.source)",
                (horizon,),
            )

    def _meta(self, key: str) -> Any:
        row = self.db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def _set_meta(self, key: str, value: Any) -> None:
        self.db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    # -- outcomes -----------------------------------------------------------------------------

    def outcome(self, request: str, now: float) -> Any:
        """What request ``request`` was answered, or None. ``now`` is wall time in seconds."""
        with translated(self.path):
            row = self.db.execute(
                "SELECT outcome FROM outcomes WHERE request = ? AND at > ?",
                (request, now - OUTCOME_SECONDS),
            ).fetchone()
        return msgpack.unpackb(row[0], strict_map_key=False) if row else None

    def remember(self, request: str, outcome: Any, now: float) -> None:
        """Keep the outcome of ``request``; in a transaction."""
        self.db.execute(
            "INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?)",
            (request, msgpack.packb(outcome), now),
        )
        # A wall clock that was set back would otherwise stop the pruning.
        if not 0 <= now - self._pruned_at < PRUNE_SECONDS:
            self._pruned_at = now
            self.db.execute("DELETE FROM outcomes WHERE at <= ?", (now - OUTCOME_SECONDS,))

    # -- change log ---------------------------------------------------------------------------

    def log_changes(self, collection: int, ids: Sequence[str], op: str) -> None:
        """Note that the index must be told of ``ids``; in the transaction that changes them, after
        an upsert and before a delete."""
        self.db.executemany(
            "INSERT INTO changes (collection, id, op, row) VALUES (?1, ?2, ?3,"
            " (SELECT row FROM chunks WHERE collection = ?1 AND id = ?2))",
            [(collection, each, op) for each in ids],
        )

    def pending(self, after: int, limit: int) -> list[tuple[int, int, str]]:
        """The first changes after ``after``, as (seq, collection, id)."""
        with translated(self.path):
            return self.db.execute(
                "SELECT seq, collection, id FROM changes WHERE seq > ? ORDER BY seq LIMIT ?",
                (after, limit),
            ).fetchall()

    def changes_of(self, collection: int, after: int) -> list[tuple[str, str, int | None]]:
        """The changes of one collection after ``after``, as (id, op, row)."""
        with translated(self.path):
            return self.db.execute(
                "SELECT id, op, row FROM changes WHERE seq > ? AND collection = ? ORDER BY seq",
                (after, collection),
            ).fetchall()

    def logged_whole(self, collection: int, after: int) -> bool:
        """Whether every chunk of a collection is in the changes after ``after``."""
        with translated(self.path):
            logged = self.db.execute(
                "SELECT count(DISTINCT row) FROM changes WHERE seq > ? AND collection = ?"
                " AND row IN (SELECT row FROM chunks WHERE collection = ?)",
                (after, collection, collection),
            ).fetchone()[0]
            there = self.db.execute(
                "SELECT count(*) FROM chunks WHERE collection = ?", (collection,)
            ).fetchone()[0]
        return int(logged) == int(there)

    def last_change(self) -> int:
        """The sequence number of the last change that was ever logged."""
        known = self._last_change
        # What an open transaction wrote may be rolled back, and the count does not go back.
        settled = self._alone and not self.db.in_transaction
        if settled and known is not None and known[1] == self.db.total_changes:
            return known[0]
        with translated(self.path):
            row = self.db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'changes'")
            found = row.fetchone()
        last = int(found[0]) if found else 0
        if settled:
            self._last_change = last, self.db.total_changes
        return last

    @property
    def watermark(self) -> int:
        """The last change that the index is known to have on disk; later ones are told again after
        the index or the store did not end well."""
        with translated(self.path):
            return int(self._meta("watermark") or 0)

    def index_notes(self) -> Any:
        """What was noted about the index, or None."""
        with translated(self.path):
            packed = self._meta("index")
        return msgpack.unpackb(packed, strict_map_key=False) if packed else None

    def note_index(self, notes: Any, settled: int | None = None) -> None:
        """Note how the index stands, on disk; with ``settled``, that it has all changes up to that
        one on disk, which are forgotten."""
        with self.transaction():
            self._set_meta("index", msgpack.packb(notes))
            if settled is not None:
                self._set_meta("watermark", settled)
                self.db.execute("DELETE FROM changes WHERE seq <= ?", (settled,))


def _configure(db: sqlite3.Connection, path: Path) -> None:
    db.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    db.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
    if not db.execute("PRAGMA page_count").fetchone()[0]:
        # A new one: what is deleted can be given back page by page.
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise StorageError(
            f"the ledger cannot have a write-ahead log: {path}",
            cause="the file system has no shared memory (network folders often have none)",
            fix="set RAG_VECTOR_DB_PATH to a folder on a local disk",
        )
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA foreign_keys = ON")
    db.execute("PRAGMA temp_store = MEMORY")
    db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    db.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
    if sys.platform == "darwin":
        # There, a plain fsync does not reach the platter.
        db.execute("PRAGMA fullfsync = ON")
        db.execute("PRAGMA checkpoint_fullfsync = ON")
