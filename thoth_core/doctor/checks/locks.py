"""Who holds the locks of the data directory, and whether that is the service that answers."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from pathlib import Path

from thoth_core.client.locate import control_path, listening, lock_path, wait_for_end
from thoth_core.doctor.context import Context
from thoth_core.doctor.processes import Process, environ_of, has_open, living
from thoth_core.doctor.result import Result, failed, ok
from thoth_core.locks import holder

#: Seconds that a service which is ending has, to let go of its locks.
ENDING = 2.0


def check(context: Context) -> Result:
    settings = context.settings
    files = {
        "sockets": lock_path(settings),
        "data": settings.data_dir / "lock",
        "store": settings.data_dir / "lock-store",
        "index": settings.data_dir / "lock-index",
    }
    held = _holders(files)
    answering = context.status["pid"] if context.status is not None else None
    if held and answering is None and not listening(control_path(settings)):
        # It may be about to end, as the index process is after a SIGKILL of the service, or about
        # to listen.
        end = time.monotonic() + ENDING
        for pid in held.values():
            wait_for_end(pid, max(0.0, end - time.monotonic()))
        held = _holders(files)
    processes = living()
    shown = ", ".join(f"{name}: {processes.get(pid, pid)}" for name, pid in held.items())
    seen = shown or "all locks are free"
    if not held or (answering is not None and held.get("data") == answering):
        return ok(seen, held=held)
    if answering is None and listening(control_path(settings)):
        return ok(f"{seen}; the service is starting, or does not answer", held=held)
    name = "data" if "data" in held else next(iter(held))
    pid = held[name]
    doubt = _doubt(pid, files[name], processes)
    if doubt:
        # The number may be of any process by now, and nothing is to be done to that one.
        return failed(seen, doubt, held=held)
    if name == "data" and "sockets" not in held:
        known = environ_of(pid).get("THOTH_RUNTIME_DIR", "")
        return failed(
            seen,
            f"process {pid} has the data directory and is not to be reached from here: "
            f"it was started with another THOTH_RUNTIME_DIR than {settings.runtime_dir}",
            fix=f"export THOTH_RUNTIME_DIR={shlex.quote(known)}"
            if known
            else f"kill {pid}; thoth-supervisor start",
            held=held,
        )
    return failed(
        seen,
        f"process {pid} holds a lock, and no service answers",
        acts=[("kill", "-9", str(pid))],
        held=held,
    )


def _doubt(pid: int, path: Path, processes: Mapping[int, Process]) -> str:
    """Why ``pid``, which stands in the held lock ``path``, is not known to be a process of ours
    that holds it; "" if it is."""
    if not pid:
        why = "the file does not say by whom"
    elif pid not in processes:
        why = f"the file says by process {pid}, which is not to be seen from here"
    elif not processes[pid].module:
        why = f"the file says by process {processes[pid]}, which is none of ours"
    elif not has_open(pid, path):
        why = f"the file says by process {processes[pid]}, which does not have it open"
    else:
        return ""
    return f"the lock {path} is held, and {why}"


def _holders(files: Mapping[str, Path]) -> dict[str, int]:
    return {name: pid for name, path in files.items() if (pid := holder(path)) is not None}
