"""Waits that Ctrl-C ends, whenever it comes.

A signal that arrives after the interpreter's last look and before the system call that sleeps does
not wake that call, and its handler runs when the call is over. A wait without a bound would then
ignore Ctrl-C until an answer comes; these look every :data:`LOOK` seconds.
"""

from __future__ import annotations

import contextlib
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import TypeVar

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


def take(queue: SimpleQueue[T]) -> T:
    """``queue.get()``."""
    while True:
        with contextlib.suppress(Empty):
            return queue.get(timeout=LOOK)
