"""Messages that wait for a peer whose queue is full, so that one slow peer delays nobody else."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable

from thoth_core.sockets import Sent
from thoth_core.wire import Frame

#: A peer that lets more than this wait, or for longer, is given up.
MAX_BYTES = 64 * 1024 * 1024
MAX_SECONDS = 60.0
#: Of all peers together; beyond it the one that lets most wait is given up.
MAX_ALL_BYTES = 256 * 1024 * 1024
#: So many that were given up are remembered.
REMEMBERED = 10_000


class Outbox:
    """All peers of one ROUTER. ``send(frames, to)`` tries to send without waiting."""

    def __init__(self, send: Callable[[list[Frame], bytes], Sent]) -> None:
        self._send = send
        self._waiting: dict[bytes, deque[list[Frame]]] = {}
        self._bytes: dict[bytes, int] = {}
        self._all_bytes = 0
        self._since: dict[bytes, float] = {}
        #: Given up for the sake of all, and not told of yet.
        self._gone: list[bytes] = []
        self._given_up: OrderedDict[bytes, None] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._waiting or self._gone)

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
        self._count(to, sum(len(frame) for frame in frames))
        if self._bytes[to] > MAX_BYTES:
            self._give_up(to)
            return False
        if self._all_bytes > MAX_ALL_BYTES:
            most = max(self._bytes, key=self._bytes.__getitem__)
            self._give_up(most)
            if most == to:
                return False
            self._gone.append(most)
        return True

    def flush(self, now: float) -> list[bytes]:
        """Try again; the peers that were given up come back."""
        gone, self._gone = self._gone, []
        for to in list(self._waiting):
            queue = self._waiting[to]
            sent = Sent.SENT
            while queue and (sent := self._send(queue[0], to)) is Sent.SENT:
                self._count(to, -sum(len(frame) for frame in queue.popleft()))
                self._since[to] = now
            if not queue:
                self.drop(to)
            elif sent is Sent.GONE:
                self.drop(to)
                gone.append(to)
            elif now - self._since[to] > MAX_SECONDS:
                self._give_up(to)
                gone.append(to)
        return gone

    def gave_up(self, peer: bytes) -> bool:
        """Whether something for this peer was dropped, though it may be there still."""
        return peer in self._given_up

    def stood_still(self, gap: float) -> None:
        """The supervisor did not run for ``gap`` seconds: nobody let it wait in that time."""
        for to in self._since:
            self._since[to] += gap

    def drop(self, to: bytes) -> None:
        """Forget what waits for a peer."""
        self._waiting.pop(to, None)
        self._all_bytes -= self._bytes.pop(to, 0)
        self._since.pop(to, None)

    def _count(self, to: bytes, size: int) -> None:
        self._bytes[to] += size
        self._all_bytes += size

    def _give_up(self, to: bytes) -> None:
        self.drop(to)
        self._given_up[to] = None
        while len(self._given_up) > REMEMBERED:
            self._given_up.popitem(last=False)
