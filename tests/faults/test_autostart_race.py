"""Many clients at once, and no service yet."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.conftest import Make
from tests.faults.watching import supervisor_log, supervisor_pid
from tests.support.service import RealService, wait_for

CLIENTS = 10


def test_ten_clients_without_a_service_start_one_and_all_are_answered(make_service: Make) -> None:
    service = make_service(THOTH_EMBED_WORKERS="1")
    clients = [service.popen("thoth", "embed", "x", "--json") for _ in range(CLIENTS)]
    answers = [client.communicate(timeout=90) for client in clients]
    for client, (_, err) in zip(clients, answers, strict=True):
        assert client.returncode == 0, err
    vectors = [json.loads(out)["vectors"] for out, _ in answers]
    assert all(each == vectors[0] for each in vectors)
    wait_for(lambda: len(_supervisors(service)) == 1, 30, "the losers of the race have ended")
    assert _supervisors(service) == [supervisor_pid(service)]
    # Who has the locks writes this line; nobody else ever had them.
    assert len(re.findall(r": supervisor \d+ for ", supervisor_log(service))) == 1


def _supervisors(service: RealService) -> list[int]:
    found = []
    for pid in service.processes():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"thoth_core.supervisor" in words:
            found.append(pid)
    return found
