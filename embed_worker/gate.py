"""The place that requests to a provider pass one after the other, when the pace allows the next.

Who waits for a query passes before what nobody waits for. One event loop, one gate.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable

from embed_worker.pace import Pace

#: Seconds after which whoever waits looks again, whatever it heard.
LOOK_AGAIN = 0.25


class Gate:
    """``waits`` is told until when (monotonic seconds) the next request waits, and None when none
    does any more."""

    def __init__(
        self,
        pace: Pace,
        waits: Callable[[float | None], None] = lambda until: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.pace = pace
        self._clock = clock
        self._waits = waits
        self._lines: dict[bool, deque[object]] = {True: deque(), False: deque()}
        self._moved = asyncio.Event()

    async def passed(self, tokens: int, *, urgent: bool) -> None:
        """Return when a request of so many tokens may go, counted as sent."""
        me = object()
        self._lines[urgent].append(me)
        try:
            while True:
                now = self._clock()
                if self._next() is me:
                    at = self.pace.ready_at(now, tokens)
                    if at <= now:
                        self.pace.sent(now, tokens)
                        self._waits(None)
                        return
                    self._waits(at)
                    wait = min(at - now, LOOK_AGAIN)
                else:
                    wait = LOOK_AGAIN
                self._moved.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._moved.wait(), wait)
        finally:
            self._lines[urgent].remove(me)
            if not any(self._lines.values()):
                self._waits(None)
            self._moved.set()

    def answered(self) -> None:
        """Something may be possible now that was not."""
        self._moved.set()

    def _next(self) -> object:
        for urgent in (True, False):
            if self._lines[urgent]:
                return self._lines[urgent][0]
        raise AssertionError("nobody waits")
