"""What an answer of the index process means, and what its death does: entered in the books of the
index, and told to who waits for it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from store_worker import ledger_collections, ledger_queries
from store_worker.aside import Aside
from store_worker.in_hand import rows_in_hand
from store_worker.index_books import IndexBooks
from store_worker.index_child import NOT_BEGUN, Died, Reply
from store_worker.index_requests import typed
from store_worker.locks import INDEX_LOCK
from store_worker.recovery_steps import Ask, Fill, Stage, Step
from thoth_core.errors import LedgerDamaged, StorageError
from thoth_core.locks import holder

Report = dict[str, Any]


class IndexAnswers:
    """``do`` carries out a step at once; ``lacks_memory`` says whether the kernel may have ended
    the process for want of memory."""

    def __init__(
        self,
        books: IndexBooks,
        data_dir: Path,
        log: logging.Logger,
        aside: Aside,
        *,
        do: Callable[[Step, float], None],
        lacks_memory: Callable[[], bool],
    ) -> None:
        #: Called when the index process has died.
        self.when_ended: list[Callable[[Died], None]] = []
        self._books = books
        self._recovery = books.recovery
        self._data_dir = data_dir
        self._log = log
        self._aside = aside
        self._do = do
        self._lacks_memory = lacks_memory

    def take(self, now: float, asked: Ask | None, came: Reply | Died) -> None:
        """``came`` is what came of ``asked``."""
        if isinstance(came, Died):
            self._ended(now, asked, came)
        else:
            self._answered(now, asked, came)

    def _answered(self, now: float, asked: Ask | None, reply: Reply) -> None:
        recovery, body = self._recovery, reply.body
        if reply.error:
            self._went_wrong(now, reply)
            return
        if reply.op not in ("search", "matching", "settle"):
            self._books.hindered.over()
        if reply.op == "verify":
            self._verified(now, body)
        elif reply.op == "plan":
            missing = set(body["missing"])
            # One that is new is told by the log, wholly.
            missing -= {
                c for c in missing if self._books.ledger.logged_whole(c, self._books.applied)
            }
            lacking = {c: f for c, f in self._books.notes.all_rows().items() if c in missing}
            if lacking:
                self._books.notes.write(recovery.generation, {**recovery.fills, **lacking})
            recovery.planned(lacking)
        elif reply.op == "reconcile":
            self._reconciled(body)
        elif reply.op == "apply":
            self._books.applied = max(self._books.applied, body["seq"])
            if recovery.catches_up:
                self._books.lag.took(body["changes"], self._books.behind)
            else:
                self._books.lag.forget()
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
            self._books.requests.compacted(body)
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
                self._books.requests.not_verified(problem)
        if reply.op == "compact":
            self._books.requests.not_compacted(reply)
        if reply.error == "full" or (reply.op == "compact" and reply.error != "typed"):
            self._log.warning("the index process is replaced: %s", message)
            self._do(self._recovery.full(now, reply.op, problem.message), now)
        elif reply.op == "compact":
            return
        elif reply.error == "typed":
            # The disk, or the ledger in somebody else's hands: nothing that the index can help.
            self._books.hindered.said("the index could not be worked on: %s", problem)
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
                with self._books.ledger.transaction():
                    for collection, ids in differing:
                        self._books.ledger.log_changes(collection, ids, "upsert")
            except StorageError as problem:
                self._recovery.compare_again()
                self._books.requests.not_verified(problem)
                raise
        filled = bool(self._recovery.fills)
        if (
            self._books.requests.verdict_wanted
            and self._recovery.stage is Stage.SERVING
            and not filled
        ):
            # Its answers are looked at too, and then it is told.
            self._books.requests.compared(told)
            self._recovery.check()
        elif body["findings"] or filled:
            self._books.requests.tell_verdict(told, self._recovery.state)

    def _reconciled(self, body: Report) -> None:
        # Under the names that the index has them by: they may have others in the ledger by now.
        self._books.given = dict(body["collections"])
        there = {each.id for each in ledger_collections.everything(self._books.ledger)}
        self._recovery.dropped(set(self._recovery.fills) - there)
        self._recovery.reconciled()

    def _sampled(self, body: Report) -> None:
        was = self._recovery.state
        self._recovery.sampled(body["asked"], body["found"])
        if self._recovery.state == "healthy":
            if was != "healthy":
                self._log.info("the index is healthy")
            self._aside.forget()
        self._books.requests.searched(body["asked"], body["found"], self._recovery.state)

    def _settled(self) -> None:
        self._books.read_log()
        try:
            self._books.note(settled=self._books.applied)
        except LedgerDamaged:
            raise
        except StorageError as problem:
            self._books.hindered.said("it could not be noted how far the index is: %s", problem)
            self._recovery.no_room(time.monotonic(), problem.message)
            return
        self._books.hindered.over()
        self._recovery.settled()

    def _ended(self, now: float, asked: Ask | None, died: Died) -> None:
        in_hand = rows_in_hand(self._books.ledger, asked) if asked is not None else {}
        self._books.last_exit = {
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
        memory = self._lacks_memory()
        self._recovery.died(now, died.op, died.signal, in_hand, memory=memory)
        if died.op == "compact":
            self._books.requests.not_compacted(self._recovery.reason)

    def leave_out(self) -> None:
        """Write down the rows that end every process."""
        while self._recovery.suspected.hopeless:
            group = self._recovery.suspected.hopeless[-1]
            signal = (self._books.last_exit or {}).get("signal")
            reason = f"the index process ended by {signal} when it took this row"
            with self._books.ledger.transaction():
                ledger_queries.leave_out(self._books.ledger, group.collection, group.ids[0], reason)
            self._log.error("row %s is left out of the index: %s", group.ids[0], reason)
            self._recovery.suspected.hopeless.pop()
