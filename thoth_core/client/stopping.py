"""Stopping the service, and knowing that it has."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thoth_core.client.control import control
from thoth_core.client.locate import lock_path, wait_for_end
from thoth_core.errors import ServiceUnavailable, ThothError
from thoth_core.locks import holder

if TYPE_CHECKING:
    from thoth_core.settings import Settings

#: Seconds for the answer to a question before the stop itself.
_ASK = 5.0
#: Seconds after which whoever waits is told what for.
_SILENCE = 2.0
_UNDER_WAY = (
    "it finishes what is under way, for 30 s at most; thoth-supervisor stop --fast does not"
)


def stop_service(
    settings: Settings, *, fast: bool, timeout: float, log: Callable[[str], None] | None = None
) -> int:
    """Tell the service to stop and wait until each of its processes has ended and its locks are
    free. Returns the supervisor's pid. ``log`` is told what is waited for, if that takes long.

    Raises :class:`ServiceUnavailable` if there is none, or if it has not ended ``timeout`` seconds
    later.
    """
    end = time.monotonic() + timeout
    status = control(settings, "status", timeout=_ASK)
    pids = processes(status)
    # Its answer comes when all is done, hence a timer.
    said = threading.Timer(_SILENCE, log or (lambda message: None), [_UNDER_WAY])
    said.daemon = True
    said.start()
    try:
        _stop(settings, pids, fast=fast, end=end, timeout=timeout)
    finally:
        said.cancel()
    return pids[0] if pids else 0


def _stop(settings: Settings, pids: list[int], *, fast: bool, end: float, timeout: float) -> None:
    try:
        control(settings, "stop", {"fast": True} if fast else {}, timeout=timeout)
    except ServiceUnavailable:
        # It may end before its answer is out. If it has not, we see that below.
        if time.monotonic() >= end:
            raise
    for pid in pids:
        if not wait_for_end(pid, max(0.0, end - time.monotonic())):
            raise _still_there(timeout, pid)
    for lock in (lock_path(settings), settings.data_dir / "lock"):
        _wait_for_lock(lock, end, timeout)


def nobody_is_there(settings: Settings) -> bool:
    """Whether no service runs, starts or ends: its locks are free."""
    return all(holder(lock) is None for lock in (lock_path(settings), settings.data_dir / "lock"))


def processes(status: Mapping[str, Any]) -> list[int]:
    """The pids in a status, the supervisor's first."""
    found = [status.get("pid"), *(w.get("pid") for w in status.get("workers") or ())]
    return [pid for pid in found if isinstance(pid, int) and pid > 0]


def _wait_for_lock(lock: Path, end: float, timeout: float) -> None:
    # The processes that we knew of have ended; a worker that was started meanwhile is the only
    # one left that can hold it.
    while (pid := holder(lock)) is not None:
        left = end - time.monotonic()
        if left <= 0:
            raise _still_there(timeout, pid)
        if not pid or wait_for_end(pid, left):
            time.sleep(min(0.05, left))


def _still_there(timeout: float, pid: int) -> ThothError:
    return ServiceUnavailable(
        f"the service has not ended in {timeout:.0f} s",
        cause=f"process {pid} is still there" if pid else "something still holds its lock",
        fix=f"kill -9 {pid}" if pid else "thoth-supervisor status",
        pid=pid,
    )
