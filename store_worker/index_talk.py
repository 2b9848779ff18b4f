"""The index process as the keeper sees it: there or not, what it was asked, what came of that."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from store_worker.index_child import Died, IndexChild, Reply
from store_worker.recovery_steps import OPENING, Ask
from thoth_core.oom import oom_kills

#: Seconds after which the index process is called slow; after which it hangs, and is ended; and the
#: same for what takes long by its nature (Chroma reads its whole log when it opens).
SLOW_SECONDS, HANG_SECONDS, LONG_SECONDS = 5.0, 120.0, 600.0
#: Seconds that one which hangs has for its stacks.
DUMP_SECONDS = 0.5
LONG = OPENING | {"compact"}


class IndexTalk:
    """One process at a time, one question at a time. ``nudge`` is called from another thread when
    it has answered."""

    def __init__(
        self, data_dir: Path, log: logging.Logger, nudge: Callable[[], None], *, faults: bool
    ) -> None:
        self._data_dir = data_dir
        self._log = log
        self._nudge = nudge
        self._faults = faults
        self._child: IndexChild | None = None
        self._asked: Ask | None = None
        #: When one that hangs in what it was asked last was asked for its stacks.
        self._hung_at: float | None = None
        self._oom_kills = oom_kills()

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child is not None else None

    @property
    def free(self) -> bool:
        """Whether there is one, and it is asked nothing."""
        return self._child is not None and self._child.idle

    @property
    def busy(self) -> bool:
        return self._child is not None and not self._child.idle

    @property
    def slow(self) -> bool:
        """Whether it has not answered for longer than it should take."""
        return self._busy_for() > SLOW_SECONDS

    def _busy_for(self) -> float:
        if self._child is None or self._child.idle:
            return 0.0
        return time.monotonic() - self._child.asked_at

    def spawn(self) -> None:
        """Start one; :class:`OSError` when that cannot be."""
        self._oom_kills = oom_kills()
        self._child = IndexChild(self._data_dir, self._nudge, faults=self._faults)
        self._log.info("started the index process (pid %d)", self._child.pid)

    def ask(self, step: Ask, array: bytes | memoryview = b"") -> None:
        """Ask it, when it is free."""
        if self._child is not None:
            self._asked, self._hung_at = step, None
            self._child.ask(step.op, array, **step.fields)

    def hear(self, seconds: float = 0.0) -> tuple[Ask | None, Reply | Died] | None:
        """What comes within ``seconds``, and the question that it belongs to. After the end of the
        process there is none."""
        if self._child is None or (came := self._child.wait(seconds)) is None:
            return None
        asked, self._asked = self._asked, None
        if isinstance(came, Died):
            self._log.warning(
                "the index process (pid %d) ended: %s%s",
                self._child.pid,
                came.signal or f"exit code {came.code}",
                f", during {came.op}" if came.op else "",
            )
            self._child = None
        return asked, came

    def may_lack_memory(self) -> bool:
        """Whether the kernel has ended some process for want of memory since the last start of the
        index process; True where it does not say."""
        return self._oom_kills is None or oom_kills() != self._oom_kills

    def end_if_hung(self) -> float:
        """Have one that hangs write its stacks, and then end it. Seconds until the next look, for
        one that is busy."""
        child, limit = self._child, HANG_SECONDS
        if child is None or child.idle:
            return SLOW_SECONDS
        if child.op in LONG:
            limit = LONG_SECONDS
        if self._busy_for() <= limit:
            return SLOW_SECONDS
        now = time.monotonic()
        if self._hung_at is None:
            self._hung_at = now
            self._log.error("the index process hangs in %s", child.op)
            child.write_stacks()
        elif now >= self._hung_at + DUMP_SECONDS:
            child.kill(f"hung in {child.op}")
        return DUMP_SECONDS

    def close(self, *, at_once: bool = False) -> int:
        """End it; its exit status, 1 if there was none."""
        child, self._child, self._asked = self._child, None, None
        return child.close(at_once=at_once) if child is not None else 1
