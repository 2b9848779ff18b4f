"""Frames sent to a service by hand, past the client and its checks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.service import RealService
from thoth_core import sockets, wire
from thoth_core.ids import new_request_id
from thoth_core.wire import Frame, Message

#: Seconds for an answer that must come.
PATIENCE = 30


def socket_paths(service: RealService) -> dict[str, Path]:
    """Where the service listens: ``front``, ``control``, ``back`` and ``store``."""
    folder = service.settings().service_dir
    [store] = folder.glob("store-*.sock")
    return {name: folder / name for name in ("front", "control", "back")} | {"store": store}


class Peer:
    """A DEALER connected to one of them, and its monitor."""

    def __init__(self, ctx: Any, path: Path, identity: bytes, hwm: int = 1000) -> None:
        self.socket = sockets.dealer(ctx, path, identity, hwm=hwm)
        self._lost = sockets.disconnects(self.socket)

    def close(self) -> None:
        self.socket.disable_monitor()
        sockets.close(self._lost)
        sockets.close(self.socket)

    def send(self, frames: Sequence[Frame]) -> None:
        """Send, and take no notice of what comes back while the other end is too busy to read."""
        while sockets.send(self.socket, frames) is not sockets.Sent.SENT:
            self.drain()
            assert self.socket.poll(PATIENCE * 1000, sockets.POLLOUT), "nobody reads there"

    def offer(self, frames: Sequence[Frame]) -> bool:
        """As :meth:`send`; False if nobody reads, because the other end has died."""
        while sockets.send(self.socket, frames) is not sockets.Sent.SENT:
            self.drain()
            if self._lost.poll(0) or not self.socket.poll(1000, sockets.POLLOUT):
                return False
        return True

    def drain(self) -> None:
        while sockets.receive(self.socket) is not None:
            pass

    def answer(self, id: str) -> Message:
        """The message with this id; others are dropped."""
        while True:
            assert self.socket.poll(PATIENCE * 1000, sockets.POLLIN), "no answer"
            frames = sockets.receive(self.socket)
            if frames is not None and (message := wire.decode(frames)).id == id:
                return message

    def ping(self) -> None:
        """Everything that was sent before has been read once this returns."""
        id = new_request_id()
        self.send(wire.encode(Message("ping", id)))
        assert self.answer(id).kind == "pong"

    def wait_until_cut(self) -> None:
        assert self._lost.poll(PATIENCE * 1000, sockets.POLLIN), "the connection was not cut"


@contextmanager
def connected(path: Path, identity: bytes = b"raw", hwm: int = 1000) -> Iterator[Peer]:
    ctx = sockets.context()
    peer = Peer(ctx, path, identity, hwm)
    try:
        yield peer
    finally:
        peer.close()
        ctx.term()
