"""SIGSEGV to every worker in turn while files are taken in."""

from __future__ import annotations

import json
import os
import signal
from functools import partial
from pathlib import Path

from tests.conftest import Make
from tests.faults import folders
from tests.faults.watching import (
    SLOTS,
    TWO_BULK,
    embedding,
    pids,
    restarts,
    status,
    wait_until_ready,
)
from tests.support.service import wait_for

FILES = 200


def test_an_ingest_survives_the_death_of_every_worker(make_service: Make, tmp_path: Path) -> None:
    folder = folders.make_files(tmp_path / "files", FILES, 0.015)
    service = make_service(THOTH_FAULTS="1", **TWO_BULK, **folders.SETTINGS).start()
    before = pids(service)
    ingest = service.popen("thoth", "ingest", "--no-autostart", "--json", str(folder))
    embedding(service, 2)
    for name in SLOTS:
        # Still in flight: the service has the call, and the command has not ended.
        assert status(service)["queue"]["requests"] > 0
        assert ingest.poll() is None
        os.kill(before[name], signal.SIGSEGV)
        wait_for(partial(restarts, service, name), 30, f"{name} is restarted")
    out, err = ingest.communicate(timeout=60)
    assert ingest.returncode == 0, err
    report = json.loads(out)
    assert (report["files"]["new"], report["files"]["failed"]) == (FILES, [])
    after = wait_until_ready(service)
    assert after["pid"] == before["supervisor"]
    for each in after["workers"]:
        assert each["restarts"] == 1
        assert each["last_exit"]["signal"] == "SIGSEGV"
        assert each["pid"] != before[each["name"]]
    undisturbed = make_service(THOTH_EMBED_WORKERS="1", **folders.SETTINGS)
    expected = folders.stored_undisturbed(undisturbed, folder)
    assert len(expected) == FILES
    assert folders.stored(service) == expected
