"""Messages and their frames: round trips, and frames that are no messages."""

from __future__ import annotations

import math
import struct

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thoth_core import errors, wire
from thoth_core.errors import ProtocolError, RequestTooLarge, ThothError, VersionMismatch
from thoth_core.vectors import from_buffer, to_buffer
from thoth_core.wire import Buffer, Message, decode, encode

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=10,
)
arrays = st.builds(
    lambda rows, columns, seed: np.random.default_rng(seed).random(
        (rows, columns), dtype=np.float32
    ),
    st.integers(0, 4),
    st.integers(1, 8),
    st.integers(0, 2**32),
)
messages = st.builds(
    Message,
    kind=st.text(min_size=1, max_size=16),
    id=st.text(max_size=32),
    attempt=st.integers(0, 2**31),
    incarnation=st.text(max_size=16),
    deadline=st.none() | st.floats(0, 1e6),
    body=st.dictionaries(st.text(max_size=8), plain, max_size=4),
    buffers=st.lists(arrays.map(to_buffer), max_size=3).map(tuple),
)


def same(left: Message, right: Message) -> bool:
    assert [b.shape for b in left.buffers] == [b.shape for b in right.buffers]
    assert [bytes(b.data) for b in left.buffers] == [bytes(b.data) for b in right.buffers]
    fields = ("kind", "id", "attempt", "incarnation", "deadline", "body")
    return all(getattr(left, f) == getattr(right, f) for f in fields)


@given(messages)
def test_what_is_encoded_comes_back(message: Message) -> None:
    assert same(decode([bytes(f) for f in encode(message)]), message)


@given(arrays)
def test_vectors_come_back_without_a_change(array: np.ndarray) -> None:
    back = from_buffer(to_buffer(array))
    assert back.dtype == np.dtype("<f4")
    assert np.array_equal(back, array)


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_random_frames_are_a_protocol_error_and_nothing_else(frames: list[bytes]) -> None:
    with pytest.raises((ProtocolError, VersionMismatch)):
        decode(frames)


@given(messages, st.data())
def test_a_damaged_message_is_refused_or_read_but_never_another_error(
    message: Message, data: st.DataObject
) -> None:
    frames = [bytearray(f) for f in encode(message)]
    which = data.draw(st.integers(0, len(frames) - 1))
    frame = frames[which]
    how = data.draw(st.sampled_from(["cut", "flip", "drop", "twice", "grow"]))
    if how == "cut":
        del frame[data.draw(st.integers(0, len(frame))) :]
    elif how == "flip" and frame:
        at = data.draw(st.integers(0, len(frame) - 1))
        frame[at] ^= 1 << data.draw(st.integers(0, 7))
    elif how == "drop":
        del frames[which]
    elif how == "twice":
        frames.insert(which, frame)
    else:
        frame += data.draw(st.binary(min_size=1, max_size=20))
    try:
        decode([bytes(f) for f in frames])
    except (ProtocolError, VersionMismatch):
        return


envelopes = st.dictionaries(
    st.sampled_from(["v", "kind", "id", "attempt", "incarnation", "deadline", "buffers", "new"]),
    plain,
)


@given(envelopes, st.lists(st.binary(max_size=16), max_size=3))
def test_any_envelope_is_a_message_or_a_typed_error(
    envelope: dict[str, object], buffers: list[bytes]
) -> None:
    frames = [msgpack.packb({"v": [1, 0], "kind": "x"} | envelope), b"\x80", *buffers]
    try:
        message = decode(frames)
    except (ProtocolError, VersionMismatch):
        return
    assert all(b.nbytes == 4 * math.prod(b.shape) for b in message.buffers)


def test_unknown_fields_are_ignored_and_a_higher_minor_is_read() -> None:
    envelope = {"v": [wire.MAJOR, 99], "kind": "embed", "colour": "blue"}
    assert decode([msgpack.packb(envelope), b"\x80"]).kind == "embed"


def test_another_major_version_is_refused_by_name() -> None:
    frames = [msgpack.packb({"v": [9, 1], "kind": "embed"}), b"\x80"]
    with pytest.raises(VersionMismatch, match=r"9\.1.*1\.0"):
        decode(frames)


def test_a_message_over_the_limit_is_refused_by_the_sender() -> None:
    with pytest.raises(RequestTooLarge, match="33,5"):
        encode(Message("embed", body={"texts": ["x" * wire.MAX_MESSAGE_BYTES]}))
    with pytest.raises(RequestTooLarge):
        encode(Message("x", buffers=tuple(Buffer((1,), b"abcd") for _ in range(20))))


def test_a_text_with_a_lone_surrogate_cannot_be_sent() -> None:
    with pytest.raises(ProtocolError):
        encode(Message("embed", body={"texts": ["\ud800"]}))


def test_a_buffer_shorter_than_its_shape_is_refused() -> None:
    good = encode(Message("x", buffers=(Buffer((2, 2), struct.pack("<4f", 1, 2, 3, 4)),)))
    with pytest.raises(ProtocolError, match="12 bytes where its shape says 16"):
        decode([good[0], good[1], bytes(good[2])[:12]])


@pytest.mark.parametrize("code", sorted(errors.BY_CODE))
def test_every_error_comes_back_as_the_same_class(code: str) -> None:
    made = errors.BY_CODE[code]("what", cause="why", fix="a command", number=7)
    back = errors.from_dict(made.to_dict())
    assert type(back) is type(made)
    assert (back.message, back.cause, back.fix) == ("what", "why", "a command")
    assert back.details == made.details
    assert back.retryable == made.retryable


@given(st.dictionaries(st.text(max_size=10), plain))
def test_any_map_becomes_some_error(data: dict[str, object]) -> None:
    assert isinstance(errors.from_dict(data), ThothError)


def test_an_error_survives_pickling() -> None:
    import pickle

    made = errors.InvalidInput("bad", indices=[3], fix="do")
    back = pickle.loads(pickle.dumps(made))
    assert type(back) is errors.InvalidInput
    assert back.indices == [3]
