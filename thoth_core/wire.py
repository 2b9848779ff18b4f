"""Messages and their frames: bytes in, values out. No sockets, no clock, no numpy.

A message is ``[envelope][body][raw buffers...]``, each a frame. The envelope is a small msgpack
map; the body a msgpack map whose meaning the kind gives; each buffer the raw bytes of one array,
whose dtype and shape stand in the envelope. Nothing on the wire can build an object.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgpack

from thoth_core.errors import ProtocolError, RequestTooLarge, ThothError, VersionMismatch
from thoth_core.errors import from_dict as error_from_dict

#: Protocol version. Another major is refused by name; a higher minor only adds fields.
MAJOR = 1
MINOR = 0

#: Bounds that the sender checks: texts in a call, and bytes of a whole message.
MAX_TEXTS = 2048
MAX_MESSAGE_BYTES = 32 * 1024 * 1024
#: The last line, set on every socket: libzmq cuts the connection over it, and the next message
#: is lost with the one that was too long. So it lies well above what a sender lets through.
MAX_FRAME_BYTES = 64 * 1024 * 1024
MAX_FRAMES = 16
MAX_ENVELOPE_BYTES = 64 * 1024

#: The dtypes that may cross, with their size in bytes.
DTYPES: Mapping[str, int] = {"<f4": 4}

Frame = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Buffer:
    """One contiguous little-endian array as a flat view of its bytes, opaque to whoever only
    passes it on."""

    shape: tuple[int, ...]
    data: Frame
    dtype: str = "<f4"

    @property
    def nbytes(self) -> int:
        return _size(self.data)


@dataclass(frozen=True, slots=True)
class Message:
    """One message. ``id`` is a request's or a unit's; ``incarnation`` the worker's it is for,
    or, in an answer, that gave it; ``deadline`` is relative, in seconds."""

    kind: str
    id: str = ""
    attempt: int = 0
    incarnation: str = ""
    deadline: float | None = None
    body: Mapping[str, Any] = field(default_factory=dict)
    buffers: tuple[Buffer, ...] = ()


def encode(message: Message) -> list[Frame]:
    """Frames of ``message``; :class:`RequestTooLarge` if they are over the limits."""
    envelope: dict[str, Any] = {"v": [MAJOR, MINOR], "kind": message.kind}
    if message.id:
        envelope["id"] = message.id
    if message.attempt:
        envelope["attempt"] = message.attempt
    if message.incarnation:
        envelope["incarnation"] = message.incarnation
    if message.deadline is not None:
        envelope["deadline"] = message.deadline
    if message.buffers:
        envelope["buffers"] = [{"dtype": b.dtype, "shape": list(b.shape)} for b in message.buffers]
    try:
        body = msgpack.packb(dict(message.body))
    except (TypeError, ValueError, OverflowError) as problem:
        raise ProtocolError(f"a {message.kind} message cannot be packed: {problem}") from problem
    frames: list[Frame] = [msgpack.packb(envelope), body, *(b.data for b in message.buffers)]
    total = sum(_size(f) for f in frames)
    if total > MAX_MESSAGE_BYTES or len(frames) > MAX_FRAMES:
        raise RequestTooLarge(
            f"a {message.kind} message of {total:,} bytes is over the limit of "
            f"{MAX_MESSAGE_BYTES:,}",
            fix="send fewer or shorter items in one call",
            bytes=total,
            limit=MAX_MESSAGE_BYTES,
        )
    return frames


def decode(frames: Sequence[Frame]) -> Message:
    """The message in ``frames``.

    Raises :class:`VersionMismatch` for another major version and :class:`ProtocolError` for
    anything that is not a message: wrong types, lengths that do not fit, too many frames.
    """
    if not 2 <= len(frames) <= MAX_FRAMES:
        raise ProtocolError(f"a message has 2 to {MAX_FRAMES} frames, this has {len(frames)}")
    envelope = _unpack_map(frames[0], "envelope", MAX_ENVELOPE_BYTES)
    version = envelope.get("v")
    if not (isinstance(version, list) and len(version) == 2 and all(_is_int(x) for x in version)):
        raise ProtocolError("the envelope names no protocol version")
    if version[0] != MAJOR:
        raise VersionMismatch(
            f"the other end speaks protocol {version[0]}.{version[1]}, this one {MAJOR}.{MINOR}",
            fix="thoth-supervisor stop, then run the command again",
            theirs=version,
            ours=[MAJOR, MINOR],
        )
    kind = envelope.get("kind")
    if not isinstance(kind, str) or not kind:
        raise ProtocolError("the envelope names no kind")
    deadline = envelope.get("deadline")
    if deadline is not None and (
        isinstance(deadline, bool)
        or not isinstance(deadline, int | float)
        or not math.isfinite(deadline)
    ):
        raise ProtocolError("the deadline is no number")
    return Message(
        kind=kind,
        id=_string(envelope, "id"),
        attempt=_integer(envelope, "attempt"),
        incarnation=_string(envelope, "incarnation"),
        deadline=None if deadline is None else float(deadline),
        body=_unpack_map(frames[1], "body", MAX_FRAME_BYTES),
        buffers=_buffers(envelope.get("buffers", []), frames[2:]),
    )


def error_message(
    error: ThothError, id: str = "", attempt: int = 0, incarnation: str = ""
) -> Message:
    """The ``error`` message that answers ``id``."""
    return Message("error", id, attempt, incarnation, body=error.to_dict())


def raise_if_error(message: Message) -> Message:
    """Raise what an ``error`` message carries; hand any other message back."""
    if message.kind == "error":
        raise error_from_dict(message.body)
    return message


def _size(frame: Frame) -> int:
    return frame.nbytes if isinstance(frame, memoryview) else len(frame)


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _unpack_map(frame: Frame, what: str, limit: int) -> dict[str, Any]:
    if len(frame) > limit:
        raise ProtocolError(f"the {what} of {len(frame):,} bytes is over the limit of {limit:,}")
    try:
        value = msgpack.unpackb(frame, strict_map_key=False)
    except Exception as problem:
        # msgpack raises half a dozen classes, some of them bare ValueError; none of them may
        # reach an event loop, and all mean the same thing.
        raise ProtocolError(f"the {what} is not msgpack: {type(problem).__name__}") from problem
    if not isinstance(value, dict):
        raise ProtocolError(f"the {what} is no map")
    return value


def _string(envelope: Mapping[str, Any], name: str) -> str:
    value = envelope.get(name, "")
    if not isinstance(value, str) or len(value) > 256:
        raise ProtocolError(f"the {name} in the envelope is no short string")
    return value


def _integer(envelope: Mapping[str, Any], name: str) -> int:
    value = envelope.get(name, 0)
    if not _is_int(value) or value < 0:
        raise ProtocolError(f"the {name} in the envelope is no number")
    return int(value)


def _buffers(specs: object, frames: Sequence[Frame]) -> tuple[Buffer, ...]:
    if not isinstance(specs, list) or len(specs) != len(frames):
        raise ProtocolError("the envelope does not describe the buffers that came")
    buffers = []
    for spec, frame in zip(specs, frames, strict=True):
        if not isinstance(spec, dict):
            raise ProtocolError("a buffer without dtype and shape")
        dtype, shape = spec.get("dtype"), spec.get("shape")
        if not isinstance(dtype, str) or dtype not in DTYPES:
            raise ProtocolError(f"a buffer of dtype {dtype!r}")
        if (
            not isinstance(shape, list)
            or not 1 <= len(shape) <= 2
            or not all(_is_int(n) and n >= 0 for n in shape)
        ):
            raise ProtocolError("a buffer whose shape is no list of one or two lengths")
        wanted = DTYPES[dtype] * math.prod(shape)
        size = _size(frame)
        if size != wanted:
            raise ProtocolError(f"a buffer of {size} bytes where its shape says {wanted}")
        buffers.append(Buffer(tuple(shape), frame, dtype))
    return tuple(buffers)
