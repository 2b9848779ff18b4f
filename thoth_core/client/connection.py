"""The one connection of a client to its service: what any thread may call, and the thread.

Calls hand it plans and get futures. The thread owns the ZeroMQ context and its sockets; it is
woken through a socket pair and otherwise waits, for ever if nothing is open.
"""

from __future__ import annotations

import contextlib
import logging
import math
import socket as stdlib_socket
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from thoth_core import sockets
from thoth_core.client import lifecycle
from thoth_core.client.greeting import Greeting, warn_of_differences
from thoth_core.client.jobs import Answers, Job
from thoth_core.client.requests import Plan
from thoth_core.client.session import Session
from thoth_core.errors import Cancelled, InternalError, ThothError

if TYPE_CHECKING:
    from thoth_core.settings import Settings

log = logging.getLogger("thoth.client")

#: Seconds that closing waits for the service to confirm what was cancelled.
CLOSING = 0.5
#: Seconds after which the clock is looked at again where an end is far: what poll counts in
#: milliseconds has a bound.
LONGEST_WAIT = 3600.0
#: A pause this much longer than asked for, in seconds, was no wait of ours: the process was
#: stopped, or the machine was asleep.
STOOD_STILL = 2.0


class Connection:
    """``autostart`` starts the service and returns when it is ready, or raises; None means that
    nothing may be started. All public methods may be called from any thread."""

    def __init__(
        self,
        settings: Settings,
        autostart: Callable[[], None] | None,
        *,
        version: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._autostart = autostart
        self._version = version
        self._clock = clock
        self._warned_of: Greeting | None = None
        #: The last greeting of the service; None before the first.
        self.greeting: Greeting | None = None
        self._reset()
        lifecycle.register(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._commands: deque[tuple[str, Any, Any]] = deque()
        self._thread: threading.Thread | None = None
        self._session: Session | None = None
        self._ends: tuple[stdlib_socket.socket, stdlib_socket.socket] | None = None
        self._closed = False

    def forget_after_fork(self) -> Any:
        """In a forked child: everything is new, and a closed client stays closed. What the
        parent owns is handed back, to be kept alive untouched."""
        theirs = (self._session, self._thread, self._commands, self._lock)
        closed, ends = self._closed, self._ends
        self._reset()
        self._closed = closed
        for end in ends or ():
            end.close()
        return theirs

    @property
    def dropped(self) -> int:
        """Messages that came for nothing that was open."""
        return 0 if self._session is None else self._session.dropped

    @property
    def reconnects(self) -> int:
        """How often the service was lost while requests were open, which were then sent again."""
        return 0 if self._session is None else self._session.losses

    def submit(self, plan: Plan[Any], deadline: float | None = None) -> Future[Answers]:
        """Start a call and return at once; ``deadline`` in seconds from now. Cancelling the
        future cancels the call. Raises :class:`Cancelled` if the client is closed."""
        return self.start(self.job(plan, deadline))

    def job(self, plan: Plan[Any], deadline: float | None = None) -> Job:
        """A call for :meth:`start`. Who may be interrupted while it starts has its future to cancel
        already."""
        job = Job(plan, None if deadline is None else self._clock() + deadline)
        job.future.add_done_callback(lambda future: self._future_done(job, future))
        return job

    def start(self, job: Job) -> Future[Answers]:
        """As :meth:`submit`."""
        with self._lock:
            if self._closed:
                raise Cancelled("this client is closed", fix="make a new Thoth()")
            self._commands.append(("submit", job, None))
            self._ensure_thread()
        self._wake()
        return job.future

    def close(self) -> None:
        """Cancel what is open and end the thread. Harmless when repeated."""
        with self._lock:
            self._closed = True
            self._disown_unstarted()
            thread = self._thread
        self._wake()
        if thread is not None and thread is not threading.current_thread():
            thread.join(CLOSING + 2.0)

    def abandon(self) -> None:
        """Close without waiting, and without the lock: the garbage collector may come to this in
        a thread that holds it."""
        self._closed = True
        self._wake()

    def _future_done(self, job: Job, future: Future[Answers]) -> None:
        if future.cancelled():
            self._post("drop", job, None)

    def _post(self, command: str, first: Any, second: Any) -> None:
        with self._lock:
            # After a call that a closed client refused nobody takes them any more.
            if not self._closed or self._thread is not None:
                self._commands.append((command, first, second))
        self._wake()

    def _wake(self) -> None:
        ends = self._ends
        if ends is not None:
            # Full: enough wakes are waiting. Closed: there is no thread to wake.
            with contextlib.suppress(OSError):
                ends[1].send(b"\0")

    def _ensure_thread(self) -> None:
        self._disown_unstarted()
        if self._thread is not None:
            return
        self._ends = stdlib_socket.socketpair()
        for end in self._ends:
            end.setblocking(False)
        self._thread = threading.Thread(
            target=self._run, args=(self._ends,), name="thoth-client", daemon=True
        )
        self._thread.start()

    def _disown_unstarted(self) -> None:
        """Ctrl-C came while the thread started. It may never begin; if it does, it ends at once.
        Who called has been told, and nobody else has, so that no call is under way."""
        if self._thread is None or self._thread.is_alive():
            return
        for end in self._ends or ():
            end.close()
        self._thread = self._ends = None

    # ---- the thread

    def _run(self, ends: tuple[stdlib_socket.socket, stdlib_socket.socket]) -> None:
        with self._lock:
            if self._ends is not ends:
                return
        ctx = sockets.context()
        session = Session(self._settings, ctx, self._autostart, self._post, self._greeted)
        self._session = session
        error: ThothError = Cancelled("the client was closed")
        try:
            while not self._closed:
                self._turn(session, ends[0], math.inf)
            self._take_commands(session, self._clock())
            session.fail_all(error)
            self._say_goodbye(session, ends[0])
        except Exception as problem:
            log.exception("the client's thread ended with an error")
            error = InternalError(f"the client's thread ended with an error: {problem!r}")
        finally:
            with self._lock:
                # Under the lock: a call that comes after this starts a thread of its own.
                left = list(self._commands)
                self._commands.clear()
                self._thread = None
            session.end(error)
            ctx.term()
            for command, job, _ in left:
                if command == "submit":
                    job.fail(error)
            for end in ends:
                end.close()

    def _turn(self, session: Session, wake: stdlib_socket.socket, at_most: float) -> None:
        self._take_commands(session, self._clock())
        now = self._clock()
        session.before_wait(now)
        wait = min(max(0.0, session.next_time() - now), at_most)
        if wait > LONGEST_WAIT and not math.isinf(wait):
            wait = LONGEST_WAIT
        poller = sockets.poller()
        poller.register(wake.fileno(), sockets.POLLIN)
        session.register(poller)
        poller.poll(None if math.isinf(wait) else math.ceil(wait * 1000))
        after = self._clock()
        if after - now - wait > STOOD_STILL:
            session.stood_still(after - now - wait)
        with contextlib.suppress(BlockingIOError):
            while wake.recv(4096):
                pass
        session.receive(after)

    def _say_goodbye(self, session: Session, wake: stdlib_socket.socket) -> None:
        # Closing a socket drops what it has not sent yet, so the cancels are waited for.
        end = self._clock() + CLOSING
        while not session.confirmed() and (left := end - self._clock()) > 0:
            self._turn(session, wake, left)

    def _take_commands(self, session: Session, now: float) -> None:
        while True:
            with self._lock:
                if not self._commands:
                    return
                command, first, second = self._commands.popleft()
            if command == "submit":
                session.advance(first)
            elif command == "drop":
                session.drop(first)
            else:
                session.located(first, second, now)

    def _greeted(self, greeting: Greeting) -> None:
        self.greeting = greeting
        if self._warned_of != greeting:
            self._warned_of = greeting
            warn_of_differences(greeting, self._version)
