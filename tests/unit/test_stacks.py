"""What an interpreter really writes when it crashes or is asked, read back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.service import wait_for
from thoth_core.supervisor.stacks import Stacks, read_stacks
from thoth_core.worker.dump_file import DumpFile

#: Another thread that waits, and work in the main one.
PROGRAM = """
import ctypes, os, signal, sys, threading, time
from thoth_core.worker.stack_dumps import StepTimer, write_stacks_to
fd = write_stacks_to(int(sys.argv[1]))
# Here: it takes a while, and has frames of its own.
usleep = ctypes.PyDLL(None).usleep
threading.Thread(target=threading.Event().wait, daemon=True).start()

def segv(): ctypes.string_at(0)
def abort(): os.abort()
def locked():
    print("here", flush=True)
    while True: usleep(100_000)
def waiting():
    while True: time.sleep(60)
def timed(work, seconds):
    timer = StepTimer(seconds, fd)
    timer.step()
    work()
    timer.end()
def asked(then):
    os.kill(os.getpid(), signal.SIGUSR1)
    then()
def steps():
    # Of the clock's time, in which others may have the processor.
    timer = StepTimer(3.0, fd)
    for _ in range(8):
        timer.step()
        time.sleep(0.5)
    timer.end()
    time.sleep(3.2)
"""


@pytest.fixture
def dump() -> Iterator[DumpFile]:
    file = DumpFile()
    yield file
    file.close()


def ran(dump: DumpFile, line: str, *, ignored: str = "") -> int:
    """The exit status of the program with ``line`` at its end."""
    begin = f"import signal; signal.signal(signal.{ignored}, signal.SIG_IGN)\n" if ignored else ""
    done = subprocess.run(
        [sys.executable, "-c", begin + PROGRAM + line, str(dump.fd)],
        pass_fds=[dump.fd],
        timeout=60,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert not done.stderr, done.stderr
    return done.returncode


def stacks(dump: DumpFile) -> Stacks:
    found = read_stacks(dump.read())
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("work", "header", "number", "function"),
    [
        ("segv", "Fatal Python error: Segmentation fault", signal.SIGSEGV, "string_at"),
        ("abort", "Fatal Python error: Aborted", signal.SIGABRT, "abort"),
    ],
)
def test_a_crash_names_the_frame_that_made_the_native_call(
    dump: DumpFile, work: str, header: str, number: signal.Signals, function: str
) -> None:
    assert ran(dump, f"{work}()") == -number
    found = stacks(dump)
    assert found.header == header
    assert len(found.threads) == 2
    assert found.top is not None
    assert found.top.function == function
    assert found.threads[0].frames[-1].function == "<module>"
    assert found.lines()[0] == header
    assert str(found.top) in found.lines()[1]


@pytest.mark.parametrize("work", ["locked", "waiting"])
@pytest.mark.parametrize("ignored", ["", "SIGALRM"])
def test_a_step_that_takes_too_long_ends_the_process_with_or_without_the_lock(
    dump: DumpFile, work: str, ignored: str
) -> None:
    assert ran(dump, f"timed({work}, 1.0)", ignored=ignored) == -signal.SIGALRM
    found = stacks(dump)
    assert found.header == ""
    assert found.top is not None
    assert found.top.function == work
    assert [f.function for f in found.threads[0].frames] == [work, "timed", "<module>"]


def test_steps_that_are_each_in_time_end_nothing(dump: DumpFile) -> None:
    assert ran(dump, "steps()") == 0
    assert dump.read() == ""


def test_the_last_of_several_dumps_counts(dump: DumpFile) -> None:
    assert ran(dump, "asked(segv)") == -signal.SIGSEGV
    assert [f.function for f in stacks(dump).threads[0].frames][:2] == ["string_at", "segv"]
    assert ran(dump, "asked(lambda: asked(abort))") == -signal.SIGABRT
    found = stacks(dump)
    assert (found.header, len(found.threads)) == ("Fatal Python error: Aborted", 2)
    dump.clear()
    assert dump.read() == ""
    assert ran(dump, "asked(lambda: timed(waiting, 1.0))") == -signal.SIGALRM
    found = stacks(dump)
    assert (found.header, len(found.threads)) == ("", 2)
    assert found.top is not None
    assert found.top.function == "waiting"


def test_a_process_that_is_asked_from_outside_writes_where_it_is(dump: DumpFile) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM + "locked()", str(dump.fd)],
        pass_fds=[dump.fd],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        dump.clear()
        os.kill(process.pid, signal.SIGUSR1)
        wait_for(lambda: "<module>" in dump.read(), 20, "it has written")
        assert process.poll() is None
        process.kill()
    found = stacks(dump)
    assert found.top is not None
    assert found.top.function == "locked"


def test_a_thread_of_an_earlier_dump_is_not_one_of_the_last() -> None:
    text = (
        "Thread 0x01 (most recent call first):\n"
        '  File "a.py", line 1 in gone\n\n'
        "Current thread 0x02 (most recent call first):\n"
        '  File "a.py", line 2 in main\n'
    )
    found = read_stacks(text + text.partition("\n\n")[2])
    assert found is not None
    assert [t.id for t in found.threads] == ["0x02"]


def test_what_is_no_dump_is_none() -> None:
    assert read_stacks("") is None
    assert read_stacks("2026 INFO something\nTraceback (most recent call last):\n") is None


def test_names_of_threads_as_newer_interpreters_write_them() -> None:
    text = (
        "Fatal Python error: Segmentation fault\n\n"
        "Thread 0x00007f01 [channel] (most recent call first):\n"
        '  File "a.py", line 3 in wait\n\n'
        "Current thread 0x00007f02 [python] (most recent call first):\n"
        '  File "b c.py", line ??? in <lambda>\n  ...\n'
    )
    found = read_stacks(text)
    assert found is not None
    assert [t.id for t in found.threads] == ["0x00007f02", "0x00007f01"]
    assert str(found.top) == "b c.py:? in <lambda>"
    assert found.to_dict()["threads"][0]["frames"][0]["line"] is None
