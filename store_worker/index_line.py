"""The line between the store and its index process: one request, one reply, in turn.

Both run the same code of the same version on one machine, so a frame is a length, a msgpack map and
the raw bytes of one array; what it holds is in ``index_process``.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping
from typing import Any

import msgpack

_HEAD = struct.Struct("<QQ")
#: Nothing that is sent comes near; a length above it is not a length.
_LIMIT = 1 << 31


def send(line: socket.socket, message: Mapping[str, Any], array: bytes | memoryview = b"") -> None:
    """Send one message; :class:`OSError` when the other side is gone."""
    body = msgpack.packb(message)
    size = len(array) if isinstance(array, bytes) else array.nbytes
    line.sendall(_HEAD.pack(len(body), size) + body)
    if size:
        line.sendall(array)


def receive(line: socket.socket) -> tuple[dict[str, Any], bytes] | None:
    """The next message and its array; None when the other side is gone."""
    head = _exactly(line, _HEAD.size)
    if head is None:
        return None
    length, size = _HEAD.unpack(head)
    if max(length, size) > _LIMIT:
        raise ValueError(f"a frame of {length} and {size} bytes")
    body = _exactly(line, length)
    array = _exactly(line, size)
    if body is None or array is None:
        return None
    return msgpack.unpackb(body, strict_map_key=False), array


def _exactly(line: socket.socket, size: int) -> bytes | None:
    """``size`` bytes; None if the line ends before."""
    parts, left = [], size
    while left:
        try:
            part = line.recv(min(left, 1 << 20))
        except ConnectionError:
            return None
        if not part:
            return None
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
