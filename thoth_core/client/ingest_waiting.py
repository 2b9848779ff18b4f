"""The calls of an ingest that are under way, and the thread that waits for them.

What an answer sets off is carried out in that thread, one after the other.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

from thoth_core import interruptible
from thoth_core.client.connection import Connection
from thoth_core.client.requests import Plan
from thoth_core.errors import (
    Cancelled,
    Conflict,
    DeadlineExceeded,
    InvalidInput,
    RequestTooLarge,
    ThothError,
)

T = TypeVar("T")


class Waiting:
    """``_end`` is an instant of the monotonic clock, or None."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._events: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._open: dict[Future[Any], str] = {}
        self._cancelled = threading.Event()
        self._end: float | None = None

    def cancel(self) -> None:
        """From any thread: end with :class:`Cancelled` as soon as may be."""
        self._cancelled.set()
        self._events.put(lambda: None)

    def _submit(
        self,
        kind: str,
        plan: Plan[T],
        done: Callable[[T], None],
        refused: Callable[[ThothError], None] | None = None,
    ) -> None:
        self._check()
        left = None if self._end is None else max(0.001, self._end - time.monotonic())
        job = self._connection.job(plan, left)
        future = job.future

        def settle() -> None:
            del self._open[future]
            try:
                value = plan.combine(future.result())
            except (InvalidInput, RequestTooLarge, Conflict) as error:
                # About these texts, or this file; others may do better.
                if refused is None:
                    raise
                refused(error)
            else:
                done(value)

        # Before it starts: whatever interrupts that, it is among those to cancel.
        self._open[future] = kind
        future.add_done_callback(lambda _: self._events.put(settle))
        self._connection.start(job)

    def _ask(self, kind: str, plan: Plan[T]) -> T:
        """The answer, waited for while the others are taken as they come."""
        found: list[T] = []
        self._submit(kind, plan, found.append)
        while not found:
            self._wait()
        return found[0]

    def _under_way(self, kind: str) -> int:
        return sum(1 for k in self._open.values() if k == kind)

    def _make_room(self, kind: str, most: int) -> None:
        while self._under_way(kind) >= most:
            self._wait()

    def _wait(self) -> None:
        # Every open call ends: the connection sees to deadlines and to a service that is gone.
        interruptible.take(self._events)()
        self._check()
        self._tell()

    def _drain(self) -> None:
        while not self._events.empty():
            self._wait()

    def _check(self) -> None:
        if self._cancelled.is_set():
            raise Cancelled("the ingest was cancelled")
        if self._end is not None and time.monotonic() >= self._end:
            raise DeadlineExceeded("the deadline of the ingest has passed")

    def _tell(self) -> None:
        """Say how far it is."""
