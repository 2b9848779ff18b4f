"""A child process whose birth or end goes wrong leaves nothing behind."""

from __future__ import annotations

import contextlib
import errno
import gc
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.service import wait_for
from thoth_core.errors import ServiceUnavailable
from thoth_core.locks import FileLock, holder
from thoth_core.supervisor import processes
from thoth_core.supervisor.processes import Child, describe_exit
from thoth_core.supervisor.slots import Exit
from thoth_core.worker import run
from thoth_core.worker.birth import EXIT_TERM

LOG = logging.getLogger("thoth.test.children")


def spawn_script(monkeypatch: pytest.MonkeyPatch, script: str) -> Child:
    """A child that runs ``script`` instead of a worker."""
    real = subprocess.Popen

    def popen(command: Any, **how: Any) -> Any:
        return real([sys.executable, "-c", script], **how)

    monkeypatch.setattr(subprocess, "Popen", popen)
    return Child("embed", "embed-bulk-1", "ab12", Path("/tmp/none"), os.environ, LOG)


def open_files() -> set[tuple[str, str]]:
    """Numbers, and what each stands for."""
    # What nobody uses any more may be closed at any time.
    gc.collect()
    found = set()
    for each in Path("/proc/self/fd").iterdir():
        # The one that this loop reads from is gone.
        with contextlib.suppress(FileNotFoundError):
            found.add((each.name, str(each.readlink())))
    return found


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="there is no pidfd here")
def test_a_child_whose_end_could_not_be_seen_is_ended_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[int] = []

    def refuse(pid: int, flags: int = 0) -> int:
        seen.append(pid)
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(os, "pidfd_open", refuse)
    before = open_files()
    with pytest.raises(OSError, match="too many"):
        spawn_script(monkeypatch, "import time; time.sleep(60)")
    with pytest.raises(ProcessLookupError):
        os.kill(seen[0], 0)
    assert open_files() <= before


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="there is no pidfd here")
def test_what_a_worker_started_ends_with_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    note = tmp_path / "pid"
    child = spawn_script(
        monkeypatch,
        "import subprocess, sys, os, time\n"
        f"p = subprocess.Popen(['sleep', '60']); open({str(note)!r}, 'w').write(str(p.pid))\n"
        "print('the last words', flush=True); os.abort()",
    )
    wait_for(lambda: processes._readable(child.sentinel), 20, "it ended")
    exit = child.reap(0.0, 0.0)
    assert exit.signal == "SIGABRT"
    assert exit.tail == ("the last words",)
    grandchild = int(note.read_text())

    def gone() -> bool:
        try:
            stat = Path(f"/proc/{grandchild}/stat").read_text()
        except FileNotFoundError:
            return True
        return stat.rpartition(")")[2].split()[0] == "Z"

    wait_for(gone, 30, "what it had started is gone too")


def test_of_long_last_lines_the_beginning_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    script = "for n in range(60): print(n, 'x' * 30_000)"
    child = spawn_script(monkeypatch, script)
    while child.read_output():
        wait_for(lambda: processes._readable(child.output), 20, "it says something")
    exit = child.reap(0.0, 0.0)
    assert [line.split()[0] for line in exit.tail] == [str(n) for n in range(10, 60)]
    assert {len(line) for line in exit.tail} == {processes.TAIL_CHARS}


def test_sigterm_from_outside_is_blamed_on_nobody() -> None:
    exit = describe_exit(EXIT_TERM, 0.0, "")
    assert (exit.signal, exit.blame, exit.boot_failure) == ("SIGTERM", False, False)
    assert exit.signal == signal.SIGTERM.name


class SilentChannel:
    """The channel to a supervisor that does not answer."""

    log = LOG

    def __init__(self, stopping: str) -> None:
        self.stopping = stopping
        self.sent: list[object] = []

    def handshake(self) -> Mapping[str, Any]:
        raise ServiceUnavailable("the supervisor sent no configuration")

    def send(self, message: object) -> None:
        self.sent.append(message)


@pytest.mark.parametrize(("stopping", "status"), [("", 1), ("stop", 0)])
def test_a_supervisor_that_does_not_answer_is_no_failure_to_boot(
    stopping: str, status: int
) -> None:
    channel = SilentChannel(stopping)
    assert run._serve(channel, lambda *_: None) == status  # type: ignore[arg-type]
    # ``failed`` would end the slot for good.
    assert not channel.sent


def test_asking_who_holds_a_lock_does_not_keep_it_from_its_owner(tmp_path: Path) -> None:
    path, end = tmp_path / "lock", threading.Event()
    path.touch()

    def ask() -> None:
        while not end.is_set():
            holder(path)

    asking = [threading.Thread(target=ask) for _ in range(2)]
    for thread in asking:
        thread.start()
    try:
        for _ in range(300):
            lock = FileLock(path)
            assert lock.acquire()
            lock.release()
    finally:
        end.set()
        for thread in asking:
            thread.join()
    first = FileLock(path)
    assert first.acquire()
    assert not FileLock(path).acquire()
    first.release()


#: A worker that holds the interpreter's lock for ever; with ``arm``, under a timer of its own.
HANGING = """
import ctypes
from thoth_core.worker.birth import Birth
from thoth_core.worker.stack_dumps import StepTimer, write_stacks_to
fd = write_stacks_to(Birth.take().dump_fd)
def hang():
    library = ctypes.PyDLL(None)
    print("here", flush=True)
    while True: library.usleep(100_000)
"""
ARMED = HANGING + "StepTimer(0.1, fd).step()\nhang()"


def ended(child: Child, **how: Any) -> Exit:
    wait_for(lambda: processes._readable(child.sentinel), 20, "it ended")
    return child.reap(0.0, 0.0, **how)


def test_a_worker_that_hangs_writes_its_stacks_when_its_supervisor_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    child = spawn_script(monkeypatch, HANGING + "hang()")
    wait_for(lambda: child.read_output() and "here" in child.tail, 20, "it hangs")
    os.kill(child.pid, signal.SIGUSR1)
    wait_for(lambda: "<module>" in child._dump.read(), 20, "it has written for somebody else")
    child.stalled, child.ended_by_us = True, processes.NO_PROGRESS
    os.write(child._dump.fd, b"what was there before\n")
    child.signal("SIGUSR1")
    wait_for(lambda: "<module>" in child._dump.read(), 20, "it has written for us")
    assert "before" not in child._dump.read()
    assert child._dump.read().startswith("Current thread")
    child.signal("SIGKILL")
    exit = ended(child)
    assert (exit.signal, exit.reason) == ("SIGKILL", processes.NO_PROGRESS)
    assert child.top_frame == "<string>:9 in hang"
    assert exit.tail[-2:] == ("  <string>:9 in hang", "  <string>:10 in <module>")


@pytest.mark.parametrize("paused", [False, True])
def test_a_timer_of_a_workers_own_proves_nothing_after_a_pause_of_the_whole_service(
    monkeypatch: pytest.MonkeyPatch, paused: bool
) -> None:
    child = spawn_script(monkeypatch, ARMED)
    exit = ended(child, paused=paused)
    assert exit.signal == "SIGALRM"
    assert exit.reason == (processes.STOOD_STILL if paused else processes.NO_PROGRESS)
    assert child.stalled is not paused
    assert not exit.blame, "that it stalled is said apart"
    assert child.top_frame is not None
    assert child.top_frame.endswith(" in hang")


def test_stacks_that_somebody_else_asked_for_say_nothing_about_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    child = spawn_script(monkeypatch, HANGING + "hang()")
    wait_for(lambda: child.read_output() and "here" in child.tail, 20, "it hangs")
    os.kill(child.pid, signal.SIGUSR1)
    wait_for(lambda: "<module>" in child._dump.read(), 20, "it has written")
    os.kill(child.pid, signal.SIGKILL)
    asked: list[bool] = []

    def for_memory() -> bool:
        asked.append(True)
        return True

    exit = ended(child, for_memory=for_memory)
    assert child.stacks is None
    assert (exit.signal, exit.blame) == ("SIGKILL", True)
    assert asked == [True], "each question uses up one of the kernel's kills"


def test_the_kernel_is_not_asked_about_a_kill_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    def for_memory() -> bool:
        raise AssertionError

    child = spawn_script(monkeypatch, "import time; time.sleep(60)")
    child.ended_by_us = "shutdown"
    child.signal("SIGKILL")
    assert not ended(child, for_memory=for_memory).blame
