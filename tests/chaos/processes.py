"""Finding the processes of one service, and sending signals to no others."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from tests.support.service import processes_with

#: What the command lines of a service's own processes hold; those of its clients hold none of it.
_OURS = (b"thoth_core.supervisor", b"embed_worker", b"store_worker")


def index_process_of(store: int) -> int | None:
    """The index process of the store worker with this pid, sooner than ``status`` tells of it."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                line = (entry / "cmdline").read_bytes()
                if int(fields[1]) == store and b"store_worker.index_process" in line:
                    return int(entry.name)
    return None


def of_the_service(mark: str) -> list[int]:
    """Living processes of the service whose environment or command line has ``mark``: supervisor,
    workers and index process, but no client."""
    found = []
    for pid in processes_with(mark):
        with contextlib.suppress(OSError):
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
            if any(name in line for name in _OURS):
                found.append(pid)
    return found


def family_of(supervisor: int, mark: str) -> list[int]:
    """The supervisor, its workers, and what these started; no other supervisor that is about."""
    parents = {}
    for pid in of_the_service(mark):
        with contextlib.suppress(OSError):
            stat = Path(f"/proc/{pid}/stat").read_text()
            parents[pid] = int(stat.rpartition(")")[2].split()[1])
    family = {supervisor}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return sorted(family)


def send(pid: int, number: signal.Signals, mark: str) -> bool:
    """Send it, if the process lives and has ``mark`` in its environment."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if mark.encode() not in Path(f"/proc/{pid}/environ").read_bytes():
            return False
        signal.pidfd_send_signal(handle, number)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True
