"""Waits that Ctrl-C ends, whenever it comes.

A signal that arrives after the interpreter's last look and before the system call that sleeps does
not wake that call, and its handler runs when the call is over. A wait without a bound would then
ignore Ctrl-C until an answer comes; these look every :data:`LOOK` seconds.
"""

from __future__ import annotations

import contextlib
import time
from queue import Empty
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future
    from queue import SimpleQueue

T = TypeVar("T")

#: Seconds in which a Ctrl-C is heard at the latest.
LOOK = 0.5


def result(future: Future[T]) -> T:
    """``future.result()``."""
    while not future.done():
        with contextlib.suppress(TimeoutError):
            return future.result(LOOK)
    # What it failed with may itself be a TimeoutError.
    return future.result()


def take(queue: SimpleQueue[T], end: float | None = None) -> T:
    """``queue.get()``. ``end`` is an instant of the monotonic clock: past it, ``queue.Empty``."""
    while True:
        left = LOOK if end is None else min(LOOK, max(0.0, end - time.monotonic()))
        try:
            return queue.get(timeout=left)
        except Empty:
            if end is not None and time.monotonic() >= end:
                raise
