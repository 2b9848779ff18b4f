"""``status --watch`` over the life and death of a supervisor."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.conftest import Make
from tests.faults.watching import supervisor_pid
from tests.support.service import BIN, RealService

WATCH = (str(BIN / "thoth-supervisor"), "status", "--watch", "--interval", "0.2")


@pytest.fixture
def service(make_service: Make) -> RealService:
    return make_service(THOTH_EMBED_WORKERS="1")


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """A shell that runs the tests in the background has them, and what they start, ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, service: RealService, command: tuple[str, ...]) -> None:
        self.shown = ""
        self._fd, theirs = pty.openpty()
        self.process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=service.environ(COLUMNS="100", LINES="30"),
            cwd=service.root,
            start_new_session=True,
        )
        os.close(theirs)

    def wait_for(self, text: str) -> str:
        """Read until ``text`` is drawn; what was drawn since the last wait."""
        begin = len(self.shown)
        while text not in self.shown[begin:]:
            try:
                # The test's own time limit ends it if nothing comes.
                self.shown += os.read(self._fd, 4096).decode()
            except OSError:
                raise AssertionError(f"it ended without {text!r}: {self.shown}") from None
        return self.shown[begin:]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._fd)


@pytest.fixture
def terminal(service: RealService) -> Iterator[Terminal]:
    terminal = Terminal(service, WATCH)
    yield terminal
    terminal.close()


def test_a_supervisor_that_goes_and_comes_is_followed_and_never_started(
    service: RealService, terminal: Terminal
) -> None:
    terminal.wait_for("no service is running for this data directory; waiting for one")
    service.start()
    first = supervisor_pid(service)
    drawn = terminal.wait_for("texts/s")
    assert "\x1b[J" in drawn
    terminal.wait_for(f"service: ready (pid {first},")
    os.kill(first, signal.SIGKILL)
    terminal.wait_for("waiting for one")
    # Looked at a few times more: it is not this command that starts one.
    for _ in range(3):
        terminal.wait_for("waiting for one")
    service.start()
    second = supervisor_pid(service)
    assert second != first
    terminal.wait_for(f"service: ready (pid {second},")
    terminal.process.send_signal(signal.SIGINT)
    terminal.wait_for("interrupted")
    assert terminal.process.wait(30) == 130


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["lines", "json"])
def test_without_a_terminal_each_look_is_a_line(service: RealService, form: tuple[str]) -> None:
    service.start()
    with service.client() as thoth, service.popen("thoth-supervisor", *WATCH[1:], *form) as looking:
        assert looking.stdout is not None
        looking.stdout.readline()
        thoth.embed(["a text"] * 40)
        if form:
            found = json.loads(looking.stdout.readline())
            assert (found["schema_version"], found["state"]) == (1, "ready")
            while not found["rates"]["texts_per_s"]:
                found = json.loads(looking.stdout.readline())
            assert found["rates"]["calls_per_s"] > 0
        else:
            line = ""
            while ", 0.0 texts/s" in line or " texts/s" not in line:
                line = looking.stdout.readline()
                assert "\x1b" not in line
        looking.send_signal(signal.SIGINT)
        assert looking.wait(30) == 130


def test_it_looks_once_or_again_and_again(service: RealService) -> None:
    done = service.run("thoth-supervisor", "status", "--watch", "--check")
    assert done.returncode == 2
