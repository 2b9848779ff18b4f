"""Is there a service, and which process is it? Standard library only.

Two questions that differ while a service starts, ends or is stuck: whether anybody listens on
its socket, and whether anybody holds its lock.
"""

from __future__ import annotations

import math
import os
import select
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

from thoth_core.interruptible import LOOK

if TYPE_CHECKING:
    from thoth_core.settings import Settings


def front_path(settings: Settings) -> Path:
    return settings.service_dir / "front"


def control_path(settings: Settings) -> Path:
    return settings.service_dir / "control"


def lock_path(settings: Settings) -> Path:
    return settings.service_dir / "lock"


def listening(path: Path) -> bool:
    """Whether a process has bound ``path``. A file that a killed process left behind refuses
    the connection; a stopped process still accepts it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except BlockingIOError:
            return True  # its backlog is full: somebody listens, and is busy
        except OSError:
            return False
    return True


def wait_for_end(pid: int, timeout: float) -> bool:
    """Wait until process ``pid`` has ended, at most ``timeout`` seconds; True if it has."""
    if pid <= 0:
        return True
    if hasattr(os, "pidfd_open"):
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            return True
        except OSError:
            pass
        else:
            try:
                ready = select.poll()
                ready.register(handle, select.POLLIN)
                end = time.monotonic() + timeout
                while not (ended := ready.poll(_look(end))) and time.monotonic() < end:
                    pass
                return bool(ended)
            finally:
                os.close(handle)
    # No event tells of the end of a process that is not our child on such a system.
    end = time.monotonic() + timeout
    while _alive(pid):
        if time.monotonic() >= end:
            return False
        time.sleep(0.05)
    return True


def _look(end: float) -> int:
    return math.ceil(1000 * min(LOOK, max(0.0, end - time.monotonic())))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
