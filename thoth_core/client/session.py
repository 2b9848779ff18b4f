"""What the connection's thread decides: to find the service, greet it, send, repeat, give up.

A session is in one of four phases. IDLE: no socket. SEEKING: another thread starts the service.
GREETING: connected or connecting, ``hello`` not answered yet. READY: requests go out.
"""

from __future__ import annotations

import logging
import random
import threading
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any

from thoth_core import wire
from thoth_core.client import patience
from thoth_core.client.book import Book, Entry, State
from thoth_core.client.control import not_answering, not_running
from thoth_core.client.greeting import Greeting, hello_request, read_greeting
from thoth_core.client.jobs import Job, call_back
from thoth_core.client.link import Link
from thoth_core.client.locate import control_path, front_path, listening
from thoth_core.client.patience import Patience
from thoth_core.client.requests import Request
from thoth_core.errors import (
    InternalError,
    ProtocolError,
    ServiceStopping,
    SettingsError,
    ThothError,
    VersionMismatch,
    from_dict,
)
from thoth_core.ids import new_request_id
from thoth_core.wire import Message

if TYPE_CHECKING:
    from thoth_core.settings import Settings

log = logging.getLogger("thoth.client")


class Phase(Enum):
    IDLE = "idle"
    SEEKING = "seeking"
    GREETING = "greeting"
    READY = "ready"


class Session:
    """Used by one thread. ``post(name, ...)`` hands a word from the seeking thread back to it;
    ``greeted`` is told of each greeting."""

    def __init__(
        self,
        settings: Settings,
        ctx: Any,
        autostart: Callable[[], None] | None,
        post: Callable[[str, Any, Any], None],
        greeted: Callable[[Greeting], None],
    ) -> None:
        self._settings = settings
        self._ctx = ctx
        self._autostart = autostart
        self._post = post
        self._tell_greeting = greeted
        self._book: Book[Job] = Book(random.random)
        self._phase = Phase.IDLE
        self._link: Link | None = None
        self._sought = 0
        self._hello: Request | None = None
        self._hello_sent = False
        self._patience = Patience(autostart=autostart is not None)
        self._cancels: deque[str] = deque()
        self._unconfirmed: set[str] = set()
        #: Messages that fitted nothing that is open.
        self.dropped = 0
        #: How often the service was lost under open requests.
        self.losses = 0

    # ---- words from other threads

    def advance(self, job: Job) -> None:
        """Take the job's next requests, as far as its window goes."""
        if job.finished:
            return
        try:
            while (following := job.next_request()) is not None:
                position, request = following
                self._book.add(Entry(request, job, position, job.deadline))
        except Exception as problem:
            # Requests are made lazily out of the caller's own values.
            self._fail(job, problem)
            return
        job.settle()

    def drop(self, job: Job) -> None:
        """The job is over: forget its requests, and tell the service of those it works on."""
        for entry in self._book.of(job):
            self._book.remove(entry)
            if entry.state is State.SENT:
                self._cancels.append(entry.request.id)

    def located(self, sought: int, error: ThothError | None, now: float) -> None:
        if self._phase is not Phase.SEEKING or sought != self._sought:
            return
        self._phase = Phase.IDLE
        if error is None:
            self._open(now)
        else:
            self.fail_all(error)

    # ---- one turn of the loop

    def before_wait(self, now: float) -> None:
        for entry, error in self._book.due(now, self._patience.pong):
            self._fail(entry.owner, error)
        if self._phase is Phase.IDLE and self._book:
            self._seek(now)
        if self._phase is Phase.GREETING:
            self._judge_greeting(now)
        elif self._silent(now):
            self._lose(now, f"the service said nothing for {patience.SILENCE:.0f} s")
            self.before_wait(now)
            return
        self._pump(now)

    def register(self, poller: Any) -> None:
        if self._link is not None:
            self._link.register(poller, writing=self._wants_to_send())

    def next_time(self) -> float:
        times = [self._book.next_time()]
        if self._phase is Phase.GREETING:
            times += [self._patience.greeting_limit, self._patience.next_ping]
        elif self._phase is Phase.READY and self._awaiting():
            times += [self._patience.silent_at, self._patience.next_ping]
        return min(times)

    def stood_still(self, seconds: float) -> None:
        """This process did not run for ``seconds``: that silence was ours."""
        self._patience.stood_still(seconds)
        self._book.shift(seconds)

    def receive(self, now: float) -> None:
        if self._link is None:
            return
        # The monitor is asked first and believed last: what the service sent before it went
        # has then been read.
        lost = self._link.lost()
        for frames in self._link.received():
            self._patience.heard(now)
            try:
                message = wire.decode(frames)
            except VersionMismatch as error:
                self._close_link()
                self.fail_all(error)
                return
            except ProtocolError as error:
                self.dropped += 1
                log.warning("a message that could not be read was dropped: %s", error.message)
                continue
            self._take(message, now)
            if not self._connected():
                return
        if lost:
            self._lose(now, "the service closed the connection")

    def _connected(self) -> bool:
        return self._link is not None

    def confirmed(self) -> bool:
        """Whether the service has answered everything that was cancelled."""
        return self._link is None or not (self._cancels or self._unconfirmed)

    def end(self, error: ThothError) -> None:
        """Fail all jobs and close the socket."""
        self.fail_all(error)
        self._close_link()

    # ---- finding the service

    def _seek(self, now: float) -> None:
        if listening(control_path(self._settings)):
            self._open(now)
        elif self._autostart is not None:
            self._phase = Phase.SEEKING
            self._sought += 1
            threading.Thread(
                target=self._start_service,
                args=(self._autostart, self._sought),
                name="thoth-autostart",
                daemon=True,
            ).start()
        elif self._patience.lost_at is not None:
            # Nobody may start a successor but somebody else: the socket connects by itself
            # as soon as there is one.
            self._open(now)
        else:
            self.fail_all(not_running(self._settings))

    def _start_service(self, autostart: Callable[[], None], sought: int) -> None:
        error: ThothError | None = None
        try:
            autostart()
        except ThothError as problem:
            error = problem
        except Exception as problem:
            log.exception("starting the service failed")
            error = InternalError(f"starting the service failed: {problem!r}")
        self._post("located", sought, error)

    def _open(self, now: float) -> None:
        try:
            self._link = Link(self._ctx, front_path(self._settings))
        except ValueError as problem:
            self.fail_all(SettingsError(str(problem), fix="set THOTH_RUNTIME_DIR to a short path"))
            return
        self._phase = Phase.GREETING
        self._hello, self._hello_sent = hello_request(self._settings), False
        self._patience.opened(now)

    def _judge_greeting(self, now: float) -> None:
        if not self._book and not self._cancels:
            # Nobody waits any more; the next call begins anew.
            self._close_link()
        elif now >= self._patience.greeting_limit:
            there = listening(control_path(self._settings))
            self._close_link()
            again = self._patience.not_greeted() and self._autostart is not None
            if again and not there:
                self._seek(now)
                return
            error = not_answering if there else _no_successor
            self.fail_all(error(self._settings, patience.GREETING_SILENCE))
            self._patience.lost_at = None

    def _lose(self, now: float, why: str) -> None:
        greeting = self._phase is Phase.GREETING
        self._close_link()
        for entry, error in self._book.lost():
            self._fail(entry.owner, error)
        if not self._book:
            self._patience.lost_at = None
            return
        log.info("%s; %d open requests will be sent again", why, len(self._book))
        self.losses += 1
        self._patience.lost(now)
        if greeting and not self._patience.parting and not self._patience.not_greeted():
            self._patience.give_up()
            self.fail_all(not_answering(self._settings, 0.0))

    def _close_link(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None
        self._cancels.clear()
        self._unconfirmed.clear()
        self._phase = Phase.IDLE

    # ---- sending

    def _awaiting(self) -> bool:
        return self._book.waiting_for_answers()

    def _silent(self, now: float) -> bool:
        ready = self._phase is Phase.READY
        return ready and self._awaiting() and now >= self._patience.silent_at

    def _wants_to_send(self) -> bool:
        if self._phase is Phase.GREETING:
            return not self._hello_sent
        return bool(self._cancels) or any(self._book.queued())

    def _pump(self, now: float) -> None:
        link = self._link
        if link is None:
            return
        if self._phase is Phase.GREETING:
            if not self._hello_sent and self._hello is not None:
                self._hello_sent = link.send(wire.encode(self._hello.message(None)))
        else:
            while self._cancels and link.send(wire.encode(Message("cancel", self._cancels[0]))):
                self._unconfirmed.add(self._cancels.popleft())
            self._send_queued(link, now)
        waiting = self._phase is Phase.GREETING or self._awaiting()
        if waiting and now >= self._patience.next_ping:
            # What cannot be sent now is not worth keeping: the next ping is as good.
            link.send(wire.encode(Message("ping", new_request_id())))
            self._patience.pinged(now)

    def _send_queued(self, link: Link, now: float) -> None:
        for entry in self._book.queued():
            if self._book.get(entry.request.id) is not entry:
                continue  # its job failed a moment ago
            left = None if entry.deadline is None else max(0.0, entry.deadline - now)
            try:
                frames = wire.encode(entry.request.message(left, entry.losses))
            except ThothError as error:
                self._fail(entry.owner, error)
                continue
            if not self._awaiting():
                self._patience.asked(now)
            if not link.send(frames):
                return
            self._book.sent(entry, now)

    # ---- receiving

    def _take(self, message: Message, now: float) -> None:
        if message.kind == "lost":
            self._lose(now, "the service dropped answers that this client did not read in time")
            return
        if self._hello is not None and message.id == self._hello.id:
            self._take_greeting(message, now)
            return
        if message.kind == "pong":
            self._patience.pong = now
        entry = self._book.get(message.id)
        if entry is None:
            if message.id in self._unconfirmed:
                if message.kind in ("result", "error"):
                    self._unconfirmed.discard(message.id)
            elif message.kind != "pong":
                self.dropped += 1
            return
        if message.kind == "error":
            self._take_error(entry, from_dict(message.body), now)
            return
        self._book.heard(entry, now)
        if message.kind in ("result", "pong"):
            self._book.remove(entry)
            entry.owner.answered(entry.position, message)
            self.advance(entry.owner)
        elif message.kind == "part":
            self._call_back(entry, entry.request.on_part, message)
        elif message.kind == "progress":
            done, total = message.body.get("done"), message.body.get("total")
            if isinstance(done, int) and isinstance(total, int):
                tokens = message.body.get("tokens")
                tokens = tokens if isinstance(tokens, int) else 0
                self._call_back(entry, entry.request.on_progress, done, total, tokens)

    def _call_back(self, entry: Entry[Job], callback: Callable[..., None] | None, *a: Any) -> None:
        error = None if callback is None else call_back(callback, *a)
        if error is not None:
            self._fail(entry.owner, error)

    def _take_error(self, entry: Entry[Job], error: ThothError, now: float) -> None:
        if not self._book.refuse(entry, error, now, successor=self._autostart is not None):
            self._book.remove(entry)
            self._fail(entry.owner, error)

    def _take_greeting(self, message: Message, now: float) -> None:
        if message.kind == "result":
            self._phase, self._hello = Phase.READY, None
            self._patience.greeted(now)
            self._tell_greeting(read_greeting(message.body))
        elif message.kind == "error":
            error = from_dict(message.body)
            if isinstance(error, ServiceStopping) and self._autostart is not None:
                self._patience.parting = (
                    True  # its end closes the connection; then a new one is started
                )
                return
            self._close_link()
            self._patience.lost_at = None
            self.fail_all(error)

    # ---- failing

    def _fail(self, job: Job, error: BaseException) -> None:
        self.drop(job)
        job.fail(error)

    def fail_all(self, error: ThothError) -> None:
        """Fail all jobs, and tell the service to leave off."""
        for job in {id(e.owner): e.owner for e in self._book}.values():
            self._fail(job, error)


def _no_successor(settings: Settings, seconds: float) -> ThothError:
    error = not_running(settings)
    error.cause += f"; the one that was there has ended, and none came back in {seconds:.0f} s"
    return error
