"""A supervisor whose own code fails: it ends with 1 and says where the traceback is. One that
native code ends leaves its stacks."""

from __future__ import annotations

import json
import os
import signal

import pytest

from tests.conftest import Make
from tests.support.service import RealService, wait_for

DEFECT = """
import sys
from cli.supervisor import main
from thoth_core.supervisor.service import Service
turn = Service._turn
def turn_until_ready(self):
    if self.crew.working:
        raise ZeroDivisionError("a defect")
    turn(self)
Service._turn = turn_until_ready
sys.argv = ["thoth-supervisor", "start", "--foreground"]
main()
"""


def test_a_defect_of_the_loop_ends_it_with_1_and_its_workers_with_it(make_service: Make) -> None:
    service = make_service(THOTH_EMBED_WORKERS="1")
    done = service.python(DEFECT)
    assert done.returncode == 1
    assert "error: something went wrong that should not: ZeroDivisionError" in done.stderr
    log = (service.settings().data_dir / "logs" / "supervisor.log").read_text()
    assert "the supervisor failed\nTraceback" in log
    # The index process ends with the call that it is in.
    wait_for(lambda: not service.processes(), 10, "nothing of the service is left")
    # Nothing that it left keeps the next one from starting.
    service.start()


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGSEGV])
def test_one_that_native_code_ends_leaves_its_last_words_and_stacks(
    service: RealService, number: signal.Signals
) -> None:
    os.kill(service.status()["pid"], number)
    wait_for(lambda: not service.processes(), 10, "nothing of the service is left")
    logs = service.run("thoth-supervisor", "logs", "--json")
    said = [json.loads(line) for line in logs.stdout.splitlines()]
    words = [each for each in said if each["log"] == "supervisor-stderr"]
    assert {each["worker"] for each in words} == {None}
    text = "\n".join(each["message"] for each in words)
    assert text.startswith("Fatal Python error: ")
    assert "in _turn" in text
    # Of the next one too, in the same file.
    service.start()
    os.kill(service.status()["pid"], number)
    wait_for(lambda: not service.processes(), 10, "nothing of the service is left")
    path = service.settings().data_dir / "logs" / "supervisor-stderr.log"
    assert path.read_text().count("Fatal Python error: ") == 2
