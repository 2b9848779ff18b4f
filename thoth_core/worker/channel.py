"""The line between a worker's main thread, which works, and the other processes.

One I/O thread owns every socket. The main thread takes deliveries from a queue and leaves
messages in another, so it never blocks on a peer, and beats go on while it computes.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from thoth_core import sockets
from thoth_core.errors import ServiceUnavailable, ThothError
from thoth_core.runtimes import loaded_runtimes
from thoth_core.sockets import Sent
from thoth_core.wire import Frame, Message, decode, encode, error_message
from thoth_core.worker.birth import Birth
from thoth_core.worker.memory import own_bytes, resident_bytes
from thoth_core.worker.secret import Secret

BEAT_SECONDS = 1.0
#: Between two measurements of what the process has for itself, which take longer than others.
MEASURE_SECONDS = 5.0
#: How long a worker that ends waits for its last messages to leave.
FLUSH_SECONDS = 2.0
HANDSHAKE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message for the main thread; ``peer`` when it came over the store's own socket."""

    message: Message
    peer: bool = False


class Channel:
    """See the module. Public methods are for the main thread."""

    def __init__(self, birth: Birth) -> None:
        self.incarnation = birth.incarnation
        self.slot = birth.slot
        self.log = logging.getLogger(f"thoth.{birth.role}.{birth.slot}")
        #: "" while there is work to wait for, then "drain" or "stop".
        self.stopping = ""
        self.busy = False
        self.was_ready = False
        #: The key of a provider, if this worker is told one.
        self.secret = Secret()
        #: Where the stacks of a hang are written.
        self.stacks_fd = 2
        #: Further figures for the beats.
        self.vitals: dict[str, Any] = {}
        self._birth = birth
        self._steps = 0
        self._memory: int | None = None
        self._measured_at = float("-inf")
        #: Until when each beat is a step, on the word of the main thread.
        self._unseen_until = 0.0
        self._inbox: deque[Delivery] = deque()
        self._arrived = threading.Condition()
        self._nudged = False
        self._config: Message | None = None
        self._outbox: deque[list[Frame]] = deque()
        #: With the path of the store that each is for. Only the I/O thread takes from it.
        self._store_outbox: deque[tuple[str, list[Frame]]] = deque()
        self._store_path = ""
        self._bind_path = ""
        self._bound = threading.Event()
        self._bind_error: Exception | None = None
        self._ending = False
        self._wake_in, self._wake_out = socket.socketpair()
        for end in (self._wake_in, self._wake_out):
            end.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="channel", daemon=True)

    # -- life ---------------------------------------------------------------------------------

    def handshake(self) -> Mapping[str, Any]:
        """Start the I/O thread, say hello, and wait for the configuration."""
        self._thread.start()
        self.send(
            Message(
                "hello",
                body={"role": self._birth.role, "slot": self.slot, "pid": os.getpid()},
            )
        )
        with self._arrived:
            self._arrived.wait_for(
                lambda: self._config is not None or self.stopping, HANDSHAKE_SECONDS
            )
        if self._config is None:
            raise ServiceUnavailable("the supervisor sent no configuration")
        return self._config.body

    def state(self, state: str) -> None:
        self.send(Message("state", body={"state": state}))

    def ready(self, body: Mapping[str, Any]) -> None:
        self.was_ready = True
        # What is loaded by now stays: no request need wait while the collector looks at it.
        gc.freeze()
        own = {"runtimes": loaded_runtimes(), "rss_bytes": resident_bytes()}
        self.send(Message("ready", body={**body, **own}))

    def request_stop(self, how: str = "stop") -> None:
        """From any thread or a signal handler of the main thread. It is the I/O thread that wakes
        the main thread: a handler runs in that one, maybe between its look and its sleep."""
        self.stopping = how
        self._wake()

    def wake_on_signals(self) -> None:
        """Have each signal with a handler wake the I/O thread, and that one the main thread. One
        that came just before a wait slept would else be handled when the wait is over."""
        signal.set_wakeup_fd(self._wake_in.fileno(), warn_on_full_buffer=False)

    def close(self) -> None:
        """Take leave, let the last messages go, then end the I/O thread."""
        self.send(Message("bye"))
        self._ending = True
        self._wake()
        if self._thread.is_alive():
            self._thread.join(FLUSH_SECONDS + 1)

    # -- messages -----------------------------------------------------------------------------

    def receive(self, timeout: float | None, *, draining: bool = False) -> Delivery | None:
        """The next delivery; None after ``timeout`` seconds, after a nudge, or when the worker is
        to end and nothing is left. ``draining``: one that is told to end after its work goes on
        waiting."""
        with self._arrived:
            self._arrived.wait_for(
                lambda: (
                    self._inbox
                    or self._nudged
                    or (self.stopping == "stop" if draining else self.stopping)
                ),
                timeout,
            )
            self._nudged = False
            return self._inbox.popleft() if self._inbox else None

    def nudge(self) -> None:
        """From any thread: let :meth:`receive` come back, though nothing was delivered."""
        with self._arrived:
            self._nudged = True
            self._arrived.notify_all()

    def send(self, message: Message) -> None:
        """Leave ``message`` for the supervisor. One that is too large becomes an error answer."""
        self._outbox.append(self._frames(message))
        self._wake()

    def send_to_store(self, path: str, message: Message) -> None:
        """Leave ``message`` for the store behind ``path``. Whatever still waits for a store with
        another path is dropped: that one is dead, and dispatch asks again for what it lacks."""
        frames = encode(message)
        # The path first: what is for another than the latest path is dropped.
        self._store_path = path
        self._store_outbox.append((path, frames))
        self._wake()

    def bind(self, path: str) -> None:
        """Open the store's own socket; :class:`OSError` or ``ZMQError`` when it cannot be."""
        self._bind_path = path
        self._wake()
        self._bound.wait(HANDSHAKE_SECONDS)
        if self._bind_error is not None:
            raise self._bind_error

    def progress(self) -> None:
        self._steps += 1

    @contextlib.contextmanager
    def unseen(self, seconds: float) -> Iterator[None]:
        """Around a native call that cannot say how far it is: for ``seconds`` at most, each beat
        counts as a step of it."""
        self._unseen_until = time.monotonic() + seconds
        try:
            yield
        finally:
            self._unseen_until = 0.0
            self.progress()

    def _frames(self, message: Message) -> list[Frame]:
        if not message.incarnation:
            message = replace(message, incarnation=self.incarnation)
        try:
            return encode(message)
        except ThothError as problem:
            return encode(error_message(problem, message.id, message.attempt, message.incarnation))

    def _wake(self) -> None:
        # A full wake pipe means that the thread will wake anyway.
        try:
            self._wake_in.send(b"\0")
        except BlockingIOError:
            return
        except OSError as problem:
            if not self._ending:
                self.log.warning("the I/O thread cannot be woken: %s", problem)

    # -- the I/O thread -----------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._pump()
        except Exception:
            # A worker that cannot speak is of no use; its supervisor sees the exit.
            self.log.exception("the I/O thread of the worker failed")
            os._exit(1)

    def _pump(self) -> None:
        context = sockets.context()
        back = sockets.dealer(context, self._birth.endpoint, self._birth.identity)
        store: Any = None
        store_path = ""
        peers: Any = None
        poller = sockets.poller()
        poller.register(self._wake_out.fileno(), sockets.POLLIN)
        next_beat = time.monotonic() + BEAT_SECONDS
        end_by: float | None = None
        while True:
            if self._bind_path and peers is None and not self._bound.is_set():
                try:
                    peers = sockets.router(context, self._bind_path)
                    poller.register(peers, sockets.POLLIN)
                except Exception as problem:
                    self._bind_error = problem
                self._bound.set()
            if self._store_path != store_path:
                if store is not None:
                    # Without flags it is not in the poller.
                    if store in poller:
                        poller.unregister(store)
                    sockets.close(store)
                store_path = self._store_path
                store = sockets.dealer(context, store_path, self._birth.identity)
            told = _flush(back, self._outbox)
            if store is not None:
                self._flush_store(store, store_path)
                flags = sockets.POLLOUT if self._store_outbox else 0
                poller.register(store, flags)
            poller.register(back, sockets.POLLIN | (sockets.POLLOUT if self._outbox else 0))
            now = time.monotonic()
            if self._ending:
                end_by = end_by or now + FLUSH_SECONDS
                if now >= end_by or not (self._outbox or self._store_outbox):
                    break
            if now >= next_beat:
                next_beat = now + BEAT_SECONDS
                if told:
                    # To a supervisor that stands still nothing more is said: it may do so for days.
                    self._outbox.append(self._beat())
                    continue
            wait = max(0.0, min(next_beat, end_by or next_beat) - now)
            events = dict(poller.poll(int(wait * 1000) + 1))
            if self._wake_out.fileno() in events and (_drain(self._wake_out) or self.stopping):
                # For whatever it waits: the lock is not free before it sleeps or has ended waiting.
                with self._arrived:
                    self._arrived.notify_all()
            if back in events:
                self._take(back, peer=False)
            if peers is not None and peers in events:
                self._take(peers, peer=True)
        for each in (back, store):
            if each is not None:
                sockets.close(each, linger=1.0)
        if peers is not None:
            sockets.close(peers)
        context.term()

    def _take(self, source: Any, *, peer: bool) -> None:
        while (frames := sockets.receive(source)) is not None:
            try:
                message = decode(frames[1:] if peer else frames)
            except ThothError as problem:
                self.log.warning("dropped a message: %s", problem)
                continue
            if not peer and message.kind in ("drain", "stop"):
                self.request_stop(message.kind)
                continue
            with self._arrived:
                if not peer and message.kind == "config":
                    self._config = message
                else:
                    self._inbox.append(Delivery(message, peer))
                self._arrived.notify_all()

    def _flush_store(self, store: Any, path: str) -> None:
        """Send what is for the store behind ``path``; drop what is for an earlier one."""
        outbox = self._store_outbox
        while outbox:
            wanted, frames = outbox[0]
            if wanted == path:
                if sockets.send(store, frames) is not Sent.SENT:
                    return
            elif wanted == self._store_path:
                # For a newer one, to which the loop connects next.
                return
            outbox.popleft()

    def _beat(self) -> list[Frame]:
        now = time.monotonic()
        if now < self._unseen_until:
            self._steps += 1
        # Not before it is ready: what loading takes for a moment is nothing that it keeps.
        if self.was_ready and now >= self._measured_at + MEASURE_SECONDS:
            self._memory, self._measured_at = own_bytes(), now
        body = {
            "progress": self._steps,
            # What has arrived and was not taken yet is work too.
            "busy": self.busy or bool(self._inbox),
            "rss_bytes": resident_bytes(),
            "memory_bytes": self._memory,
            **self.vitals,
        }
        return self._frames(Message("beat", body=body))


def _flush(target: Any, outbox: deque[list[Frame]]) -> bool:
    """Send what there is; whether all of it could be."""
    while outbox:
        if sockets.send(target, outbox[0]) is not Sent.SENT:
            return False
        outbox.popleft()
    return True


def _drain(end: socket.socket) -> bool:
    """Take what there is; whether a signal is in it, whose number is not 0."""
    signals = False
    with contextlib.suppress(BlockingIOError):
        while taken := end.recv(4096):
            signals = signals or any(taken)
    return signals
