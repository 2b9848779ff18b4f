"""The short form of ``make chaos``: one fault each of twelve kinds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FAULTS = 12


# Up to a minute; several on a machine that others use.
@pytest.mark.timeout(300)
def test_each_call_has_its_answer_and_nothing_is_lost_when_everything_dies():
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.chaos.service", "--no-goodput"),
            *("--seed", "171", "--faults", str(FAULTS), "--seconds", "12"),
        ],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = {line[:34].strip(): line[34:].strip() for line in done.stdout.splitlines()}
    assert lines["faults"] == str(FAULTS)
    # It looked at something.
    assert int(lines["requests"].replace(",", "")) > 50
    assert int(lines["deaths of workers and stores"]) > 0
    assert lines["embed worker: from death to READY"] != "none"
