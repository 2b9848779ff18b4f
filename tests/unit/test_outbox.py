"""Messages that wait for a peer whose queue is full."""

from __future__ import annotations

from thoth_core.sockets import Sent
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
