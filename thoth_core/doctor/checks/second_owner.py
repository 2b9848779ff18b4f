"""Other programs that have the files of the store open: the index bears one process only."""

from __future__ import annotations

import os
import sys

from thoth_core.client.locate import lock_path
from thoth_core.doctor.context import Context
from thoth_core.doctor.processes import ancestors, descendants, living, open_below
from thoth_core.doctor.result import Result, failed, ok, skipped
from thoth_core.locks import holder


def check(context: Context) -> Result:
    if sys.platform != "linux":
        return skipped("this system does not tell which files a process has open")
    settings = context.settings
    data = os.path.realpath(settings.data_dir)
    owner = holder(lock_path(settings)) or holder(settings.data_dir / "lock") or 0
    processes = living()
    ours = descendants(owner, processes) if owner else set()
    ours |= ancestors(os.getpid(), processes) | descendants(os.getpid(), processes)
    strangers = {}
    for pid, process in processes.items():
        if pid in ours or process.module:
            continue
        files = [each for each in open_below(pid, [data]) if _matters(each, data)]
        if files:
            strangers[pid] = files
    unseen = _unseen()
    if not strangers:
        seen = f"no other program has a file of {data} open"
        return ok(seen + (" (of other users' programs nothing is told)" if unseen else ""))
    shown = ", ".join(f"{processes[pid]} has {files[0]}" for pid, files in strangers.items())
    return failed(
        shown,
        "a second program on the index damages it, and one on the ledger keeps the store waiting",
        fix=f"kill {' '.join(map(str, strangers))}; thoth verify",
        processes={str(pid): files for pid, files in strangers.items()},
    )


def _matters(path: str, data: str) -> bool:
    """Not of logs, which anybody may follow, nor of what is kept of a damaged index."""
    inside = path.removeprefix(data).lstrip("/")
    return inside.startswith(("chroma/", "ledger.sqlite3"))


def _unseen() -> bool:
    return os.geteuid() != 0
