"""Waits that Ctrl-C ends, whenever it comes.

A signal that arrives after the interpreter's last look and before the system call that sleeps does
not wake that call, and its handler runs when the call is over. A wait without a bound would then
ignore Ctrl-C until an answer comes; these look every :data:`LOOK` seconds.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

T = TypeVar("T")

#: Seconds in which a Ctrl-C is heard at the latest.
LOOK = 0.5


def result(future: Future[T]) -> T:
    """``future.result()``."""
    # Through a queue, whose get is one call into C: in Future.result an interrupt may come between
    # a lock and what lets it go.
    if not future.done():
        done: SimpleQueue[Future[T]] = SimpleQueue()
        future.add_done_callback(done.put)
        take(done)
    return future.result()


def all_done(futures: Sequence[Future[Any]], seconds: float) -> None:
    """Wait until all of them are done, so many seconds at most."""
    done: SimpleQueue[Future[Any]] = SimpleQueue()
    for future in futures:
        future.add_done_callback(done.put)
    end = time.monotonic() + seconds
    with contextlib.suppress(Empty):
        for _ in futures:
            take(done, end)


def take(queue: SimpleQueue[T], end: float | None = None) -> T:
    """``queue.get()``. ``end`` is an instant of the monotonic clock: past it, ``queue.Empty``."""
    while True:
        left = LOOK if end is None else min(LOOK, max(0.0, end - time.monotonic()))
        try:
            return queue.get(timeout=left)
        except Empty:
            if end is not None and time.monotonic() >= end:
                raise
