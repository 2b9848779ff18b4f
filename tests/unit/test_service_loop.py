"""Single turns of the supervisor's loop, with everything around it replaced."""

from __future__ import annotations

import logging
import time
from collections import Counter
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

from thoth_core.sockets import Sent
from thoth_core.supervisor import switchboard
from thoth_core.supervisor.joint import Joint
from thoth_core.supervisor.outbox import Outbox
from thoth_core.supervisor.service import GAP, Service
from thoth_core.supervisor.switchboard import Door
from thoth_core.wire import Frame, Message, decode, encode

LOG = logging.getLogger("thoth.tested")
LOG.disabled = True


def around(**parts: Any) -> Any:
    """What a method of the service sees as ``self``."""
    stub = MagicMock(_next_tick=float("inf"))
    stub._timeout.return_value = 0.0
    stub._lines.heard.return_value = False
    stub._lines.ended.return_value = stub._lines.heard_out.return_value = []
    for name, part in parts.items():
        setattr(stub, name, part)
    return stub


def test_a_stop_of_the_loop_at_any_place_counts_for_nobody() -> None:
    stub = around(_turned=time.monotonic() - 100.0)
    Service._turn(stub)
    [gap] = stub.dispatch.stood_still.call_args.args
    assert gap == pytest.approx(100.0, abs=GAP)
    stub.crew.stood_still.assert_called_once_with(gap)
    Service._turn(stub)
    stub.dispatch.stood_still.assert_called_once()


def test_messages_that_take_long_do_not_keep_the_other_sockets_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frames = [b"client", *encode(Message("embed", "r1"))]
    monkeypatch.setattr(switchboard.sockets, "receive", lambda source: frames)
    handled: list[bytes] = []

    def slowly(now: float, client: bytes, message: Message, size: int) -> None:
        handled.append(client)
        time.sleep(0.02)

    Door(object(), Counter(), LOG, then=lambda now: None).read(slowly)
    assert 1 <= len(handled) <= 10


@pytest.mark.parametrize(("ending", "told"), [("", "config"), ("shutdown", "stop")])
def test_a_worker_that_says_hello_hears_first_that_it_is_to_end(ending: str, told: str) -> None:
    child = SimpleNamespace(slot="embed-bulk-1", incarnation="ab12")
    crew = MagicMock(slots={"embed-bulk-1": SimpleNamespace(ending=ending, role="embed")})
    crew.child_of.return_value = child
    crew.config_for.return_value = Message("config")
    stub = around(crew=crew, _joint=Joint(crew, MagicMock(), MagicMock()))
    Service._from_worker(stub, 0.0, b"embed.embed-bulk-1.ab12", Message("hello"), 1)
    [call] = stub._tell.call_args_list
    assert call.args[1].kind == told


def test_a_message_that_meets_a_defect_is_answered_and_the_loop_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arrived = [[b"client", *encode(Message("embed", id))] for id in ("r1", "r2")]
    monkeypatch.setattr(
        switchboard.sockets, "receive", lambda source: arrived.pop(0) if arrived else None
    )
    answered: list[Message] = []

    def sent(router: Any, frames: list[Frame], *, to: bytes) -> Sent:
        answered.append(decode(frames))
        return Sent.SENT

    monkeypatch.setattr(switchboard.sockets, "send", sent)

    def broken(now: float, client: bytes, message: Message, size: int) -> None:
        if message.id == "r1":
            raise KeyError("a defect")
        answered.append(Message("result", message.id))

    Door(object(), Counter(), LOG, then=lambda now: None).read(broken)
    assert [(m.kind, m.id) for m in answered] == [("error", "r1"), ("result", "r2")]
    assert answered[0].body["code"] == "internal"


def test_a_peer_that_was_given_up_hears_only_that() -> None:
    """Parts of an answer may have been dropped, so that the end of it would be a lie."""
    told: list[Message] = []
    lost: list[bytes] = []
    door = Door(object(), Counter(), LOG, then=lambda now: None, gone=lost.append)

    def send(frames: list[Frame], to: bytes) -> Sent:
        told.append(decode(frames))
        return Sent.SENT

    door.out = Outbox(send)
    door.reply(0.0, b"peer", Message("part", "r1"))
    door.out._give_up(b"peer")
    door.reply(0.0, b"peer", Message("result", "r1"))
    door.reply(0.0, b"peer", Message("lost", "r2"))
    door.reply(0.0, b"other", Message("result", "r3"))
    assert [(m.kind, m.id) for m in told] == [("part", "r1"), ("lost", "r2"), ("result", "r3")]
