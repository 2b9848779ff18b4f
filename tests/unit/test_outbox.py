"""Messages that wait for a peer whose queue is full."""

from __future__ import annotations

import pytest

from thoth_core.sockets import Sent
from thoth_core.supervisor import outbox
from thoth_core.supervisor.outbox import MAX_SECONDS, Outbox


def full(frames: list[bytes], to: bytes) -> Sent:
    return Sent.FULL


def test_a_peer_that_stays_full_is_given_up() -> None:
    box = Outbox(full)
    assert box.send(0.0, b"peer", [b"frame"])
    assert box.flush(MAX_SECONDS) == []
    assert box.flush(MAX_SECONDS + 1) == [b"peer"]
    assert not box


def test_nobody_is_given_up_for_the_time_in_which_the_supervisor_stood_still() -> None:
    box = Outbox(full)
    assert box.send(0.0, b"peer", [b"frame"])
    box.stood_still(1000.0)
    assert box.flush(1001.0) == []
    assert box.flush(1000.0 + MAX_SECONDS + 1) == [b"peer"]


def test_one_that_is_given_up_is_remembered_and_one_that_has_gone_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outbox, "REMEMBERED", 2)
    box = Outbox(full)
    for number in range(3):
        assert box.send(0.0, b"peer %d" % number, [b"frame"])
    assert len(box.flush(MAX_SECONDS + 1)) == 3
    assert [box.gave_up(b"peer %d" % number) for number in range(3)] == [False, True, True]
    away = Outbox(lambda frames, to: Sent.GONE)
    assert not away.send(0.0, b"away", [b"frame"])
    assert not away.gave_up(b"away")


def test_all_together_let_no_more_wait_than_the_bound_and_the_largest_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outbox, "MAX_ALL_BYTES", 1000)
    box = Outbox(full)
    assert box.send(0.0, b"small", [b"x" * 100])
    assert box.send(0.0, b"large", [b"x" * 700])
    assert box.send(0.0, b"other", [b"x" * 300])
    assert box.gave_up(b"large")
    # What it had asked for is to be given up as well.
    assert box
    assert box.flush(1.0) == [b"large"]
    assert box.flush(1.0) == []
    # Whoever is the largest itself hears of it at once.
    assert not box.send(1.0, b"larger", [b"x" * 950])
    assert box.flush(1.0) == []
    assert not box.gave_up(b"small")
    # What was sent or dropped is in no count.
    for peer in (b"small", b"other"):
        box.drop(peer)
    assert box.send(2.0, b"small", [b"x" * 990])
