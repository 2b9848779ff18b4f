"""Finding the service, one question to it, stopping it, and following its start."""

from __future__ import annotations

import fcntl
import io
import os
import socket
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.unit.fake_service import FakeService, Reply, private_settings, result
from thoth_core import InvalidInput, ServiceUnavailable, Settings, Thoth
from thoth_core.client import autostart, stopping
from thoth_core.client.control import control
from thoth_core.client.locate import control_path, listening, lock_path, wait_for_end
from thoth_core.wire import Message, error_message


@pytest.fixture
def settings() -> Iterator[Settings]:
    with private_settings() as made:
        yield made


def answer_status(message: Message, reply: Reply) -> None:
    if message.kind == "status":
        reply(result(message, state="ready", pid=0, workers=[]))
    elif message.kind == "restart":
        reply(error_message(InvalidInput("no such worker"), message.id))


def test_a_socket_file_that_a_killed_process_left_is_nobody(settings: Settings) -> None:
    path = control_path(settings)
    assert not listening(path)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert path.exists()
    assert not listening(path)
    with FakeService(settings):
        assert listening(path)


def test_a_question_gets_its_answer_or_its_error(settings: Settings) -> None:
    with FakeService(settings, answer_status):
        assert control(settings, "status")["state"] == "ready"
        with Thoth(settings, autostart=False) as thoth:
            assert thoth.status()["state"] == "ready"
        with pytest.raises(InvalidInput):
            control(settings, "restart")


def test_a_question_without_a_service_fails_at_once(settings: Settings) -> None:
    began = time.monotonic()
    with pytest.raises(ServiceUnavailable) as caught:
        control(settings, "status", timeout=30)
    assert time.monotonic() - began < 20
    assert caught.value.fix == "thoth-supervisor start"


def test_a_service_that_says_nothing_is_named_by_its_pid(settings: Settings) -> None:
    with FakeService(settings), lock_path(settings).open("w") as lock:
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ServiceUnavailable) as caught:
            control(settings, "status", timeout=0.3)
    assert caught.value.details["pid"] == os.getpid()


def test_a_service_that_ends_before_it_answers_ends_the_question(settings: Settings) -> None:
    service = FakeService(settings, lambda message, reply: service._ending.set())
    began = time.monotonic()
    with pytest.raises(ServiceUnavailable):
        control(settings, "stop", timeout=30)
    assert time.monotonic() - began < 20
    service.stop()


def test_the_end_of_a_process_is_waited_for() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    assert wait_for_end(pid, 10)
    os.waitpid(pid, 0)
    assert wait_for_end(pid, 10)
    assert not wait_for_end(os.getpid(), 0.05)


def test_stopping_waits_until_the_lock_is_free(settings: Settings) -> None:
    settings.data_dir.mkdir(parents=True)
    lock = (settings.data_dir / "lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)

    def handle(message: Message, reply: Reply) -> None:
        if message.kind == "status":
            reply(result(message, pid=None, workers=[]))
        else:
            reply(result(message))

    with FakeService(settings, handle):
        with pytest.raises(ServiceUnavailable, match="has not ended"):
            stopping.stop_service(settings, fast=False, timeout=2.0)
        lock.close()
        assert stopping.stop_service(settings, fast=True, timeout=30) == 0


def test_stopping_asks_for_every_process_of_the_service() -> None:
    status = {"pid": 5, "workers": [{"pid": 7}, {"pid": None}, {}, {"pid": 9}]}
    assert stopping.processes(status) == [5, 7, 9]
    assert stopping.processes({}) == []


def follow(*pieces: bytes, silence: bool = False) -> tuple[Mapping[str, Any] | None, list[str]]:
    told: list[str] = []
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as stdout:
        for piece in pieces:
            os.write(writer, piece)
        if not silence:
            os.close(writer)
        try:
            return autostart._follow(stdout, told.append, time.monotonic() + 60), told
        finally:
            if silence:
                os.close(writer)


def test_the_events_of_a_start_are_followed_to_the_last_word() -> None:
    event, told = follow(
        b'{"event": "starting", "message": "one"}\n{"event": "loa',
        b'ding", "message": "two"}\nsome library says hello\n[1]\n{"event": "ready", "pid": 12}\n',
    )
    assert event == {"event": "ready", "pid": 12}
    assert told == ["one", "two"]


def test_a_daemon_that_ends_without_a_word_is_told_with_what_it_complained() -> None:
    event, _ = follow(b'{"event": "starting"}\n')
    assert event is None
    error = autostart._ended(io.BytesIO(b"Traceback:\nModuleNotFoundError: no x\n"))
    assert error.cause == "ModuleNotFoundError: no x"


def test_a_daemon_that_falls_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autostart, "SILENCE", 0.2)
    with pytest.raises(ServiceUnavailable, match="in time"):
        follow(b'{"event": "starting"}\n', silence=True)


def test_the_winner_of_the_race_is_waited_for_until_it_is_ready(settings: Settings) -> None:
    states = ["starting", "starting", "stopping", "ready"]
    waits: list[float] = []

    def ask(given: Settings) -> Mapping[str, Any]:
        return {"state": states.pop(0)}

    def wait(pid: int, seconds: float) -> bool:
        waits.append(seconds)
        return False

    assert autostart._winner_is_ready(settings, 1, time.monotonic() + 60, ask=ask, wait=wait)
    assert states == [] and len(waits) == 3


def test_a_winner_that_ends_leaves_the_start_to_us(settings: Settings) -> None:
    def ask(given: Settings) -> Mapping[str, Any]:
        raise ServiceUnavailable("nobody")

    assert not autostart._winner_is_ready(settings, 1, time.monotonic() + 60, ask=ask)

    def starting(given: Settings) -> Mapping[str, Any]:
        return {"state": "starting"}

    ended = autostart._winner_is_ready(
        settings, 1, time.monotonic() + 60, ask=starting, wait=lambda pid, seconds: True
    )
    assert not ended
