"""Calls of a model where memory does not do for all of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embed_worker.engines.base import Vectors
from embed_worker.engines.memory_room import AGAIN_AFTER, Room, in_parts


class NoMemory(Exception):
    pass


class Device:
    """Computes vectors that say which row they are of, up to so many tokens a call."""

    def __init__(self, tokens: int, longest: int) -> None:
        self.tokens, self.longest = tokens, longest
        self.calls: list[int] = []

    def __call__(self, start: int, end: int) -> Vectors:
        self.calls.append(end - start)
        if (end - start) * self.longest > self.tokens:
            raise NoMemory
        return np.arange(start, end, dtype=np.float32)[:, None]


def ran_out(problem: Exception) -> bool:
    return isinstance(problem, NoMemory)


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 20_000), st.integers(1, 20_000))
def test_every_row_is_computed_once_and_in_order(
    count: int, longest: int, most: int, memory: int
) -> None:
    room, device = Room(most), Device(max(memory, longest), longest)
    made = in_parts(count, longest, room, device, ran_out)
    assert made[:, 0].tolist() == list(range(count))
    assert room.tokens <= most
    # Each refusal halves what is tried, and more is tried again seldom, so they are few.
    refused = len([n for n in device.calls if n * longest > device.tokens])
    assert refused <= 9 + len(device.calls) // AGAIN_AFTER


def test_what_memory_refused_is_not_tried_again_at_once() -> None:
    room, device = Room(1000), Device(tokens=300, longest=10)
    in_parts(100, 10, room, device, ran_out)
    assert device.calls == [100, 50, 25, 25, 25, 25]
    device.calls.clear()
    in_parts(100, 10, room, device, ran_out)
    assert device.calls == [25, 25, 25, 25]


def test_a_row_that_is_too_long_alone_is_raised() -> None:
    room, device = Room(1000), Device(tokens=5, longest=10)
    with pytest.raises(NoMemory):
        in_parts(3, 10, room, device, ran_out)
    # Longer ones than the bound are tried all the same, alone.
    assert room.rows(5, 999) == 1
    fits = Device(tokens=999, longest=999)
    assert in_parts(2, 999, room, fits, ran_out).shape == (2, 1)


def test_another_failure_is_raised_and_changes_nothing() -> None:
    def broken(start: int, end: int) -> Vectors:
        raise ValueError

    room = Room(1000)
    with pytest.raises(ValueError):
        in_parts(3, 10, room, broken, ran_out)
    assert room.tokens == 1000


def test_more_is_tried_again_after_a_while_and_never_more_than_at_first() -> None:
    room = Room(1000)
    in_parts(100, 10, room, Device(tokens=300, longest=10), ran_out)
    assert room.tokens == 250
    plenty = Device(tokens=10_000, longest=10)
    for _ in range(AGAIN_AFTER):
        # Far from the bound: nothing is learnt.
        in_parts(3, 10, room, plenty, ran_out)
    assert room.tokens == 250
    for _ in range(AGAIN_AFTER):
        in_parts(25, 10, room, plenty, ran_out)
    assert room.tokens == 500
    for _ in range(10 * AGAIN_AFTER):
        in_parts(100, 10, room, plenty, ran_out)
    assert room.tokens == 1000
