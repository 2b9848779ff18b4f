"""Keeps an index of the ledger: carries out what ``recovery`` decides, and answers searches by the
index when that is up to date, by an exact scan of the ledger's vectors when it is not.

Whatever becomes of the index process, a search is answered and a write goes on: only the ledger is
needed for either.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from store_worker import ledger_collections, ledger_queries
from store_worker.aside import Aside
from store_worker.hindered import Hindered
from store_worker.in_hand import rows_in_hand
from store_worker.index_child import NOT_BEGUN, Died, Reply
from store_worker.index_notes import IndexNotes
from store_worker.index_requests import IndexRequests, typed
from store_worker.index_talk import IndexTalk
from store_worker.lag import Lag
from store_worker.ledger import Ledger
from store_worker.locks import INDEX_LOCK
from store_worker.recovery import Recovery
from store_worker.recovery_steps import (
    Ask,
    Fill,
    Policy,
    Replace,
    SetAside,
    Situation,
    Spawn,
    Stage,
    Step,
)
from store_worker.scans import Scans
from thoth_core.errors import LedgerDamaged, StorageError, ThothError
from thoth_core.locks import holder
from thoth_core.worker.memory import resident_bytes

#: Changes that the index may lag behind before writes wait for it.
MOST_BEHIND = 2000
#: Rows that are compared with the ledger at every start; more, only after an end that was no good
#: one: a second for each hundred thousand.
COMPARED_ROWS = 200_000
#: Seconds until the index is seen to again when the ledger could not be used.
RETRY_SECONDS = 1.0
#: Seconds that a search waits for the index process.
SEARCH_SECONDS = 1.0
#: Seconds that a store which ends gives the index to follow, and to be put on disk.
FINISH_SECONDS, SETTLE_SECONDS = 15.0, 5.0

Report = dict[str, Any]


class Keeper:
    """For one thread. ``nudge`` is called from another when the index process has answered."""

    def __init__(
        self,
        ledger: Ledger,
        data_dir: Path,
        log: logging.Logger,
        nudge: Callable[[], None],
        *,
        faults: bool = False,
        keep_damaged: bool = False,
        policy: Policy | None = None,
    ) -> None:
        self.scans = Scans(ledger, data_dir / "scan")
        #: Called before the changes that the index has are forgotten: whoever reads the log must
        #: have read them.
        self.before_log_is_cut: list[Callable[[], None]] = [self.scans.follow]
        #: Called when the index process has died.
        self.when_ended: list[Callable[[Died], None]] = []
        self._ledger = ledger
        self._data_dir = data_dir
        self._log = log
        self._aside = Aside(data_dir / "chroma", log, keep=keep_damaged)
        self._notes = IndexNotes(ledger)
        # Whoever opened the index meanwhile may have changed it; only a long look is spared.
        spared = self._notes.clean and ledger_queries.total(ledger) > COMPARED_ROWS
        self._recovery = Recovery(
            self._notes.generation, self._notes.fills, clean=spared, policy=policy
        )
        self._talk = IndexTalk(data_dir, log, nudge, faults=faults)
        #: How far the index is in the log, and how far it is known to be on disk.
        self._applied = ledger.watermark
        self._lag = Lag(MOST_BEHIND)
        #: The collections that the index was given, id to name.
        self._given: dict[int, str] = {}
        self._last_exit: dict[str, Any] | None = None
        self._requests = IndexRequests()
        self._hindered = Hindered(log)

    # -- what others see ----------------------------------------------------------------------

    @property
    def state(self) -> str:
        """``verifying``, ``healthy``, ``rebuilding``, or ``damaged`` when it was given up."""
        return self._recovery.state

    @property
    def behind(self) -> int:
        """Changes that the index has yet to be told, the rows of a rebuild not counted."""
        return self._ledger.last_change() - self._applied

    @property
    def takes_writes(self) -> bool:
        """Whether the index follows closely enough for more to be written; one that does not answer
        keeps nobody waiting, nor does one that has no room: the write itself is refused then."""
        recovery = self._recovery
        return (
            self._talk.slow
            or self.hindered is not None
            or self._lag.lets_write(
                self.behind, serves=recovery.serves, catches_up=recovery.catches_up
            )
        )

    def status(self) -> Report:
        """The part of ``status`` that is about the index."""
        recovery = self._recovery
        filled = None
        if recovery.fills:
            total = ledger_queries.total(self._ledger)
            filled = {"done": max(0, total - self._rows_left()), "total": total}
        return {
            "index_state": recovery.state,
            "index": {
                "pid": self._talk.pid,
                "rss_bytes": resident_bytes(self._talk.pid) if self._talk.pid else None,
                "generation": recovery.generation,
                "restarts": max(0, recovery.restarts - 1),
                "pending": self.behind,
                "progress": filled,
                "reason": recovery.reason,
                "begun_because": self._notes.why,
                "last_exit": self._last_exit,
            },
            "unindexed": ledger_queries.all_unindexed(self._ledger)[:100],
        }

    # -- the work -----------------------------------------------------------------------------

    def turn(self, *, quiet: bool = False) -> float | None:
        """Take what the index process has answered, and ask it the next thing. Never waits for it;
        the seconds after which there may be more to do, None if only an event leads to more. A
        ledger that cannot be written is waited for; :class:`LedgerDamaged`."""
        try:
            return self._turn(quiet)
        except LedgerDamaged:
            raise
        except StorageError as problem:
            self._hindered.said("the index has to wait: %s", problem)
            return RETRY_SECONDS

    def _turn(self, quiet: bool) -> float | None:
        now = time.monotonic()
        self._hear(now)
        look = self._talk.end_if_hung()
        self._leave_out()
        while not self._talk.busy:
            step = self._next(now, quiet)
            if step is None:
                break
            self._do(step, now)
            if isinstance(step, Ask):
                break
        if self.scans.turn():
            return 0.0
        if self._talk.busy:
            # Writes that wait for it are let go when it is slow, and it is ended when it hangs.
            return look
        wakes = self._recovery.wakes_at
        return None if wakes is None else max(0.0, wakes - now)

    def _hear(self, now: float, seconds: float = 0.0) -> None:
        """Take an answer if one comes within ``seconds``."""
        if (heard := self._talk.hear(seconds)) is not None:
            self._take(now, *heard)

    def _take(self, now: float, asked: Ask | None, came: Reply | Died) -> None:
        if isinstance(came, Died):
            self._ended(now, asked, came)
        else:
            self._answered(now, asked, came)

    def _next(self, now: float, quiet: bool) -> Step | None:
        if self._recovery.stage is Stage.SERVING and not self._recovery.waits(now):
            if self._requests.to_verify:
                return self._recovery.verify(self._applied, compare=not self._recovery.fills)
            if self._requests.to_compact and self._recovery.serves:
                return Ask("compact")
        return self._recovery.next(
            Situation(now, self._applied, self._ledger.last_change(), self._renamed(), quiet)
        )

    def _renamed(self) -> bool:
        """Whether the ledger's collections are others than those that the index was given."""
        names = {each.id: each.name for each in ledger_collections.everything(self._ledger)}
        return names != self._given

    def _do(self, step: Step, now: float) -> None:
        if isinstance(step, Spawn):
            self._spawn(now)
        elif isinstance(step, Replace):
            self._talk.close()
        elif isinstance(step, SetAside):
            self._set_aside(step, now)
        else:
            self._talk.ask(step)

    def _spawn(self, now: float) -> None:
        self._given = {}
        self._lag.forget()
        if self._notes.clean:
            # From now on that must not be believed any more.
            self._note()
        try:
            self._talk.spawn()
        except OSError as problem:
            self._recovery.spawn_failed(now, f"the index process cannot be started: {problem}")
            self._log.error("%s", self._recovery.reason)
            return
        self._recovery.spawned()

    def _set_aside(self, step: SetAside, now: float) -> None:
        """Begin a new index. Ending between any two steps leaves either the old folder, which is
        looked at again, or none, which is filled."""
        self._talk.close()
        # First, because it may be what fills the disk, and then no note can be made.
        self._aside.take(self._recovery.generation)
        last = self._ledger.last_change()
        fills = self._notes.all_rows()
        self._read_log()
        generation = self._recovery.generation + 1
        self._notes.write(generation, fills, settled=last, why=step.reason)
        self._applied = last
        self._log.error("the index is rebuilt from the ledger: %s", step.reason)
        self._recovery.set_aside(now, fills)

    # -- answers ------------------------------------------------------------------------------

    def _answered(self, now: float, asked: Ask | None, reply: Reply) -> None:
        recovery, body = self._recovery, reply.body
        if reply.error:
            self._went_wrong(now, reply)
            return
        if reply.op not in ("search", "matching", "settle"):
            self._hindered.over()
        if reply.op == "verify":
            self._verified(now, body)
        elif reply.op == "plan":
            missing = set(body["missing"])
            # One that is new is told by the log, wholly.
            missing -= {c for c in missing if self._ledger.logged_whole(c, self._applied)}
            lacking = {c: f for c, f in self._notes.all_rows().items() if c in missing}
            if lacking:
                self._notes.write(recovery.generation, {**recovery.fills, **lacking})
            recovery.planned(lacking)
        elif reply.op == "reconcile":
            self._reconciled(body)
        elif reply.op == "apply":
            self._applied = max(self._applied, body["seq"])
            if recovery.catches_up:
                self._lag.took(body["changes"], self.behind)
            else:
                self._lag.forget()
            recovery.wrote("apply", body["changes"])
        elif reply.op == "fill" and asked is not None:
            fill = asked.fields
            after = body["after"]
            left = None if after is None else Fill(after, fill["upto"])
            recovery.wrote("fill", body["rows"], (fill["collection"], left))
        elif reply.op == "rows":
            recovery.wrote("rows", body["rows"])
        elif reply.op == "sample":
            self._sampled(body)
        elif reply.op == "settle":
            self._settled()
        elif reply.op == "compact":
            self._requests.compacted(body)
        else:
            recovery.searched()

    def _went_wrong(self, now: float, reply: Reply) -> None:
        message = str(reply.body.get("message"))
        problem = typed(reply)
        if reply.error in ("typed", "full"):
            if isinstance(problem, LedgerDamaged):
                # What the index process cannot read the store must not go on with either.
                raise problem
            if reply.op != "compact":
                # It cannot be looked at before this is over.
                self._requests.not_verified(problem)
        if reply.op == "compact":
            self._requests.not_compacted(reply)
        if reply.error == "full" or (reply.op == "compact" and reply.error != "typed"):
            self._log.warning("the index process is replaced: %s", message)
            self._do(self._recovery.full(now, reply.op, problem.message), now)
        elif reply.op == "compact":
            return
        elif reply.error == "typed":
            # The disk, or the ledger in somebody else's hands: nothing that the index can help.
            self._hindered.said("the index could not be worked on: %s", problem)
            self._recovery.no_room(now, problem.message)
        elif reply.error == "refused" and reply.op in ("search", "matching"):
            return
        else:
            self._log.warning("the index failed on %s: %s", reply.op, message)
            step = self._recovery.failed(now, reply.op, message)
            if step is not None:
                self._do(step, now)

    def _verified(self, now: float, body: Report) -> None:
        differing = [(int(c), list(ids)) for c, ids in body["differing"]]
        count = sum(len(ids) for _, ids in differing)
        told = {
            "findings": body["findings"],
            "rows": body["rows"],
            "differing": count,
            "seconds": body["seconds"],
        }
        for finding in body["findings"]:
            self._log.warning("the index is damaged: %s", finding)
        if self._recovery.verified(body["findings"], count, body["rows"]):
            self._log.warning("%d rows of the index are not as in the ledger", count)
            try:
                with self._ledger.transaction():
                    for collection, ids in differing:
                        self._ledger.log_changes(collection, ids, "upsert")
            except StorageError as problem:
                self._recovery.compare_again()
                self._requests.not_verified(problem)
                raise
        filled = bool(self._recovery.fills)
        if self._requests.verdict_wanted and self._recovery.stage is Stage.SERVING and not filled:
            # Its answers are looked at too, and then it is told.
            self._requests.compared(told)
            self._recovery.check()
        elif body["findings"] or filled:
            self._requests.tell_verdict(told, self._recovery.state)

    def _reconciled(self, body: Report) -> None:
        # Under the names that the index has them by: they may have others in the ledger by now.
        self._given = dict(body["collections"])
        there = {each.id for each in ledger_collections.everything(self._ledger)}
        self._recovery.dropped(set(self._recovery.fills) - there)
        self._recovery.reconciled()

    def _sampled(self, body: Report) -> None:
        was = self._recovery.state
        self._recovery.sampled(body["asked"], body["found"])
        if self._recovery.state == "healthy":
            if was != "healthy":
                self._log.info("the index is healthy")
            self._aside.forget()
        self._requests.searched(body["asked"], body["found"], self._recovery.state)

    def _settled(self) -> None:
        self._read_log()
        try:
            self._note(settled=self._applied)
        except LedgerDamaged:
            raise
        except StorageError as problem:
            self._hindered.said("it could not be noted how far the index is: %s", problem)
            self._recovery.no_room(time.monotonic(), problem.message)
            return
        self._hindered.over()
        self._recovery.settled()

    def _read_log(self) -> None:
        for read in self.before_log_is_cut:
            read()

    def _ended(self, now: float, asked: Ask | None, died: Died) -> None:
        in_hand = rows_in_hand(self._ledger, asked) if asked is not None else {}
        self._last_exit = {
            "signal": died.signal,
            "code": died.code,
            "during": died.op,
            "at": time.time(),
        }
        if died.code == NOT_BEGUN:
            lock = self._data_dir / INDEX_LOCK
            by = f": pid {pid} has it" if (pid := holder(lock)) else ""
            self._recovery.not_begun(now, f"the lock of the index is not to be had, {lock}{by}")
            return
        for tell in self.when_ended:
            tell(died)
        memory = self._talk.may_lack_memory()
        self._recovery.died(now, died.op, died.signal, in_hand, memory=memory)
        if died.op == "compact":
            self._requests.not_compacted(self._recovery.reason)

    def _leave_out(self) -> None:
        """Write down the rows that end every process."""
        while self._recovery.hopeless:
            group = self._recovery.hopeless[-1]
            signal = (self._last_exit or {}).get("signal")
            reason = f"the index process ended by {signal} when it took this row"
            with self._ledger.transaction():
                ledger_queries.leave_out(self._ledger, group.collection, group.ids[0], reason)
            self._log.error("row %s is left out of the index: %s", group.ids[0], reason)
            self._recovery.hopeless.pop()

    def _note(self, *, clean: bool = False, settled: int | None = None) -> None:
        recovery = self._recovery
        self._notes.write(recovery.generation, recovery.fills, clean=clean, settled=settled)

    # -- questions ----------------------------------------------------------------------------

    def ask_index(self, op: str, array: bytes | memoryview = b"", **fields: Any) -> Reply | None:
        """What the index answers to ``op``, if it is up to date with the ledger and answers in
        time; else None, and whoever asks looks into the ledger."""
        up_to_date = self._recovery.serves and self._applied == self._ledger.last_change()
        if not self._talk.free or not up_to_date or fields["collection"] not in self._given:
            return None
        self._talk.ask(Ask(op, fields), array)
        heard = self._talk.hear(SEARCH_SECONDS)
        if heard is None:
            # Its answer comes too late to be of use; it is heard all the same.
            self._log.warning("the index did not answer within %.0f s", SEARCH_SECONDS)
            return None
        self._take(time.monotonic(), *heard)
        came = heard[1]
        # What Chroma does not take (a filter of too many values) the ledger can answer, or refuse.
        return None if isinstance(came, Died) or came.error else came

    def verify(self, answer: Callable[[Report], None]) -> None:
        """Have the index checked and compared; ``answer`` is called with what was found."""
        self._recovery.try_again(time.monotonic())
        self._requests.want_verdict(answer)

    def compact(self, answer: Callable[[Report], None]) -> None:
        """Have the index give back room on the disk; ``answer`` is called with ``before`` and
        ``after`` in bytes, or with the ``problem``."""
        self._recovery.try_again(time.monotonic())
        self._hindered.over()
        self._requests.want_room(answer)

    @property
    def hindered(self) -> ThothError | None:
        """Why nothing can be done with the index now, if the disk or the ledger is the reason."""
        return self._hindered.problem

    def not_compacted(self, cause: str | ThothError) -> None:
        """End the wait of those who asked for it."""
        self._requests.not_compacted(cause)

    # -- the end ------------------------------------------------------------------------------

    def close(self, *, finish: bool) -> None:
        """End the index process; with ``finish``, when the index has all that is in the ledger,
        so that another program that reads it finds everything."""
        deadline = time.monotonic() + FINISH_SECONDS
        while finish and time.monotonic() < deadline and self._may_finish():
            self.turn()
            self._hear(time.monotonic(), 0.1)
        clean = self._settle_now() if self._recovery.serves else False
        code = self._talk.close(at_once=not clean)
        self.scans.close()
        if clean and code == 0:
            self._note(clean=True)

    def _may_finish(self) -> bool:
        """Whether the index lacks something that it can have soon."""
        if self.state == "rebuilding":
            return self._rows_left() + self.behind < MOST_BEHIND
        has_all = self._recovery.serves and not self.behind and not self._renamed()
        return self.state != "damaged" and not has_all

    def _rows_left(self) -> int:
        fills = self._recovery.fills.items()
        return ledger_queries.rows_left(self._ledger, {c: (f.after, f.upto) for c, f in fills})

    def _settle_now(self) -> bool:
        """Have the index on disk; whether that is known, and it has everything."""
        deadline = time.monotonic() + SETTLE_SECONDS
        self._hear_until_idle(deadline)
        if not self._talk.free or self.behind:
            return False
        self._do(Ask("settle"), time.monotonic())
        self._hear_until_idle(deadline)
        return self._ledger.watermark == self._ledger.last_change()

    def _hear_until_idle(self, deadline: float) -> None:
        while self._talk.busy and time.monotonic() < deadline:
            self._hear(time.monotonic(), 0.1)
