"""What a worker's I/O thread says to a supervisor that does not listen. Real ZeroMQ."""

from __future__ import annotations

import _thread
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.service import wait_for
from thoth_core import sockets
from thoth_core.wire import Message, decode, encode
from thoth_core.worker import channel as module
from thoth_core.worker.birth import Birth
from thoth_core.worker.channel import Channel

#: Turns of the loop, each of them at a time for a beat.
TURNS = 200
#: Seconds that a wait would take that nothing ends.
LONG = 20.0


def test_beats_do_not_pile_up_while_the_supervisor_stands_still(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.001)
    waiting: list[int] = []
    stuck, flush = threading.Event(), module._flush

    def counted(target: Any, outbox: Any) -> Any:
        told = flush(target, outbox)
        if not outbox:
            waiting.clear()
        waiting.append(len(outbox))
        if len(waiting) == TURNS:
            stuck.set()
        return told

    monkeypatch.setattr(module, "_flush", counted)
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        ctx, path = sockets.context(), Path(folder) / "back"
        supervisor = sockets.router(ctx, path, hwm=4)
        channel = Channel(Birth("embed", "e", "one", str(path), os.getpid(), -1))
        said = [f"u{n}" for n in range(3000)]
        for id in said:
            channel.send(Message("started", id))
        channel._thread.start()
        try:
            assert stuck.wait(30)
            assert waiting[TURNS - 1] <= waiting[TURNS // 2]
            # It reads again: all that was said is there, in order, and beats come after that.
            heard, beats = [], 0
            while beats < 3:
                assert supervisor.poll(10_000)
                while (frames := sockets.receive(supervisor)) is not None:
                    message = decode(frames[1:])
                    beats += message.kind == "beat" and len(heard) == len(said)
                    heard += [message.id] * (message.kind == "started")
            assert heard == said
        finally:
            end(channel)
            sockets.close(supervisor)
            ctx.term()


def end(channel: Channel) -> None:
    channel.close()
    channel._wake_in.close()
    channel._wake_out.close()


@pytest.fixture
def joined(tmp_path: Path) -> Iterator[tuple[Channel, Any]]:
    """A channel at work, and the socket of its supervisor."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        ctx, path = sockets.context(), Path(folder) / "back"
        supervisor = sockets.router(ctx, path)
        birth = Birth("embed", "e", "one", str(path), os.getpid(), -1)
        channel = Channel(birth)
        channel._thread.start()
        try:
            yield channel, supervisor
        finally:
            end(channel)
            sockets.close(supervisor)
            ctx.term()


def seconds_until_told(channel: Channel, between: Callable[[], object]) -> float:
    """How long the main thread waits for its end when ``between`` happens after it looked whether
    it is told and before it sleeps."""
    looked: list[bool] = []

    def told() -> bool:
        if not looked:
            looked.append(True)
            between()
            return False
        return bool(channel.stopping)

    began = time.monotonic()
    with channel._arrived:
        channel._arrived.wait_for(told, LONG)
    assert channel.stopping
    return time.monotonic() - began


def test_a_drain_that_comes_before_the_wait_sleeps_ends_it(joined: tuple[Channel, Any]) -> None:
    channel, supervisor = joined

    def drain() -> None:
        frames = encode(Message("drain"))
        sockets.send(supervisor, frames, to=channel._birth.identity)
        wait_for(lambda: channel.stopping == "drain", 30, "the I/O thread has taken it")
        # It may have tried to tell the main thread, which has not slept yet.
        time.sleep(0.2)

    channel.send(Message("started", "a"))
    assert supervisor.poll(10_000)
    assert seconds_until_told(channel, drain) < LONG / 2


def test_a_signal_whose_handler_runs_before_the_wait_sleeps_ends_it(
    joined: tuple[Channel, Any],
) -> None:
    channel, _ = joined
    assert seconds_until_told(channel, channel.request_stop) < LONG / 2


def test_a_signal_that_wakes_no_system_call_ends_the_wait(joined: tuple[Channel, Any]) -> None:
    channel, _ = joined
    before = signal.signal(signal.SIGTERM, lambda *_: channel.request_stop())
    channel.wake_on_signals()
    try:
        # As of one that came before the call slept: its handler is due, and nothing wakes the call.
        timer = threading.Timer(0.3, _thread.interrupt_main, [signal.SIGTERM])
        timer.start()
        assert seconds_until_told(channel, lambda: None) < LONG / 2
        timer.join()
    finally:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, before)
