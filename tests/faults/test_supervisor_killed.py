"""SIGKILL to the supervisor: its workers go with it, and the next one carries on."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from tests.conftest import Make
from tests.faults import folders
from tests.faults.watching import (
    SUPERVISOR_GONE,
    TWO_BULK,
    embedding,
    not_ended,
    pids,
    status,
    wait_until_ready,
)
from tests.support.service import RealService, wait_for

ADD = """
import json
from thoth_core import Thoth
with Thoth() as thoth:
    report = thoth.add(["!slow:8 first", "second", "third"], ids=["a", "b", "c"])
    print(json.dumps({"ids": list(report), "failed": len(report.failed)}))
"""


def test_no_process_outlives_an_idle_supervisor_and_the_next_command_starts_a_service(
    service: RealService,
) -> None:
    with service.client() as thoth:
        thoth.add(["kept on disk"], ids=["kept"])
    before = pids(service)
    os.kill(before["supervisor"], signal.SIGKILL)
    assert not_ended(before, SUPERVISOR_GONE) == {}
    # The index process ends with the call that it is in.
    wait_for(lambda: not service.processes(), SUPERVISOR_GONE, "nothing of the service is left")
    done = service.run("thoth", "embed", "x", "--json")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["vectors"]) == 1
    after = wait_until_ready(service)
    assert after["pid"] != before["supervisor"]
    with service.client() as thoth:
        assert [hit.id for hit in thoth.query("kept on disk")] == ["kept"]


def test_calls_in_flight_over_the_death_of_the_supervisor_lose_and_double_nothing(
    make_service: Make, tmp_path: Path
) -> None:
    folder = folders.make_files(tmp_path / "files", 120, 0.04)
    service = make_service(THOTH_FAULTS="1", **TWO_BULK, **folders.SETTINGS).start()
    ingest = service.popen("thoth", "ingest", "--json", str(folder))
    add = service.popen("python", "-W", "error", "-c", ADD)
    wait_for(lambda: status(service)["queue"]["requests"] >= 2, 30, "both calls are in flight")
    embedding(service, 2)
    before = pids(service)
    assert (ingest.poll(), add.poll()) == (None, None)
    os.kill(before["supervisor"], signal.SIGKILL)
    assert not_ended(before, SUPERVISOR_GONE) == {}
    out, err = add.communicate(timeout=60)
    assert add.returncode == 0, err
    assert json.loads(out) == {"ids": ["a", "b", "c"], "failed": 0}
    out, err = ingest.communicate(timeout=60)
    assert ingest.returncode == 0, err
    report = json.loads(out)
    assert (report["files"]["new"], report["files"]["failed"]) == (120, [])
    assert wait_until_ready(service)["pid"] != before["supervisor"]
    rows = folders.stored(service)
    assert len(rows) == 120 + 3
    assert {"a", "b", "c"} < set(rows)
    assert len({text for text, _, _ in rows.values()}) == 120 + 3
