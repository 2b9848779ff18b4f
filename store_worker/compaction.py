"""Gives back what ledger and index no longer use, by slices, while calls go on.

The ledger's file shrinks page by page. One of before that was possible is written anew once, and
calls wait for that. Then the write-ahead log is folded in, and the index process is asked to do the
same with Chroma's database; searches go by scan meanwhile.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from store_worker.keeper import Keeper
from store_worker.ledger import Ledger
from thoth_core.disk_room import RESERVE_BYTES
from thoth_core.errors import LedgerDamaged, StorageError, ThothError

#: Seconds that a call waits before it is told that there is more to do.
PATIENCE_SECONDS = 15.0
#: Seconds that a slice is to take, and the bounds of its pages.
SLICE_SECONDS = 0.02
FEWEST_PAGES, MOST_PAGES = 16, 1024
#: What writing the ledger anew may take: so many seconds, and one more for so many bytes.
ANEW_SECONDS, ANEW_RATE = 60.0, 2_000_000
#: Where SQLite looks for a folder for its temporary files.
_TEMPORARY = ("SQLITE_TMPDIR", "TMPDIR", "/var/tmp", "/usr/tmp", "/tmp")

Report = dict[str, Any]
Answer = Callable[[Report], None]


class Step(StrEnum):
    LEDGER = "ledger"
    INDEX = "index"
    DONE = "done"


@dataclass(slots=True)
class _Job:
    """``name`` is the caller's, who asks until it is done. ``waiting``: until when each waits."""

    name: str
    began: float
    before: int
    step: Step = Step.LEDGER
    pages: int = 64
    asked_index: bool = False
    report: Report = field(default_factory=dict)
    waiting: list[tuple[float, Answer]] = field(default_factory=list)


class Compaction:
    """For one thread. ``clock`` is monotonic. ``unseen`` is put around what takes more than a
    slice, with the seconds that it may take."""

    def __init__(
        self,
        ledger: Ledger,
        keeper: Keeper,
        log: logging.Logger,
        clock: Callable[[], float] = time.monotonic,
        unseen: Callable[[float], AbstractContextManager[None]] = lambda _: nullcontext(),
    ) -> None:
        self._ledger = ledger
        self._keeper = keeper
        self._log = log
        self._clock = clock
        self._unseen = unseen
        self._job: _Job | None = None

    def ask(self, name: str, answer: Answer) -> None:
        """Begin the job ``name``, or go on with the one that is under way. ``answer`` is called
        with ``{done, step}`` and what is known of ``ledger`` and ``index``."""
        job = self._job
        if job is None or (job.step is Step.DONE and job.name != name):
            job = self._job = _Job(name, self._clock(), self._ledger.bytes())
        job.waiting.append((self._clock() + PATIENCE_SECONDS, answer))
        if job.step is Step.DONE:
            self._tell(job)

    def turn(self, *, paused: bool) -> float | None:
        """Do one slice; the seconds until there is another, None if nothing is under way. Nothing
        is done while it is ``paused``, but to tell those who have waited long."""
        job = self._job
        if job is None or job.step is Step.DONE:
            return None
        waits: float | None = None
        if job.step is Step.LEDGER and not paused:
            self._shrink_ledger(job)
            waits = 0.0
        elif job.step is Step.INDEX and not job.asked_index:
            self._ask_index(job)
            # The keeper has had its turn; it finds the question in the next.
            waits = 0.0
        elif job.step is Step.INDEX and self._keeper.hindered is not None:
            self._keeper.not_compacted(self._keeper.hindered)
        elif job.step is Step.INDEX and self._keeper.state == "damaged":
            self._keeper.not_compacted("it was given up; it is tried again every ten minutes")
        now = self._clock()
        for each in [each for each in job.waiting if each[0] <= now]:
            job.waiting.remove(each)
            each[1](self._told(job))
        if waits is None and job.waiting:
            waits = max(0.0, min(end for end, _ in job.waiting) - now)
        return waits

    # -- the ledger ---------------------------------------------------------------------------

    def _shrink_ledger(self, job: _Job) -> None:
        try:
            if self._ledger.shrinks:
                began = self._clock()
                left = self._ledger.give_back(job.pages)
                took = self._clock() - began
                fewer, more = max(FEWEST_PAGES, job.pages // 2), min(MOST_PAGES, job.pages * 2)
                job.pages = more if took < SLICE_SECONDS else fewer
                if left:
                    return
            else:
                self._check_room()
                self._log.info("the ledger is written anew, so that it can shrink by pages")
                with self._unseen(ANEW_SECONDS + self._ledger.bytes() / ANEW_RATE):
                    self._ledger.write_anew()
            self._ledger.tidy()
        except LedgerDamaged:
            raise
        except StorageError as problem:
            job.report["ledger"] = self._sizes(job) | {"problem": problem.to_dict()}
        else:
            job.report["ledger"] = self._sizes(job)
        job.step = Step.INDEX

    def _sizes(self, job: _Job) -> Report:
        return {"before": job.before, "after": self._ledger.bytes()}

    def _check_room(self) -> None:
        """It is written twice: to a temporary file, and through the log."""
        size = self._ledger.bytes()
        for folder in {_temporary_folder(), self._ledger.path.parent}:
            free = shutil.disk_usage(folder).free
            if free < 2 * size + RESERVE_BYTES:
                raise StorageError(
                    f"there is no room to write the ledger anew: {free:,} bytes are free in "
                    f"{folder}, {2 * size + RESERVE_BYTES:,} are needed",
                    fix=f"free some space: df -h {folder}",
                    path=str(folder),
                )

    # -- the index ----------------------------------------------------------------------------

    def _ask_index(self, job: _Job) -> None:
        job.asked_index = True

        def answer(report: Mapping[str, Any]) -> None:
            told = dict(report)
            problem = told.get("problem")
            if isinstance(problem, ThothError):
                told["problem"] = problem.to_dict()
            job.report["index"] = told
            job.step = Step.DONE
            self._tell(job)

        self._keeper.compact(answer)

    # -- answers ------------------------------------------------------------------------------

    def _told(self, job: _Job) -> Report:
        done = job.step is Step.DONE
        seconds = round(self._clock() - job.began, 1)
        waits_for = "" if done else str(job.step)
        return {"done": done, "step": waits_for, "seconds": seconds, **job.report}

    def _tell(self, job: _Job) -> None:
        waiting, job.waiting = job.waiting, []
        for _, answer in waiting:
            answer(self._told(job))


def _temporary_folder() -> Path:
    for name in _TEMPORARY:
        folder = name if name.startswith("/") else os.environ.get(name, "")
        if folder and Path(folder).is_dir():
            return Path(folder)
    return Path()
