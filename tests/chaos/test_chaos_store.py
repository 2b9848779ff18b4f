"""The short form of ``make chaos-store``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


# Up to a minute; several on a machine that others use.
@pytest.mark.timeout(300)
def test_nothing_is_lost_when_store_and_index_die_at_random_moments():
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos.store", "--short", "--seed", "7"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing was lost" in done.stdout
