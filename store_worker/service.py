"""The loop of the store worker: calls in, answers out.

Reads go first, then one group of the writes that wait shares a transaction, and with it one wait
for the disk. A write is answered when the ledger has it on disk: from then on a search finds it, by
the index or by an exact scan. Writes wait when the index falls behind.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from store_worker import calls_write, ledger_collections, ledger_guard, ledger_queries
from store_worker.calls_read import READS
from store_worker.chores import Chores
from store_worker.compaction import Compaction
from store_worker.faults import Faults
from store_worker.index_child import Died
from store_worker.ledger_errors import concerns_all
from store_worker.locks import own
from store_worker.room import check_room
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
#: What takes longer, and is answered when it is done.
LATER = frozenset({"verify", "compact"})
#: Seconds between two looks at whether an export still reads.
SNAPSHOT_SECONDS = 1.0
#: Seconds between two looks at what the beats tell.
TELL_SECONDS = 0.5
#: Seconds between two signs of life while something is not answered yet.
PULSE_SECONDS = 2.0
#: Characters of the stacks of an index process that has ended which the supervisor is told.
DUMP_CHARS = 200_000
#: Seconds without a call after which index and ledger are put in order.
QUIET_SECONDS = 5.0


def serve(channel: Channel, config: Mapping[str, Any]) -> None:
    """Serve the data directory of ``config`` until told to end.

    Raises a :class:`ThothError` for what a person can mend.
    """
    channel.state("OPENING")
    data_dir, runtime_dir = Path(config["data_dir"]), Path(config["runtime_dir"])
    settings = config.get("settings") or {}
    make_folder(data_dir)
    lock = own(data_dir)
    # Only a store that is told to end takes its time for the index.
    finish = False
    try:
        store = Store.open(
            data_dir,
            str(config["service"]),
            channel.log,
            time.time,
            channel.nudge,
            faults=bool(settings.get("faults")),
            keep_damaged=bool(settings.get("keep_damaged")),
        )
        try:
            endpoint = _bind(channel, runtime_dir)
            channel.ready(
                {
                    "endpoint": endpoint,
                    "epoch": store.ledger.epoch,
                    "versions": dict(versions()),
                    "chunks": ledger_queries.seen(store.ledger),
                    **store.keeper.status(),
                }
            )
            Service(channel, store, Faults(bool(settings.get("faults")))).run()
            finish = channel.stopping != "stop"
        except LedgerDamaged as problem:
            ledger_guard.met(store.ledger.path, problem)
            raise
        finally:
            _close(channel, store, finish=finish)
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


def _close(channel: Channel, store: Store, *, finish: bool) -> None:
    try:
        store.close(finish=finish)
    except Exception as problem:
        # Whatever was acknowledged is on disk; what is lost here is replayed at the next start.
        channel.log.warning("the store did not close cleanly: %s", problem)


class Service:
    """The queue of an open store."""

    def __init__(self, channel: Channel, store: Store, faults: Faults) -> None:
        self._channel = channel
        self._store = store
        self._faults = faults
        self._compaction = Compaction(
            store.ledger, store.keeper, channel.log, unseen=channel.unseen
        )
        self._chores = Chores(store.ledger, self._compaction, channel.log)
        self._reads: deque[Message] = deque()
        self._writes: deque[Message] = deque()
        #: Id and attempt of what was taken and is not answered yet.
        self._in_hand: set[tuple[str, int]] = set()
        #: Of these, what takes longer, and its kind.
        self._long: dict[tuple[str, int], str] = {}
        self._dropped = 0
        store.ledger.tell_progress(channel.progress)
        store.keeper.when_ended.append(self._report_death)
        self._active_at = time.monotonic()
        self._told_at, self._told = float("-inf"), ("", False, "")

    def run(self) -> None:
        """Until "stop", or "drain" and nothing is left."""
        while True:
            waits = self._turn()
            idle = not self._reads and not (self._writes and self._store.keeper.takes_writes)
            due = self._chores.turn(busy=not idle, paused=bool(self._store.snapshots))
            if due is not None:
                waits = due if waits is None else min(waits, due)
            if self._in_hand:
                # Whatever it waits for (the index, a check that takes minutes), it goes on: the
                # supervisor ends a store that does not.
                self._channel.progress()
                waits = PULSE_SECONDS if waits is None else min(waits, PULSE_SECONDS)
            self._channel.busy = bool(self._in_hand)
            arrived = self._take(waits if idle else 0)
            if self._channel.stopping == "stop":
                return
            if arrived:
                self._active_at = time.monotonic()
            elif self._channel.stopping and not (self._reads or self._writes):
                return
            self._channel.busy = bool(self._in_hand)
            self._answer_reads()
            if self._store.keeper.takes_writes:
                self._write_group()

    def _turn(self) -> float | None:
        """See to the index, and to the ledger when nothing else is to be done; seconds to wait."""
        left = self._active_at + QUIET_SECONDS - time.monotonic()
        waits = self._store.keeper.turn(quiet=left <= 0)
        self._tell()
        self._store.snapshots.expire()
        if self._store.snapshots:
            # SQLite would wait for who reads, and everybody for it.
            left = max(left, SNAPSHOT_SECONDS)
        elif self._store.ledger.untidy and left <= 0 and not self._store.keeper.behind:
            self._tidy()
        if left > 0:
            waits = left if waits is None else min(waits, left)
        return waits

    def _tell(self) -> None:
        """Have the beats tell how index and ledger stand."""
        now, keeper = time.monotonic(), self._store.keeper
        state = keeper.state, keeper.behind == 0, self._engaged
        if now >= self._told_at + TELL_SECONDS or state != self._told:
            self._told_at, self._told = now, state
            self._channel.vitals["chunks"] = ledger_queries.seen(self._store.ledger)
            self._channel.vitals.update(keeper.status())
            self._channel.vitals["engaged"] = self._engaged

    @property
    def _engaged(self) -> str:
        """What would have to begin anew if this store ended now; empty for nothing. No drain waits
        for it: whoever may choose the time, does."""
        kinds = {*self._long.values(), *(["export"] if self._store.snapshots else [])}
        return ", ".join(sorted(kinds))

    def _report_death(self, died: Died) -> None:
        """Have the supervisor, which alone writes reports, keep one of the index process."""
        if died.dump:
            self._channel.log.warning("%s", died.dump.rstrip())
        body = {**asdict(died), "dump": died.dump[-DUMP_CHARS:]}
        self._channel.send(Message("index_ended", body=body))

    # -- the queue ----------------------------------------------------------------------------

    def _take(self, seconds: float | None) -> bool:
        """Move what arrives within ``seconds`` into the queues; whether anything did."""
        delivery = self._channel.receive(seconds)
        arrived = delivery is not None
        while delivery is not None:
            message = delivery.message
            if message.incarnation != self._channel.incarnation:
                # Meant for a store that has ended; dispatch sends it to this one by itself.
                self._dropped += 1
                self._channel.vitals["dropped"] = self._dropped
            else:
                self._accept(message)
            delivery = self._channel.receive(0)
        return arrived

    def _accept(self, message: Message) -> None:
        self._in_hand.add((message.id, message.attempt))
        if message.kind in READS:
            self._reads.append(message)
        elif message.kind in LATER:
            self._later(message)
        elif message.kind in calls_write.KINDS:
            self._writes.append(message)
        else:
            unknown = ProtocolError(f"the store has no call of the kind {message.kind!r}")
            self._refuse(message, unknown)

    def _group(self) -> list[Message]:
        """The writes that share the next transaction, in order of arrival, one at least."""
        group = [self._writes.popleft()]
        rows, size = calls_write.rows_of(group[0].body), _bytes(group[0])
        while self._writes:
            message = self._writes[0]
            rows += calls_write.rows_of(message.body)
            size += _bytes(message)
            if rows > GROUP_ROWS or size > GROUP_BYTES:
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

    def _later(self, message: Message) -> None:
        """Begin what takes longer; it is answered by and by."""

        def answer(report: Mapping[str, Any]) -> None:
            problem = report.get("problem")
            if isinstance(problem, ThothError):
                self._refuse(message, problem)
            else:
                self._answer(message, report)

        self._long[message.id, message.attempt] = message.kind
        if message.kind == "verify":
            self._store.keeper.verify(answer)
        else:
            self._compaction.ask(str(message.body.get("job")), answer)

    def _tidy(self) -> None:
        try:
            self._store.ledger.tidy()
            known = [each.id for each in ledger_collections.everything(self._store.ledger)]
            self._store.keeper.scans.keep(known)
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
            check_room(self._store.data_dir, sum(_bytes(message) for message in group))
            with self._store.ledger.transaction():
                outcomes = [self._write(message) for message in group]
                for message in group:
                    self._faults.before(message.body)
        except StorageError as problem:
            # Nothing of the group is on disk. It may have waited for a lock of the ledger.
            self._channel.progress()
            for message in group:
                self._refuse(message, problem)
            if isinstance(problem, LedgerDamaged):
                raise
            self._channel.log.error("a group of %d writes failed: %s", len(group), problem)
            return
        self._channel.progress()
        # The index is told while the next group is written.
        self._told_at = float("-inf")
        self._turn()
        for message, outcome in zip(group, outcomes, strict=True):
            if isinstance(outcome, Exception):
                self._fail(message, outcome)
            else:
                self._faults.after(message.body)
                self._answer(message, outcome)

    def _write(self, message: Message) -> dict[str, Any] | Exception:
        try:
            return calls_write.write(self._store, message.kind, message.body, message.buffers)
        except Exception as problem:
            if concerns_all(problem):
                raise
            return problem

    # -- answers ------------------------------------------------------------------------------

    def _done(self, message: Message) -> None:
        self._in_hand.discard((message.id, message.attempt))
        self._long.pop((message.id, message.attempt), None)

    def _answer(
        self, message: Message, body: Mapping[str, Any], buffers: tuple[Buffer, ...] = ()
    ) -> None:
        incarnation = self._channel.incarnation
        self._done(message)
        self._channel.send(
            Message("result", message.id, message.attempt, incarnation, body=body, buffers=buffers)
        )

    def _refuse(self, message: Message, problem: ThothError) -> None:
        incarnation = self._channel.incarnation
        self._done(message)
        self._channel.send(
            Message("error", message.id, message.attempt, incarnation, body=problem.to_dict())
        )

    def _fail(self, message: Message, problem: Exception) -> None:
        """Answer with ``problem``; raise it again if this process cannot go on with it."""
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
