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

from store_worker import ledger_queries
from store_worker.aside import Aside
from store_worker.index_answers import IndexAnswers
from store_worker.index_books import IndexBooks
from store_worker.index_child import Died, Reply
from store_worker.index_talk import IndexTalk
from store_worker.lag import Lag
from store_worker.ledger import Ledger
from store_worker.recovery_steps import (
    Ask,
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
from thoth_core.worker.memory import resident_bytes

#: Changes that the index may lag behind before writes wait for it.
MOST_BEHIND = 2000
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
        self._ledger = ledger
        self._log = log
        self._books = IndexBooks(ledger, log, Lag(MOST_BEHIND), policy)
        self._recovery = self._books.recovery
        self._aside = Aside(data_dir / "chroma", log, keep=keep_damaged)
        self._talk = IndexTalk(data_dir, log, nudge, faults=faults)
        self._answers = IndexAnswers(
            self._books,
            data_dir,
            log,
            self._aside,
            do=self._do,
            lacks_memory=self._talk.may_lack_memory,
        )
        self.scans = Scans(ledger, data_dir / "scan")
        #: Called before the changes that the index has are forgotten: whoever reads the log must
        #: have read them.
        self.before_log_is_cut = self._books.before_log_is_cut
        self.before_log_is_cut.append(self.scans.follow)
        #: Called when the index process has died.
        self.when_ended = self._answers.when_ended

    # -- what others see ----------------------------------------------------------------------

    @property
    def state(self) -> str:
        """``verifying``, ``healthy``, ``rebuilding``, or ``damaged`` when it was given up."""
        return self._recovery.state

    @property
    def behind(self) -> int:
        """Changes that the index has yet to be told, the rows of a rebuild not counted."""
        return self._books.behind

    @property
    def takes_writes(self) -> bool:
        """Whether the index follows closely enough for more to be written; one that does not answer
        keeps nobody waiting, nor does one that has no room: the write itself is refused then."""
        recovery = self._recovery
        return (
            self._talk.slow
            or self.hindered is not None
            or self._books.lag.lets_write(
                self.behind, serves=recovery.serves, catches_up=recovery.catches_up
            )
        )

    def status(self) -> Report:
        """The part of ``status`` that is about the index."""
        recovery = self._recovery
        filled = None
        if recovery.fills:
            total = ledger_queries.total(self._ledger)
            filled = {"done": max(0, total - self._books.rows_left), "total": total}
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
                "begun_because": self._books.notes.why,
                "last_exit": self._books.last_exit,
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
            self._books.hindered.said("the index has to wait: %s", problem)
            return RETRY_SECONDS

    def _turn(self, quiet: bool) -> float | None:
        now = time.monotonic()
        self._hear(now)
        look = self._talk.end_if_hung()
        self._answers.leave_out()
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
            self._answers.take(now, *heard)

    def _next(self, now: float, quiet: bool) -> Step | None:
        if self._recovery.stage is Stage.SERVING and not self._recovery.waits(now):
            if self._books.requests.to_verify:
                return self._recovery.verify(self._books.applied, compare=not self._recovery.fills)
            if self._books.requests.to_compact and self._recovery.serves:
                return Ask("compact")
        return self._recovery.next(
            Situation(
                now, self._books.applied, self._ledger.last_change(), self._books.renamed, quiet
            )
        )

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
        self._books.given = {}
        self._books.lag.forget()
        if self._books.notes.clean:
            # From now on that must not be believed any more.
            self._books.note()
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
        fills = self._books.notes.all_rows()
        self._books.read_log()
        generation = self._recovery.generation + 1
        self._books.notes.write(generation, fills, settled=last, why=step.reason)
        self._books.applied = last
        self._log.error("the index is rebuilt from the ledger: %s", step.reason)
        self._recovery.set_aside(now, fills)

    # -- questions ----------------------------------------------------------------------------

    def can_ask(self, collection: int) -> bool:
        """Whether the index is free, and has all but a few changes of the ledger."""
        given = collection in self._books.given
        return self._talk.free and self._books.nearly_up_to_date and given

    def lacks(self, collection: int) -> set[str]:
        """The ids of a collection that :meth:`ask_index` knows nothing of, or an older version."""
        left_out = ledger_queries.unindexed(self._ledger, collection)
        return left_out | self._books.lacks(collection)

    def ask_index(self, op: str, array: bytes | memoryview = b"", **fields: Any) -> Reply | None:
        """What the index answers to ``op``, if it has all but a few changes of the ledger
        (:meth:`lacks`) and answers in time; else None, and whoever asks looks into the ledger."""
        if not self.can_ask(fields["collection"]):
            return None
        self._talk.ask(Ask(op, fields), array)
        heard = self._talk.hear(SEARCH_SECONDS)
        if heard is None:
            # Its answer comes too late to be of use; it is heard all the same.
            self._log.warning("the index did not answer within %.0f s", SEARCH_SECONDS)
            return None
        self._answers.take(time.monotonic(), *heard)
        came = heard[1]
        # What Chroma does not take (a filter of too many values) the ledger can answer, or refuse.
        return None if isinstance(came, Died) or came.error else came

    def verify(self, answer: Callable[[Report], None]) -> None:
        """Have the index checked and compared; ``answer`` is called with what was found."""
        self._recovery.try_again(time.monotonic())
        self._books.requests.want_verdict(answer)

    def compact(self, answer: Callable[[Report], None]) -> None:
        """Have the index give back room on the disk; ``answer`` is called with ``before`` and
        ``after`` in bytes, or with the ``problem``."""
        self._recovery.try_again(time.monotonic())
        self._books.hindered.over()
        self._books.requests.want_room(answer)

    @property
    def hindered(self) -> ThothError | None:
        """Why nothing can be done with the index now, if the disk or the ledger is the reason."""
        return self._books.hindered.problem

    def not_compacted(self, cause: str | ThothError) -> None:
        """End the wait of those who asked for it."""
        self._books.requests.not_compacted(cause)

    # -- the end ------------------------------------------------------------------------------

    def close(self, *, finish: bool) -> None:
        """End the index process; with ``finish``, when the index has all that is in the ledger,
        so that another program that reads it finds everything."""
        deadline = time.monotonic() + FINISH_SECONDS
        while finish and time.monotonic() < deadline and self._may_finish():
            self.turn(quiet=True)
            self._hear(time.monotonic(), 0.1)
        clean = self._settle_now() if self._recovery.serves else False
        code = self._talk.close(at_once=not clean)
        self.scans.close()
        if clean and code == 0:
            self._books.note(clean=True)

    def _may_finish(self) -> bool:
        """Whether the index lacks something that it can have soon."""
        if self.state == "rebuilding":
            return self._books.rows_left + self.behind < MOST_BEHIND
        has_all = self._recovery.serves and not self.behind and not self._books.renamed
        return self.state != "damaged" and not has_all

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
