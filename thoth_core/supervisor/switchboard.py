"""All that the supervisor's loop hears from and speaks over: the sockets of clients, operators and
workers, what waits to be sent over them, and the descriptors of the children."""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thoth_core import sockets
from thoth_core.errors import InternalError, ThothError
from thoth_core.supervisor.outbox import Outbox
from thoth_core.wire import Message, decode, encode, error_message

if TYPE_CHECKING:
    from thoth_core.supervisor.processes import Child

#: Messages taken from one socket before the others have their turn, and seconds spent on them.
BURST, SHARE = 200, 0.05

#: ``(now, who, message, bytes)``
Handle = Callable[[float, bytes, Message, int], None]


class Door:
    """One ROUTER and what waits for its peers. ``then`` is called after each message that came in.
    ``gone`` is called with a peer that is given up; one that speaks again is told that it was.
    Unless it ``answers``, a peer is not told that its message could not be handled."""

    def __init__(
        self,
        router: Any,
        counters: Counter[str],
        log: logging.Logger,
        *,
        then: Callable[[float], None],
        gone: Callable[[bytes], None] | None = None,
        answers: bool = True,
    ) -> None:
        self.socket = router
        self.out = Outbox(lambda frames, to: sockets.send(router, frames, to=to))
        self._counters = counters
        self._log = log
        self._then = then
        self._gone = gone
        self._answers = answers

    def read(self, handle: Handle) -> None:
        """Hand on what came in, as much of it as leaves the other doors their turn."""
        end = time.monotonic() + SHARE
        for _ in range(BURST):
            frames = sockets.receive(self.socket)
            if frames is None:
                return
            who = bytes(frames[0])
            now = time.monotonic()
            try:
                message = decode(frames[1:])
            except ThothError as problem:
                self._counters["frames_bad"] += 1
                if self._answers:
                    self.reply(now, who, error_message(problem))
                continue
            if self._gone is not None and self.out.gave_up(who):
                # Answers to it were dropped while it read nothing. It reads now, and would wait for
                # them for ever: its connection is as it was.
                self.reply(now, who, Message("lost", message.id))
                continue
            try:
                handle(now, who, message, sum(len(f) for f in frames))
            except Exception as problem:
                # One message must not end the service for everybody else; whoever sent it would
                # send it again to the next one.
                self._log.exception("a %s message could not be handled", message.kind)
                self._counters["defects"] += 1
                if self._answers:
                    defect = InternalError(
                        f"the service failed on a {message.kind} call",
                        cause=f"{type(problem).__name__}: {problem}",
                        fix="thoth-supervisor logs",
                    )
                    self.reply(now, who, error_message(defect, message.id))
            self._then(now)
            if time.monotonic() > end:
                return

    def reply(self, now: float, to: bytes, message: Message) -> None:
        """Send an answer; one that cannot be sent as it is becomes the error that says why."""
        known = self.out.gave_up(to)
        if known and self._gone is not None and message.kind != "lost":
            # What belongs to it may have been dropped; it is to ask again.
            return
        try:
            frames = encode(message)
        except ThothError as problem:
            frames = encode(error_message(problem, message.id))
        if not self.out.send(now, to, frames):
            self._lose(to, known=known)

    def flush(self, now: float) -> None:
        for peer in self.out.flush(now):
            self._lose(peer)

    def _lose(self, peer: bytes, *, known: bool = False) -> None:
        if not known and self.out.gave_up(peer):
            self._log.warning("the peer %r reads nothing, and is given up", peer)
        if self._gone is not None:
            self._gone(peer)


class Switchboard:
    """The ``front`` is for clients, ``control`` for operators, ``back`` for workers. ``room`` is
    the folder of the sockets, which is locked for us."""

    def __init__(
        self,
        room: Path,
        counters: Counter[str],
        log: logging.Logger,
        *,
        then: Callable[[float], None],
        client_gone: Callable[[bytes], None],
    ) -> None:
        self._context = sockets.context()

        def router(name: str, **bounds: int) -> Any:
            return sockets.router(self._context, room / name, **bounds)

        # An answer may have a megabyte, and a client may read none of them.
        front = router("front", hwm=256, send_hwm=64)
        self.front = Door(front, counters, log, then=then, gone=client_gone)
        self.control = Door(router("control"), counters, log, then=then)
        self.back = Door(router("back", hwm=256), counters, log, then=then, answers=False)
        self._doors = (self.front, self.control, self.back)
        self.paths = tuple(room / name for name in ("front", "control", "back"))
        self._sentinels: dict[int, Child] = {}
        self._outputs: dict[int, Child] = {}
        #: Those that have ended, and until when they are listened to.
        self._parting: dict[Child, float] = {}
        self._heard: dict[Any, int] = {}
        self._poller = sockets.poller()
        for door in self._doors:
            self._poller.register(door.socket, sockets.POLLIN)

    # -- what is to be heard ------------------------------------------------------------------

    def poll(self, seconds: float) -> None:
        """Wait until there is something to hear, for so long at most."""
        self._heard = dict(self._poller.poll(int(seconds * 1000) + 1))

    def heard(self, what: Door | int) -> bool:
        """Whether there was something at a door or a descriptor when it was last polled."""
        return (what.socket if isinstance(what, Door) else what) in self._heard

    def ended(self) -> list[Child]:
        """The children whose end the kernel told of when it was last polled."""
        return [self._sentinels[fd] for fd in self._heard if fd in self._sentinels]

    def hear_out(self, child: Child, until: float) -> None:
        """The child has ended; what it said before that may come until then."""
        child.ended = True
        self._parting[child] = until
        self._unwatch_sentinel(child)

    def heard_out(self, now: float) -> list[Child]:
        """Those that have ended and have said all, or had their time for it."""
        return [c for c, until in self._parting.items() if c.said_all or now >= until]

    @property
    def wakes_at(self) -> float:
        """When :meth:`heard_out` next has one whose time is over; infinity without any."""
        return min(self._parting.values(), default=math.inf)

    def read_outputs(self) -> None:
        """Move what children wrote to their logs."""
        for fd in [fd for fd in self._heard if fd in self._outputs]:
            if not self._outputs[fd].read_output():
                self._unwatch_output(fd)

    # -- what is watched ----------------------------------------------------------------------

    def register(self, fd: int) -> None:
        self._poller.register(fd, sockets.POLLIN)

    def watch(self, child: Child) -> None:
        self._sentinels[child.sentinel] = child
        self._outputs[child.output] = child
        self.register(child.sentinel)
        self.register(child.output)

    def unwatch(self, child: Child) -> None:
        self._parting.pop(child, None)
        self._unwatch_sentinel(child)
        self._unwatch_output(child.output)

    def _unwatch_sentinel(self, child: Child) -> None:
        if self._sentinels.pop(child.sentinel, None) is not None:
            self._poller.unregister(child.sentinel)

    def _unwatch_output(self, fd: int) -> None:
        if self._outputs.pop(fd, None) is not None:
            self._poller.unregister(fd)

    # -- what is to be sent -------------------------------------------------------------------

    @property
    def waiting(self) -> bool:
        """Whether something waits for a peer whose queue is full."""
        return any(door.out for door in self._doors)

    def flush(self, now: float) -> None:
        for door in self._doors:
            door.flush(now)

    def stood_still(self, gap: float) -> None:
        """The supervisor did not run for ``gap`` seconds."""
        for door in self._doors:
            door.out.stood_still(gap)
        for child in self._parting:
            self._parting[child] += gap

    def close(self) -> None:
        """Close all, after a second at most for the last answers to leave."""
        for door in self._doors:
            sockets.close(door.socket, linger=1.0)
        self._context.term()
