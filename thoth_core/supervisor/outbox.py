"""Messages that wait for a peer whose queue is full, so that one slow peer delays nobody else."""

from __future__ import annotations

from collections import deque
from typing import Any

from thoth_core import sockets
from thoth_core.sockets import Sent
from thoth_core.wire import Frame

#: A peer that lets more than this wait, or for longer, is given up.
MAX_BYTES = 64 * 1024 * 1024
MAX_SECONDS = 60.0


class Outbox:
    """All peers of one ROUTER."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._waiting: dict[bytes, deque[list[Frame]]] = {}
        self._bytes: dict[bytes, int] = {}
        self._since: dict[bytes, float] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def send(self, now: float, to: bytes, frames: list[Frame]) -> bool:
        """Send, or keep for later; False when the peer is gone and what waited for it dropped."""
        if to not in self._waiting:
            sent = sockets.send(self._socket, frames, to=to)
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
            while queue and (sent := sockets.send(self._socket, queue[0], to=to)) is Sent.SENT:
                self._bytes[to] -= sum(len(frame) for frame in queue.popleft())
                self._since[to] = now
            if not queue:
                self.drop(to)
            elif sent is Sent.GONE or now - self._since[to] > MAX_SECONDS:
                self.drop(to)
                gone.append(to)
        return gone

    def drop(self, to: bytes) -> None:
        """Forget what waits for a peer."""
        self._waiting.pop(to, None)
        self._bytes.pop(to, None)
        self._since.pop(to, None)
