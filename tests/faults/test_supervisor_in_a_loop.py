"""A supervisor that a plain shell loop starts again and again, killed in mid-ingest."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Make
from tests.faults import folders
from tests.faults.watching import (
    SUPERVISOR_GONE,
    TWO_BULK,
    embedding,
    not_ended,
    pids,
    wait_until_ready,
)
from tests.support.service import BIN, RealService

#: Seconds that the ingest may take in all. It ends by itself, with an error, when they are over.
DEADLINE = 100
INGEST = """
import json, sys
from thoth_core import Thoth
with Thoth(autostart={autostart}) as thoth:
    print(json.dumps(thoth.ingest([sys.argv[1]], deadline={deadline}).to_dict()))
"""


@pytest.fixture
def service(make_service: Make) -> Iterator[RealService]:
    """A service that comes again whenever it ends, as long as the test runs."""
    service = make_service(THOTH_FAULTS="1", **TWO_BULK, **folders.SETTINGS)
    start = shlex.join([str(BIN / "thoth-supervisor"), "start", "--foreground"])
    loop = subprocess.Popen(
        ["bash", "-c", f"while true; do {start}; done"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=service.environ(LOOP="1"),
        cwd=service.root,
    )
    try:
        wait_until_ready(service)
        yield service
    finally:
        loop.kill()
        loop.wait()
        # The supervisor that the loop left behind, or one that was about to begin.
        left = {str(pid): pid for pid in service.processes() if _in_loop(pid)}
        for pid in left.values():
            # One that was too late to be the supervisor ends by itself.
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        assert not_ended(left, 60) == {}


@pytest.mark.parametrize("autostart", [False, True], ids=["waits for the next", "may start one"])
def test_an_ingest_over_the_death_of_its_supervisor_loses_and_doubles_nothing(
    service: RealService, tmp_path: Path, autostart: bool
) -> None:
    folder = folders.make_files(tmp_path / "files", 120, 0.03)
    code = INGEST.format(autostart=autostart, deadline=DEADLINE)
    ingest = service.popen("python", "-W", "error", "-c", code, str(folder))
    embedding(service, 2)
    before = pids(service)
    assert ingest.poll() is None
    os.kill(before["supervisor"], signal.SIGKILL)
    assert not_ended(before, SUPERVISOR_GONE) == {}
    out, err = ingest.communicate(timeout=DEADLINE + 10)
    assert ingest.returncode == 0, err
    report = json.loads(out)
    assert (report["files"]["new"], report["files"]["failed"]) == (120, [])
    after = wait_until_ready(service)["pid"]
    assert after != before["supervisor"]
    if not autostart:
        assert _in_loop(after)
    rows = folders.stored(service)
    assert len(rows) == len({text for text, _, _ in rows.values()}) == 120


def _in_loop(pid: int) -> bool:
    try:
        return b"\0LOOP=1\0" in b"\0" + Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
