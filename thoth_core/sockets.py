"""The only place that creates a ZeroMQ socket or sets an option on one.

Only ROUTER and DEALER, only ipc. The options are the same everywhere and each has its reason:

- ``LINGER`` 0: libzmq's default waits for ever for a peer that is gone.
- ``SNDHWM``/``RCVHWM``: bounded queues; what does not fit stays with whoever can decide about it.
- ``IMMEDIATE``: a DEALER queues nothing for a peer that is not connected.
- ``ROUTER_MANDATORY``: a ROUTER says so when a peer is gone or its queue is full, instead of
  dropping the message.
- ``MAXMSGSIZE``: the last line against a frame that would fill memory.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import zmq

from thoth_core.wire import MAX_FRAME_BYTES, Frame

#: Messages queued for a peer before a send says so.
HIGH_WATER_MARK = 64
#: ``sun_path`` holds 108 bytes, the last of which is NUL.
MAX_IPC_PATH = 107
#: Frames below this are copied by libzmq; above, Python's buffer is lent to it.
COPY_BELOW = 64 * 1024

Context = zmq.Context
Socket = zmq.Socket
ZMQError = zmq.ZMQError
POLLIN = zmq.POLLIN
POLLOUT = zmq.POLLOUT


def context() -> zmq.Context[zmq.Socket[bytes]]:
    """A new context. One a process, made after any fork."""
    return zmq.Context(1)


def poller() -> zmq.Poller:
    return zmq.Poller()


def endpoint(path: Path | str) -> str:
    """The ipc endpoint of a path; ``ValueError`` when the system cannot hold it."""
    raw = str(path).encode()
    if len(raw) > MAX_IPC_PATH:
        raise ValueError(f"socket path of {len(raw)} bytes, {MAX_IPC_PATH} at most: {path}")
    return f"ipc://{path}"


def _prepare(socket: Any, hwm: int) -> None:
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.SNDHWM, hwm)
    socket.setsockopt(zmq.RCVHWM, hwm)
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_FRAME_BYTES)


def router(
    ctx: Any, path: Path | str, *, hwm: int = HIGH_WATER_MARK, send_hwm: int | None = None
) -> Any:
    """A ROUTER bound to ``path``. The caller holds the lock that makes the path its own. ``hwm``
    bounds the messages of each peer that wait to be read, ``send_hwm`` those for it that wait to be
    sent (the same if it is None)."""
    Path(path).unlink(missing_ok=True)
    socket = ctx.socket(zmq.ROUTER)
    _prepare(socket, hwm)
    if send_hwm is not None:
        socket.setsockopt(zmq.SNDHWM, send_hwm)
    socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
    try:
        socket.bind(endpoint(path))
    except Exception:
        socket.close(0)
        raise
    return socket


def dealer(ctx: Any, path: Path | str, identity: bytes, *, hwm: int = HIGH_WATER_MARK) -> Any:
    """A DEALER that connects to ``path``; it reconnects by itself every 50 to 500 ms."""
    socket = ctx.socket(zmq.DEALER)
    _prepare(socket, hwm)
    socket.setsockopt(zmq.IMMEDIATE, 1)
    socket.setsockopt(zmq.IDENTITY, identity)
    socket.setsockopt(zmq.RECONNECT_IVL, 50)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, 500)
    try:
        socket.connect(endpoint(path))
    except Exception:
        socket.close(0)
        raise
    return socket


def disconnects(socket: Any) -> Any:
    """A PAIR that becomes readable whenever ``socket`` loses its connection."""
    return socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)


class Sent(Enum):
    """What became of a send that does not wait. Unless SENT, nothing of the message was taken."""

    SENT = "sent"
    #: The peer is there and its queue is full (or, for a DEALER, nobody is connected yet).
    FULL = "full"
    #: A ROUTER knows no such peer (any more).
    GONE = "gone"


def send(socket: Any, frames: Sequence[Frame], *, to: bytes | None = None) -> Sent:
    """Send without waiting; ``to`` is the peer's identity when ``socket`` is a ROUTER."""
    whole: list[Any] = list(frames) if to is None else [to, *frames]
    copy = all(len(frame) < COPY_BELOW for frame in frames)
    try:
        socket.send_multipart(whole, flags=zmq.DONTWAIT, copy=copy)
    except zmq.Again:
        return Sent.FULL
    except zmq.ZMQError as problem:
        if problem.errno == zmq.EHOSTUNREACH:
            return Sent.GONE
        raise
    return Sent.SENT


def receive(socket: Any) -> list[Frame] | None:
    """The next message's frames without waiting, or None. Large frames stay in libzmq's memory:
    the views that come back pin their message."""
    try:
        frames = socket.recv_multipart(flags=zmq.DONTWAIT, copy=False)
    except zmq.Again:
        return None
    return [f.buffer if len(f) >= COPY_BELOW else f.bytes for f in frames]


def close(socket: Any, *, linger: float = 0.0) -> None:
    """Close a socket that may be closed already or whose context is gone. ``linger`` seconds are
    given to what was sent and has not left yet."""
    with contextlib.suppress(zmq.ZMQError):
        socket.close(int(linger * 1000))
