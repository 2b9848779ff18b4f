"""Messages that wait for a peer whose queue is full, so that one slow peer delays nobody else."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from thoth_core.sockets import Sent
from thoth_core.wire import Frame

#: A peer that lets more than this wait, or for longer, is given up.
MAX_BYTES = 64 * 1024 * 1024
MAX_SECONDS = 60.0


class Outbox:
    """All peers of one ROUTER. ``send(frames, to)`` tries to send without waiting."""

    def __init__(self, send: Callable[[list[Frame], bytes], Sent]) -> None:
        self._send = send
        self._waiting: dict[bytes, deque[list[Frame]]] = {}
        self._bytes: dict[bytes, int] = {}
        self._since: dict[bytes, float] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def send(self, now: float, to: bytes, frames: list[Frame]) -> bool:
        """Send, or keep for later; False when the peer is gone and what waited for it dropped."""
        if to not in self._waiting:
            sent = self._send(frames, to)
            if sent is not Sent.FULL:
                return sent is Sent.SENT
            self._waiting[to] = deque()
            self._bytes[to] = 0
            self._since[to] = now
        self._waiting[to].append(frames)
        self._bytes[to] += sum(len(frame) for frame in frames)
        if self._bytes[to] > MAX_BYTES:
            self.drop(to)
            return False
        return True

    def flush(self, now: float) -> list[bytes]:
        """Try again; the peers that were given up come back."""
        gone = []
        for to in list(self._waiting):
            queue = self._waiting[to]
            sent = Sent.SENT
            while queue and (sent := self._send(queue[0], to)) is Sent.SENT:
                self._bytes[to] -= sum(len(frame) for frame in queue.popleft())
                self._since[to] = now
            if not queue:
                self.drop(to)
            elif sent is Sent.GONE or now - self._since[to] > MAX_SECONDS:
                self.drop(to)
                gone.append(to)
        return gone

    def stood_still(self, gap: float) -> None:
        """The supervisor did not run for ``gap`` seconds: nobody let it wait in that time."""
        for to in self._since:
            self._since[to] += gap

    def drop(self, to: bytes) -> None:
        """Forget what waits for a peer."""
        self._waiting.pop(to, None)
        self._bytes.pop(to, None)
        self._since.pop(to, None)
