"""One socket to the service with its monitor: opened, used and closed together."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from thoth_core import sockets
from thoth_core.wire import Frame


class Link:
    """A DEALER under an identity that was never used before. It is never used again after it
    lost its peer: answers to the old identity would be dropped by the service anyway."""

    def __init__(self, ctx: Any, path: Path) -> None:
        identity = f"client-{os.getpid()}-{secrets.token_hex(8)}".encode()
        self._socket = sockets.dealer(ctx, path, identity)
        try:
            self._monitor = sockets.disconnects(self._socket)
        except Exception:
            sockets.close(self._socket)
            raise

    def register(self, poller: Any, *, writing: bool) -> None:
        """Have ``poller`` wake for what comes, for a lost peer, and, if ``writing``, when
        there is room to send (which a socket without a peer never has)."""
        flags = sockets.POLLIN | (sockets.POLLOUT if writing else 0)
        poller.register(self._socket, flags)
        poller.register(self._monitor, sockets.POLLIN)

    def send(self, frames: Sequence[Frame]) -> bool:
        """True if the message was taken."""
        return sockets.send(self._socket, frames) is sockets.Sent.SENT

    def received(self) -> Iterator[list[Frame]]:
        """What has come, without waiting."""
        while (frames := sockets.receive(self._socket)) is not None:
            yield frames

    def lost(self) -> bool:
        """Whether the peer has gone since the last look."""
        gone = False
        while sockets.receive(self._monitor) is not None:
            gone = True
        return gone

    def close(self) -> None:
        if not self._socket.closed:
            self._socket.disable_monitor()
        sockets.close(self._monitor)
        sockets.close(self._socket)
