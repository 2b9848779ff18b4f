"""Looking at a service from the test's own process, which is quicker than its commands."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from tests.support.service import ANSWER, RealService, wait_for
from thoth_core.client.control import control
from thoth_core.client.locate import wait_for_end
from thoth_core.errors import ServiceUnavailable

#: The settings of a service with two bulk workers, and its slots.
TWO_BULK = {"THOTH_EMBED_WORKERS": "2"}
SLOTS = ("store", "embed-interactive", "embed-bulk-1", "embed-bulk-2")
BULK = SLOTS[2:]
#: What the end of a supervisor may take to end every process of the service, in seconds. It is half
#: a second where the disk lets go at once of who writes to it.
SUPERVISOR_GONE = 10.0


def status(service: RealService) -> dict[str, Any]:
    return control(service.settings(), "status", timeout=ANSWER)


def worker(service: RealService, name: str) -> dict[str, Any]:
    [found] = [w for w in status(service)["workers"] if w["name"] == name]
    return dict(found)


def restarts(service: RealService, name: str) -> int:
    return int(worker(service, name)["restarts"])


def supervisor_pid(service: RealService) -> int:
    return int(status(service)["pid"])


def pids(service: RealService) -> dict[str, int]:
    """Every process of the service by the name of its slot, and ``supervisor``."""
    said = status(service)
    found = {w["name"]: w["pid"] for w in said["workers"]}
    return {"supervisor": said["pid"]} | {n: int(p) for n, p in found.items() if p is not None}


def wait_until_ready(service: RealService) -> dict[str, Any]:
    """Wait until a service runs and everything in it is ready; its status."""

    def ready() -> dict[str, Any] | None:
        try:
            said = status(service)
        except ServiceUnavailable:
            return None
        return said if said["state"] == "ready" else None

    said = wait_for(ready, 60, "everything is ready")
    assert said is not None
    return said


def embedding(service: RealService, slots: int = 1) -> list[dict[str, Any]]:
    """Wait until at least so many bulk workers have work; those."""

    def at_work() -> list[dict[str, Any]]:
        found = [
            w
            for w in status(service)["workers"]
            if w["lane"] == "bulk" and w["state"] == "BUSY" and w["pid"] is not None
        ]
        return found if len(found) >= slots else []

    return wait_for(at_work, 30, f"{slots} bulk workers have work")


@contextmanager
def stopped(processes: Iterable[int]) -> Iterator[None]:
    """These processes do not run, and go on after."""
    chosen = list(processes)
    try:
        for pid in chosen:
            os.kill(pid, signal.SIGSTOP)
        for pid in chosen:
            wait_for(partial(is_stopped, pid), 10, f"{pid} is stopped")
        yield
    finally:
        for pid in chosen:
            os.kill(pid, signal.SIGCONT)


def is_stopped(pid: int) -> bool:
    """Whether a SIGSTOP has reached the process."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def not_ended(processes: Mapping[str, int], seconds: float) -> dict[str, int]:
    """Wait for the end of all of them, ``seconds`` at most; those that are there still."""
    end = time.monotonic() + seconds
    return {
        name: pid
        for name, pid in processes.items()
        if not wait_for_end(pid, max(0.0, end - time.monotonic()))
    }


def sockets_of(service: RealService) -> list[str]:
    """Names of what lies in the service's runtime folder, but for its lock."""
    folder = service.settings().service_dir
    return sorted(path.name for path in folder.iterdir() if path.name != "lock")


def supervisor_log(service: RealService) -> str:
    path: Path = service.settings().data_dir / "logs" / "supervisor.log"
    return path.read_text()
