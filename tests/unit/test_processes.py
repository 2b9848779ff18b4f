"""What an exit means, and locks that the kernel lets go."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from thoth_core.locks import FileLock, holder
from thoth_core.supervisor.processes import describe_exit
from thoth_core.worker.birth import EXIT_BOOT, VARIABLE, Birth


@pytest.mark.parametrize(
    ("code", "ours", "signal_name", "blame", "boot"),
    [
        (-signal.SIGSEGV, "", "SIGSEGV", True, False),
        (-signal.SIGABRT, "", "SIGABRT", True, False),
        (-signal.SIGKILL, "", "SIGKILL", False, False),
        (-signal.SIGTERM, "", "SIGTERM", False, False),
        (-signal.SIGKILL, "shutdown", "SIGKILL", False, False),
        (-signal.SIGSEGV, "restart", "SIGSEGV", False, False),
        (3, "", None, True, False),
        (EXIT_BOOT, "", None, False, True),
        (EXIT_BOOT, "shutdown", None, False, False),
        (0, "", None, True, False),
    ],
)
def test_an_exit_is_blamed_on_the_work_only_when_it_may_be_the_cause(
    code: int, ours: str, signal_name: str | None, blame: bool, boot: bool
) -> None:
    exit = describe_exit(code, 123.0, ours)
    assert (exit.signal, exit.blame, exit.boot_failure) == (signal_name, blame, boot)
    assert exit.reason
    assert exit.at == 123.0


@pytest.mark.parametrize(
    ("kernel", "blame", "words"),
    [
        (True, True, "probably out of memory"),
        (False, False, "killed from outside"),
        (None, False, "killed from outside, or out of memory"),
    ],
)
def test_a_kill_is_blamed_on_the_work_when_the_kernel_counts_it(
    kernel: bool | None, blame: bool, words: str
) -> None:
    exit = describe_exit(-signal.SIGKILL, 0.0, "", kernel)
    assert exit.blame is blame
    assert exit.reason.startswith(words)
    # Our own kills, and other ends, are not the kernel's.
    assert not describe_exit(-signal.SIGKILL, 0.0, "shutdown", kernel).blame
    assert describe_exit(-signal.SIGSEGV, 0.0, "", kernel).reason == "segmentation fault"


def test_a_real_time_signal_has_a_name_too() -> None:
    assert describe_exit(-40, 0.0, "").signal


def test_a_birth_certificate_is_taken_once() -> None:
    birth = Birth("embed", "embed-bulk-1", "ab12", "/tmp/x/back", 17, 5)
    environ = {VARIABLE: birth.to_variable(), "PATH": "/bin"}
    assert Birth.take(environ) == birth
    assert environ == {"PATH": "/bin"}
    assert Birth.take(environ) is None


@pytest.mark.parametrize("module", ["embed_worker", "store_worker"])
def test_a_worker_that_is_started_by_hand_says_what_to_do(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == EXIT_BOOT
    assert "thoth-supervisor start" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_lock_is_held_by_one_and_names_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert holder(path) is None
    first, second = FileLock(path), FileLock(path)
    assert first.acquire()
    assert first.acquire(), "taking it again is no error"
    assert not second.acquire()
    assert holder(path) == os.getpid()
    first.release()
    assert holder(path) is None
    assert second.acquire()
    second.release()


def test_a_killed_holder_leaves_the_lock_free(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = (
        "import sys; from pathlib import Path; from thoth_core.locks import FileLock\n"
        "assert FileLock(Path(sys.argv[1])).acquire(); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        assert holder(path) == child.pid
        child.kill()
        child.wait()
        assert holder(path) is None
        assert path.read_text().strip() == str(child.pid), "the pid in the file decides nothing"
