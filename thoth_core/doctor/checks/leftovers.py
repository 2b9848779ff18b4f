"""What a service, or a doctor, that was killed has left behind."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from thoth_core.client.locate import lock_path, wait_for_end
from thoth_core.doctor.context import Context
from thoth_core.doctor.processes import birth_of, descendants, living, open_below
from thoth_core.doctor.result import Result, failed, ok, warn
from thoth_core.doctor.scratch import PREFIX
from thoth_core.locks import holder

#: Seconds that the workers of a service which is ending have.
ENDING = 3.0


def check(context: Context) -> Result:
    settings = context.settings
    owner = holder(lock_path(settings)) or holder(settings.data_dir / "lock") or 0
    left = _workers(context, owner)
    for pid in left:
        wait_for_end(pid, ENDING)
    left = [pid for pid in left if pid in _workers(context, owner)]
    if left:
        shown = ", ".join(str(living().get(pid, pid)) for pid in left)
        return failed(
            f"left behind: {shown}",
            "the supervisor that they belong to is gone, and they have not ended with it",
            acts=[("kill", "-9", *map(str, left))],
            processes=left,
        )
    sockets = [] if owner else _sockets(settings.service_dir)
    folders = _dead_scratch()
    if folders:
        shown = ", ".join(map(str, folders))
        return warn(
            f"left behind: {shown}",
            "a doctor that was killed did not remove the scratch directory of its round trip",
            acts=[("rm", "-r", "--", *map(str, folders))],
            folders=[str(each) for each in folders],
        )
    seen = "no process and no folder is left behind"
    if sockets:
        seen += f"; {len(sockets)} sockets of a service that was killed, which the next one removes"
    return ok(seen, sockets=[str(each) for each in sockets])


def _workers(context: Context, owner: int) -> list[int]:
    """Living processes of ours that have to do with this data directory, without the service's."""
    settings = context.settings
    processes = living()
    family = descendants(owner, processes) if owner else set()
    sockets, data = str(settings.service_dir), os.path.realpath(settings.data_dir)
    found = []
    for pid, process in processes.items():
        if not process.module or pid in family:
            continue
        endpoint = str(birth_of(pid).get("endpoint", ""))
        if endpoint.startswith(f"{sockets}/") or open_below(pid, [data]):
            found.append(pid)
    return sorted(found)


def _sockets(folder: Path) -> list[Path]:
    try:
        return sorted(each for each in folder.iterdir() if stat.S_ISSOCK(each.lstat().st_mode))
    except OSError:
        return []


def _dead_scratch() -> list[Path]:
    """Scratch directories of doctors that have ended; the pid is in the name."""
    found = []
    processes = living()
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        pid = path.name.removeprefix(PREFIX).partition("-")[0]
        gone = pid.isdecimal() and int(pid) not in processes
        if gone and path.is_dir() and path.lstat().st_uid == os.getuid():
            found.append(path)
    return sorted(found)
