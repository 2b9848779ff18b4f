"""A Ctrl-C that comes just before the wait sleeps is heard all the same."""

from __future__ import annotations

import _thread
import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from queue import Empty, SimpleQueue
from typing import Any

import pytest

from thoth_core import interruptible
from thoth_core.asking.talk import Talk
from thoth_core.client.locate import wait_for_end


@pytest.fixture(autouse=True)
def ctrl_c_interrupts() -> Iterator[None]:
    # A shell that runs the tests in the background has them ignore it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    "wait",
    [
        lambda: interruptible.result(Future()),
        lambda: interruptible.take(SimpleQueue()),
        lambda: Talk(lambda post: asyncio.sleep(60)).run(None),
        lambda: wait_for_end(os.getpid(), 60),
    ],
    ids=["result", "take", "talk", "end of a process"],
)
def test_an_interrupt_that_wakes_no_system_call_ends_the_wait(wait: Callable[[], Any]) -> None:
    # As of a signal that came before the call slept: its handler is due, and nothing wakes the
    # call. (Future().result() and SimpleQueue().get() sleep on.)
    timer = threading.Timer(0.1, _thread.interrupt_main)
    with pytest.raises(KeyboardInterrupt):
        timer.start()
        wait()
    timer.join()


def test_a_result_that_takes_longer_than_a_look_is_waited_for() -> None:
    future: Future[int] = Future()
    timer = threading.Timer(2.5 * interruptible.LOOK, future.set_result, [7])
    timer.start()
    assert interruptible.result(future) == 7
    timer.join()


def test_all_of_them_are_waited_for_or_until_the_time_is_over() -> None:
    futures: list[Future[int]] = [Future(), Future()]
    futures[0].set_exception(ValueError())
    began = time.monotonic()
    interruptible.all_done(futures, 0.7)
    assert time.monotonic() - began >= 0.7
    timer = threading.Timer(0.1, futures[1].cancel)
    timer.start()
    interruptible.all_done(futures, 60)
    assert futures[1].done()
    timer.join()
    interruptible.all_done([], 60)


def test_a_queue_is_waited_for_until_the_end() -> None:
    queue: SimpleQueue[int] = SimpleQueue()
    end = time.monotonic() + 1.2 * interruptible.LOOK
    with pytest.raises(Empty):
        interruptible.take(queue, end)
    assert time.monotonic() >= end
    queue.put(1)
    assert interruptible.take(queue, end) == 1


def test_a_failure_is_raised_as_it_is_also_a_timeout() -> None:
    late: Future[int] = Future()
    late.set_exception(TimeoutError("its own"))
    with pytest.raises(TimeoutError, match="its own"):
        interruptible.result(late)
    cancelled: Future[int] = Future()
    cancelled.cancel()
    with pytest.raises(CancelledError):
        interruptible.result(cancelled)


def test_a_queue_gives_in_order_what_comes_later() -> None:
    queue: SimpleQueue[int] = SimpleQueue()
    timer = threading.Timer(1.5 * interruptible.LOOK, queue.put, [2])
    queue.put(1)
    timer.start()
    assert [interruptible.take(queue), interruptible.take(queue)] == [1, 2]
    timer.join()
