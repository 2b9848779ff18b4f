"""The key that only one process has."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

from hypothesis import given
from hypothesis import strategies as st

from thoth_core.worker.secret import Secret, line_of


@given(st.text(max_size=300))
def test_a_key_comes_through_as_it_is(key: str) -> None:
    secret = Secret()
    assert not secret.wait(0)
    line = line_of(key)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    secret.heard(line.rstrip(b"\n"))
    assert secret.get() == (key, 1)
    assert key not in repr(secret) or len(key) < 8


@given(st.binary(max_size=60))
def test_what_is_no_key_changes_nothing(line: bytes) -> None:
    secret = Secret()
    secret.set("mine")
    secret.heard(line)
    assert secret.get() == ("mine", 1)


def test_whoever_waits_for_the_first_key_gets_it() -> None:
    secret, got = Secret(), []
    waiting = threading.Thread(target=lambda: got.append(secret.wait(30)))
    waiting.start()
    secret.set("")
    waiting.join()
    assert got == [True]


def test_lines_come_over_the_pipe_of_the_lifeline_and_its_end_is_still_an_end() -> None:
    code = (
        "import os, sys, time\n"
        "from thoth_core.worker import lifeline\n"
        "from thoth_core.worker.secret import Secret\n"
        "secret = Secret()\n"
        "lifeline.arm(int(sys.argv[1]), int(sys.argv[2]), heard=secret.heard)\n"
        "assert secret.wait(30)\n"
        "print(secret.get()[0], flush=True)\n"
        "time.sleep(60)\n"
    )
    read, write = os.pipe()
    command = [sys.executable, "-c", code, str(os.getpid()), str(read)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, pass_fds=[read], text=True) as process:
        os.close(read)
        assert process.stdout is not None
        line = line_of("sk-a-key")
        os.write(write, line[:7])
        os.write(write, line[7:])
        assert process.stdout.readline() == "sk-a-key\n"
        os.close(write)
        assert process.wait(30) == 0
