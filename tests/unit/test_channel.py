"""What a worker's I/O thread says to a supervisor that does not listen. Real ZeroMQ."""

from __future__ import annotations

import os
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest

from thoth_core import sockets
from thoth_core.wire import Message, decode
from thoth_core.worker import channel as module
from thoth_core.worker.birth import Birth
from thoth_core.worker.channel import Channel

#: Turns of the loop, each of them at a time for a beat.
TURNS = 200


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
            channel.close()
            channel._wake_in.close()
            channel._wake_out.close()
            sockets.close(supervisor)
            ctx.term()
