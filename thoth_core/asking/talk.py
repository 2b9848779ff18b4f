"""A conversation with a chat server in a thread of its own, which its caller can end at once.

Whoever asks waits for a queue, so that Ctrl-C, a deadline or another thread ends the wait at any
moment; the loop in the thread then closes the connection. That thread keeps nobody from exiting.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from thoth_core import interruptible
from thoth_core.errors import Cancelled, DeadlineExceeded

T = TypeVar("T")
#: In the thread: tells the caller's thread to call something.
Post = Callable[[Callable[[], object]], None]


class Talk(Generic[T]):
    """``make`` is given :data:`Post` and makes the coroutine. Used once."""

    def __init__(self, make: Callable[[Post], Coroutine[Any, Any, T]]) -> None:
        self._make = make
        self._events: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._lock = threading.Lock()
        self._cancelled = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[T] | None = None
        self._done: list[T] = []

    def cancel(self) -> None:
        """From any thread: close the connection, and have :meth:`run` raise :class:`Cancelled`."""
        with self._lock:
            self._cancelled = True
            if self._loop is not None and self._task is not None and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._task.cancel)
        self._events.put(_raise_cancelled)

    def run(self, end: float | None) -> T:
        """What the coroutine returns, or its error. ``end`` is monotonic; past it the answer is
        :class:`DeadlineExceeded`. Whatever ends this closes the connection."""
        try:
            threading.Thread(target=self._thread, name="thoth-ask", daemon=True).start()
            while not self._done:
                try:
                    event = interruptible.take(self._events, end)
                except Empty:
                    raise DeadlineExceeded("the deadline of the call has passed") from None
                event()
        except BaseException:
            self.cancel()
            raise
        return self._done[0]

    # ---- in the thread

    def _thread(self) -> None:
        try:
            value = asyncio.run(self._main())
        except (asyncio.CancelledError, Cancelled):
            self._events.put(_raise_cancelled)
        except BaseException as problem:
            error = problem
            self._events.put(lambda: _raise(error))
        else:
            self._events.put(lambda: self._done.append(value))

    async def _main(self) -> T:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(_Unawaited())
        task = loop.create_task(self._make(self._events.put))
        with self._lock:
            self._loop, self._task = loop, task
            if self._cancelled:
                task.cancel()
        try:
            return await task
        finally:
            with self._lock:
                self._loop = self._task = None


class _Unawaited(ThreadPoolExecutor):
    """Looks names up. Its threads are not waited for at the interpreter's end: a name server that
    does not answer would hold it up for as long."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                value = fn(*args, **kwargs)
            except BaseException as problem:
                future.set_exception(problem)
            else:
                future.set_result(value)

        threading.Thread(target=work, name="thoth-ask-name", daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        del wait, cancel_futures


def _raise(problem: BaseException) -> None:
    raise problem


def _raise_cancelled() -> None:
    raise Cancelled("the call was cancelled")
