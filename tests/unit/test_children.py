"""A child process whose birth or end goes wrong leaves nothing behind."""

from __future__ import annotations

import errno
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


def open_files() -> set[Path]:
    return set(Path("/proc/self/fd").iterdir())


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
    assert open_files() == before


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

    wait_for(gone, 5, "what it had started is gone too")


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
