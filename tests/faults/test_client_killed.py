"""SIGKILL to a client in the middle of its ingest."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from tests.conftest import Make
from tests.faults import folders
from tests.faults.watching import embedding, pids, status
from tests.support.service import wait_for

FILES = 300


def test_an_ingest_whose_client_was_killed_is_completed_by_the_next_one(
    make_service: Make, tmp_path: Path
) -> None:
    folder = folders.make_files(tmp_path / "files", FILES, 0.01)
    service = make_service(THOTH_FAULTS="1", **folders.SETTINGS).start()
    before = pids(service)
    killed = service.popen("thoth", "ingest", str(folder))
    embedding(service)
    part = wait_for(lambda: status(service)["store"]["embedded_total"], 30, "a part is stored")
    assert 0 < part < FILES
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate(timeout=30)
    assert killed.returncode == -signal.SIGKILL

    again = service.run("thoth", "ingest", "--json", str(folder))
    assert again.returncode == 0, again.stderr
    files = json.loads(again.stdout)["files"]
    assert (files["new"] + files["unchanged"], files["failed"]) == (FILES, [])
    third = service.run("thoth", "ingest", "--json", str(folder))
    assert json.loads(third.stdout)["files"]["unchanged"] == FILES
    assert pids(service) == before

    undisturbed = make_service(THOTH_EMBED_WORKERS="1", **folders.SETTINGS)
    expected = folders.stored_undisturbed(undisturbed, folder)
    assert len(expected) == FILES
    assert folders.stored(service) == expected
