"""What processes leave behind when all of them are killed at once."""

from __future__ import annotations

import os
import signal

from tests.faults.watching import (
    SUPERVISOR_GONE,
    not_ended,
    pids,
    sockets_of,
    supervisor_log,
    wait_until_ready,
)
from tests.support.service import RealService


def test_sockets_and_locks_left_by_a_kill_of_everything_do_no_harm(service: RealService) -> None:
    with service.client() as thoth:
        thoth.add(["written before"], ids=["before"])
    dead = pids(service)
    for pid in dead.values():
        os.kill(pid, signal.SIGKILL)
    assert not_ended(dead, SUPERVISOR_GONE) == {}
    settings = service.settings()
    left = sockets_of(service)
    [old_store] = [name for name in left if name.startswith("store-")]
    assert {"front", "control", "back"} < set(left)
    locks = [
        settings.service_dir / "lock",
        settings.data_dir / "lock",
        settings.data_dir / "lock-store",
    ]
    for lock in locks:
        assert lock.exists()
        # The number of a process that lives, as the system may have given it to another one.
        lock.write_text(f"{os.getpid()}\n")
    assert service.run("thoth-supervisor", "status").returncode == 4
    assert service.run("thoth", "stats", "--no-autostart").returncode == 4
    service.start()
    assert not set(dead.values()) & set(pids(service).values())
    assert old_store not in sockets_of(service)
    assert len(sockets_of(service)) == 4
    assert supervisor_log(service).count(": ready after") == 2
    with service.client() as thoth:
        assert [hit.id for hit in thoth.query("written before")] == ["before"]
        thoth.add(["written after"], ids=["after"])
        assert thoth.count() == 2
    wait_until_ready(service)
