"""Several units at once in one embed worker, with an engine that waits to be told."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pytest

from embed_worker.engines.base import Credit, Embedded, Options, Progress
from embed_worker.engines.fake import load as load_fake
from embed_worker.kept import KeptVectors
from embed_worker.several_units import SeveralUnits
from tests.unit.test_embed_service import MemoryChannel, _unit, _upsert
from thoth_core.errors import QuotaExceeded
from thoth_core.wire import Message, decode, encode
from thoth_core.worker.channel import Channel, Delivery


class LiveChannel(MemoryChannel):
    """One that waits, until ``stopping``."""

    def __init__(self) -> None:
        super().__init__()
        self.events: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self.answers: queue.SimpleQueue[Message] = queue.SimpleQueue()

    def receive(self, timeout: float | None, *, draining: bool = False) -> Delivery | None:
        if timeout is None and self.stopping and not draining:
            return None
        try:
            got = self.events.get(timeout=timeout) if timeout != 0 else self.events.get_nowait()
        except queue.Empty:
            return None
        return None if got is None else Delivery(decode(encode(got)))

    def nudge(self) -> None:
        self.events.put(None)

    def send(self, message: Message) -> None:
        super().send(message)
        if message.kind != "started":
            self.answers.put(message)


class TwoAtOnce:
    """Texts wait for one another: the first two calls end only together. ``!wait`` ends when it is
    given up, ``!quota`` is refused."""

    def __init__(self) -> None:
        self._fake = load_fake(Options("fake/8"))
        self.together = threading.Barrier(2)
        self.waits = threading.Event()

    @property
    def info(self) -> Any:
        info = self._fake.info
        return type("Info", (), {"credit": Credit(4, 10, 1000, 2), "dimension": info.dimension})()

    def embed(self, texts: Sequence[str], purpose: str, progress: Progress) -> Embedded:
        if texts[0] == "!quota":
            raise QuotaExceeded("nothing left")
        if texts[0] == "!wait":
            self.waits.set()
            while True:
                progress()
                threading.Event().wait(0.01)
        if texts[0] == "!together":
            self.together.wait(30)
        return self._fake.embed(texts, purpose, progress)


@pytest.fixture
def channel() -> LiveChannel:
    return LiveChannel()


def _run(channel: LiveChannel, engine: Any, kept: KeptVectors | None = None) -> threading.Thread:
    service = SeveralUnits(cast(Channel, channel), engine, kept)
    thread = threading.Thread(target=service.run)
    thread.start()
    return thread


def _end(channel: LiveChannel, thread: threading.Thread, how: str = "drain") -> None:
    channel.stopping = how
    channel.nudge()
    thread.join(30)
    assert not thread.is_alive()


def test_units_run_at_the_same_time_and_each_has_its_answer(channel: LiveChannel) -> None:
    thread = _run(channel, TwoAtOnce())
    channel.events.put(_unit("u1", ["!together", "a"]))
    channel.events.put(_unit("u2", ["!together"]))
    ids = {channel.answers.get(timeout=30).id for _ in range(2)}
    assert ids == {"u1", "u2"}
    assert channel.kinds("u1") == channel.kinds("u2") == ["started", "done"]
    _end(channel, thread)
    assert not channel.busy


def test_one_that_is_released_is_refused_and_the_others_go_on(channel: LiveChannel) -> None:
    engine = TwoAtOnce()
    thread = _run(channel, engine)
    channel.events.put(_unit("u1", ["!wait"]))
    assert engine.waits.wait(30)
    channel.events.put(_unit("u2", ["plain"]))
    assert channel.answers.get(timeout=30).id == "u2"
    channel.events.put(Message("release", body={"units": ["u1"]}))
    refused = channel.answers.get(timeout=30)
    assert (refused.id, refused.kind, refused.body["code"]) == ("u1", "error", "cancelled")
    _end(channel, thread)


def test_an_error_of_the_engine_is_the_units_answer(channel: LiveChannel) -> None:
    thread = _run(channel, TwoAtOnce())
    channel.events.put(_unit("u1", ["!quota"]))
    assert channel.answers.get(timeout=30).body["code"] == "quota"
    channel.events.put(Message("unit", "u2", 1, "w1", body={}))
    assert channel.answers.get(timeout=30).body["code"] == "protocol"
    _end(channel, thread)


def test_vectors_for_the_store_are_handed_over_kept_and_released(channel: LiveChannel) -> None:
    kept = KeptVectors()
    thread = _run(channel, TwoAtOnce(), kept)
    channel.events.put(_upsert("u1", ["a", "b"]))
    assert channel.answers.get(timeout=30).kind == "handed"
    assert len(kept) == 1
    channel.stopping = "drain"
    channel.nudge()
    thread.join(0.2)
    assert thread.is_alive()
    channel.events.put(Message("release", body={"units": ["u1"]}))
    thread.join(30)
    assert not thread.is_alive()
    ((path, message),) = channel.stored
    assert (path, message.kind) == ("/run/store-1", "upsert")
    assert message.buffers[0].shape == (2, 8)
    assert np.frombuffer(message.buffers[0].data, "<f4").any()


def test_stop_waits_for_nobody(channel: LiveChannel) -> None:
    engine = TwoAtOnce()
    thread = _run(channel, engine)
    channel.events.put(_unit("u1", ["!wait"]))
    assert engine.waits.wait(30)
    _end(channel, thread, "stop")
