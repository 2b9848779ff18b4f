"""The embed worker as a process, with the test in the supervisor's and the store's place."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embed_worker.engines.fake import hashed_vector
from embed_worker.service import BULK_NICENESS
from thoth_core import sockets
from thoth_core.vectors import from_buffer
from thoth_core.wire import Message, decode, encode
from thoth_core.worker.birth import EXIT_BOOT, VARIABLE, Birth

PATIENCE = 20.0


class Room:
    """Sockets of a supervisor and of a store, and one worker."""

    def __init__(self, folder: Path) -> None:
        self.context = sockets.context()
        self.back = sockets.router(self.context, folder / "back")
        self.store_path = str(folder / "store-s1")
        self.store = sockets.router(self.context, self.store_path)
        read, self._death = os.pipe()
        birth = Birth("embed", "bulk-0", "w1", str(folder / "back"), os.getpid(), read)
        self.identity = birth.identity
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "embed_worker"],
            env=os.environ | {VARIABLE: birth.to_variable()},
            pass_fds=[read],
            stderr=subprocess.PIPE,
        )
        os.close(read)

    def send(self, kind: str, id: str = "", attempt: int = 0, **body: Any) -> None:
        sockets.send(
            self.back, encode(Message(kind, id, attempt, "w1", body=body)), to=self.identity
        )

    def receive(self, *kinds: str, at: Any = None) -> Message:
        """The next message of one of ``kinds``; others are passed over."""
        source = self.back if at is None else at
        poller = sockets.poller()
        poller.register(source, sockets.POLLIN)
        end = time.monotonic() + PATIENCE
        while (left := end - time.monotonic()) > 0:
            if poller.poll(int(left * 1000)):
                frames = sockets.receive(source)
                assert frames is not None
                message = decode(frames[1:])
                if message.kind in kinds:
                    return message
        raise AssertionError(f"no {kinds} in {PATIENCE} s")

    def begin(self, model: str = "fake/8", **settings: Any) -> Message:
        self.receive("hello")
        self.send("config", model=model, lane="bulk", threads=1, settings=settings)
        return self.receive("ready", "failed")

    def close(self) -> None:
        os.close(self._death)
        self.process.kill()
        self.process.communicate()
        for each in (self.back, self.store):
            sockets.close(each)
        self.context.term()


@pytest.fixture
def room() -> Iterator[Room]:
    # Not tmp_path: an ipc path has 107 bytes.
    with tempfile.TemporaryDirectory(prefix="th") as folder:
        room = Room(Path(folder))
        yield room
        room.close()


def test_it_loads_works_and_drains_and_knows_neither_chroma_nor_torch(room: Room) -> None:
    ready = room.begin()
    assert ready.body["model"]["name"] == "fake/8"
    assert os.getpriority(os.PRIO_PROCESS, room.process.pid) == os.nice(0) + BULK_NICENESS
    room.send("unit", "u1", 2, texts=["one text", 7], purpose="document")
    started, done = room.receive("started"), room.receive("done")
    assert (started.id, started.attempt, started.incarnation) == ("u1", 2, "w1")
    assert (done.id, done.attempt, done.incarnation) == ("u1", 2, "w1")
    np.testing.assert_array_equal(from_buffer(done.buffers[0]), [hashed_vector("one text", 8)])
    if sys.platform == "linux":
        maps = Path(f"/proc/{room.process.pid}/maps").read_text()
        assert "numpy" in maps
        assert "torch" not in maps
        assert "chromadb" not in maps
    room.send("drain")
    assert room.process.wait(PATIENCE) == 0


def test_vectors_go_straight_to_the_store_and_again_when_asked(room: Room) -> None:
    room.begin()
    store = {"endpoint": room.store_path, "incarnation": "s1"}
    body = {"collection": "c", "ids": ["x"]}
    call = store | {"kind": "upsert", "body": body}
    room.send("unit", "u1", 1, texts=["a"], purpose="document", store=call)
    handed = room.receive("handed")
    first = room.receive("upsert", at=room.store)
    assert handed.body["indices"] == [0]
    assert (first.id, first.attempt, first.incarnation) == ("u1", 1, "s1")
    assert first.body == {"collection": "c", "ids": ["x"], "texts": ["a"]}
    room.send("resend", units=[["u1", 2]], store=store)
    again = room.receive("upsert", at=room.store)
    assert again.attempt == 2
    np.testing.assert_array_equal(from_buffer(again.buffers[0]), from_buffer(first.buffers[0]))
    room.send("release", units=["u1"])
    room.send("resend", units=[["u1", 3]], store=store)
    assert room.receive("missing").attempt == 3


def test_a_model_that_is_nowhere_is_a_boot_failure_with_its_own_exit_code(room: Room) -> None:
    failed = room.begin("fake/none")
    assert failed.kind == "failed"
    assert failed.body["code"] == "model_not_found"
    assert room.process.wait(PATIENCE) == EXIT_BOOT


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("!segv", -signal.SIGSEGV),
        ("!abort and more", -signal.SIGABRT),
        ("!exit3", 3),
        ("!exit0", 0),
        ("!oom", -signal.SIGKILL),
    ],
)
def test_a_fault_ends_the_process_as_its_name_says(room: Room, text: str, status: int) -> None:
    room.begin(faults=True)
    # ``started`` is not waited for: the process may be gone before its I/O thread could send it.
    room.send("unit", "u1", 1, texts=["fine", text], purpose="document")
    assert room.process.wait(PATIENCE) == status


def test_faults_are_plain_texts_unless_they_are_allowed(room: Room) -> None:
    room.begin()
    room.send("unit", "u1", 1, texts=["!segv", "!hang", "!raise"], purpose="document")
    assert room.receive("done").body["indices"] == [0, 1, 2]


def test_a_hang_goes_on_beating_without_progress(room: Room) -> None:
    room.begin(faults=True)
    room.send("unit", "u1", 1, texts=["!hang"], purpose="document")
    room.receive("started")
    room.receive("beat")
    one, two = room.receive("beat"), room.receive("beat")
    assert one.body["busy"] is two.body["busy"] is True
    assert one.body["progress"] == two.body["progress"]


def test_native_code_that_holds_the_gil_stops_the_beats(room: Room) -> None:
    room.begin(faults=True)
    times, kinds = [time.monotonic()], [""]
    room.send("unit", "u1", 1, texts=["!gil:6"], purpose="document")
    while kinds[-1] != "done":
        kinds.append(room.receive("started", "beat", "done").kind)
        times.append(time.monotonic())
    assert kinds.count("started") == 1
    assert times[-1] - times[0] >= 5.9
    # There is one every second. What left before the lock was taken may be read a while after.
    assert max(b - a for a, b in pairwise(times)) >= 4
