"""The loop of the store worker: calls in, answers out.

Reads go first, then one group of the writes that wait shares a transaction, and with it one wait
for the disk. A write is answered when the ledger has it on disk and the index finds it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from store_worker import calls_write, ledger_guard, ledger_queries
from store_worker.applier import IndexBroken
from store_worker.calls_read import READS
from store_worker.faults import Faults
from store_worker.ledger import concerns_all
from store_worker.locks import own
from store_worker.store import Store, make_folder, versions
from thoth_core.errors import (
    InternalError,
    LedgerDamaged,
    ProtocolError,
    StorageError,
    ThothError,
)
from thoth_core.wire import Buffer, Message
from thoth_core.worker.channel import Channel

#: Bounds of a group of writes; one call over them is a group of its own.
GROUP_ROWS = 500
GROUP_BYTES = 16 * 1024 * 1024
#: Reads answered before writes have their turn.
READS_IN_A_ROW = 64
#: Seconds without a call after which the ledger is tidied.
QUIET_SECONDS = 5.0


def serve(channel: Channel, config: Mapping[str, Any]) -> None:
    """Serve the data directory of ``config`` until told to end.

    Raises a :class:`ThothError` for what a person can mend, and :class:`IndexBroken` when the index
    is of no use to this process any more.
    """
    channel.state("OPENING")
    data_dir, runtime_dir = Path(config["data_dir"]), Path(config["runtime_dir"])
    settings = config.get("settings") or {}
    make_folder(data_dir)
    lock = own(data_dir)
    try:
        store = Store.open(
            data_dir,
            str(config["service"]),
            channel.critical,
            channel.log,
            time.time,
            channel.progress,
        )
        try:
            endpoint = _bind(channel, runtime_dir)
            channel.ready(
                {
                    "endpoint": endpoint,
                    "epoch": store.ledger.epoch,
                    "versions": dict(versions()),
                    "chunks": ledger_queries.total(store.ledger),
                    "index_state": "healthy",
                }
            )
            Service(channel, store, Faults(bool(settings.get("faults")))).run()
        except LedgerDamaged as problem:
            ledger_guard.met(store.ledger.path, problem)
            raise
        finally:
            _close(channel, store)
    finally:
        lock.release()


def _bind(channel: Channel, runtime_dir: Path) -> str:
    # The lock of the data directory is held, so no store that lives has a socket here.
    for stale in runtime_dir.glob("store-*.sock"):
        stale.unlink(missing_ok=True)
    path = str(runtime_dir / f"store-{channel.incarnation}.sock")
    try:
        channel.bind(path)
    except Exception as problem:
        raise StorageError(
            f"the store's socket cannot be made: {path}",
            cause=str(problem),
            fix=f"ls -ld {runtime_dir}; or set THOTH_RUNTIME_DIR to another folder",
            path=path,
        ) from problem
    return path


def _close(channel: Channel, store: Store) -> None:
    try:
        store.close()
    except Exception as problem:
        # Whatever was acknowledged is on disk; what is lost here is replayed at the next start.
        channel.log.warning("the store did not close cleanly: %s", problem)


class Service:
    """The queue of an open store."""

    def __init__(self, channel: Channel, store: Store, faults: Faults) -> None:
        self._channel = channel
        self._store = store
        self._faults = faults
        self._reads: deque[Message] = deque()
        self._writes: deque[Message] = deque()
        self._dropped = 0
        self._untidy = False

    def run(self) -> None:
        """Until "stop", or "drain" and nothing is left."""
        while True:
            idle = not (self._reads or self._writes)
            self._channel.busy = not idle
            arrived = self._take(wait=idle)
            if self._channel.stopping == "stop":
                return
            if self._channel.stopping and idle and not arrived:
                return
            if idle and not arrived:
                self._tidy()
                continue
            self._channel.busy = True
            self._answer_reads()
            if self._caught_up():
                self._write_group()

    # -- the queue ----------------------------------------------------------------------------

    def _take(self, *, wait: bool) -> bool:
        """Move what has arrived into the queues; whether anything had."""
        # A snapshot keeps the write-ahead log from being folded in, and has to end by itself.
        quiet = QUIET_SECONDS if self._untidy or self._store.snapshots else None
        delivery = self._channel.receive(quiet if wait else 0)
        arrived = delivery is not None
        while delivery is not None:
            message = delivery.message
            if message.incarnation != self._channel.incarnation:
                # Meant for a store that has ended; dispatch sends it to this one by itself.
                self._dropped += 1
                self._channel.vitals["dropped"] = self._dropped
            elif message.kind in READS:
                self._reads.append(message)
            elif message.kind in calls_write.KINDS:
                self._writes.append(message)
            else:
                unknown = ProtocolError(f"the store has no call of the kind {message.kind!r}")
                self._refuse(message, unknown)
            delivery = self._channel.receive(0)
        return arrived

    def _group(self) -> list[Message]:
        """The writes that share the next transaction, in order of arrival, one at least."""
        group = [self._writes.popleft()]
        rows, size = calls_write.rows_of(group[0].body), _bytes(group[0])
        while self._writes and not calls_write.reads_index(group[0].kind, group[0].body):
            message = self._writes[0]
            rows += calls_write.rows_of(message.body)
            size += _bytes(message)
            if rows > GROUP_ROWS or size > GROUP_BYTES:
                break
            if calls_write.reads_index(message.kind, message.body):
                break
            group.append(self._writes.popleft())
        return group

    # -- work ---------------------------------------------------------------------------------

    def _answer_reads(self) -> None:
        for _ in range(min(len(self._reads), READS_IN_A_ROW)):
            message = self._reads.popleft()
            self._faults.before(message.body)
            try:
                body, buffers = READS[message.kind](self._store, message.body, message.buffers)
            except Exception as problem:
                self._fail(message, problem)
            else:
                self._faults.after(message.body)
                self._answer(message, body, buffers)
            self._channel.progress()

    def _caught_up(self) -> bool:
        """Whether the index has all that is committed. If not, the writes that wait are refused:
        the index gets what it lacks first."""
        applier = self._store.applier
        if applier.behind is None:
            return True
        try:
            applier.catch_up(self._between_steps)
        except LedgerDamaged:
            raise
        except StorageError as problem:
            while self._writes:
                self._refuse(self._writes.popleft(), problem)
            return False
        return True

    def _tidy(self) -> None:
        self._store.snapshots.expire()
        if self._store.snapshots:
            # SQLite would wait for who reads, and everybody for it.
            return
        self._untidy = False
        try:
            self._store.ledger.tidy()
        except LedgerDamaged:
            raise
        except StorageError as problem:
            # Nothing depends on it: it is done again after the next write.
            self._channel.log.warning("the ledger was not tidied: %s", problem)

    def _write_group(self) -> None:
        if not self._writes:
            return
        group = self._group()
        outcomes: list[dict[str, Any] | Exception] = []
        try:
            self._store.index.check_room(sum(_bytes(message) for message in group))
            with self._store.ledger.transaction():
                outcomes = [self._write(message) for message in group]
                for message in group:
                    self._faults.before(message.body)
        except (StorageError, IndexBroken) as problem:
            # Nothing of the group is on disk.
            if isinstance(problem, StorageError):
                for message in group:
                    self._refuse(message, problem)
            if not isinstance(problem, StorageError) or isinstance(problem, LedgerDamaged):
                raise
            self._channel.log.error("a group of %d writes failed: %s", len(group), problem)
            return
        self._untidy = True
        self._store.snapshots.expire()
        self._channel.progress()
        try:
            self._store.applier.catch_up(self._between_steps)
            self._channel.vitals["chunks"] = ledger_queries.total(self._store.ledger)
        except LedgerDamaged:
            raise
        except StorageError as problem:
            # On disk, but not to be found yet, so not acknowledged. Sent again it is answered as
            # it would have been now, when the index has it.
            self._channel.log.error("%d writes wait for the index: %s", len(group), problem)
            outcomes = [o if isinstance(o, Exception) else problem for o in outcomes]
        for message, outcome in zip(group, outcomes, strict=True):
            if isinstance(outcome, Exception):
                self._fail(message, outcome)
            else:
                self._faults.after(message.body)
                self._answer(message, outcome)

    def _write(self, message: Message) -> dict[str, Any] | Exception:
        try:
            return calls_write.write(self._store, message.kind, message.body, message.buffers)
        except IndexBroken:
            raise
        except Exception as problem:
            if concerns_all(problem):
                raise
            return problem

    def _between_steps(self) -> None:
        self._channel.progress()
        self._take(wait=False)
        self._answer_reads()

    # -- answers ------------------------------------------------------------------------------

    def _answer(
        self, message: Message, body: Mapping[str, Any], buffers: tuple[Buffer, ...] = ()
    ) -> None:
        incarnation = self._channel.incarnation
        self._channel.send(
            Message("result", message.id, message.attempt, incarnation, body=body, buffers=buffers)
        )

    def _refuse(self, message: Message, problem: ThothError) -> None:
        incarnation = self._channel.incarnation
        self._channel.send(
            Message("error", message.id, message.attempt, incarnation, body=problem.to_dict())
        )

    def _fail(self, message: Message, problem: Exception) -> None:
        """Answer with ``problem``; raise it again if this process cannot go on with it."""
        if isinstance(problem, IndexBroken):
            raise problem
        if isinstance(problem, ThothError):
            self._refuse(message, problem)
            if isinstance(problem, LedgerDamaged):
                raise problem
            return
        self._channel.log.error("a %s call failed", message.kind, exc_info=problem)
        self._refuse(
            message,
            InternalError(
                f"the store failed on a {message.kind} call",
                cause=f"{type(problem).__name__}: {problem}",
                fix="thoth-supervisor logs",
            ),
        )


def _bytes(message: Message) -> int:
    texts = message.body.get("texts")
    chars = sum(len(t) for t in texts if isinstance(t, str)) if isinstance(texts, list) else 0
    return chars + sum(buffer.nbytes for buffer in message.buffers)
