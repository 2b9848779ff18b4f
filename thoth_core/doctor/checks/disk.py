"""Room on the disks, and whether the data directory takes a byte."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import tempfile
from pathlib import Path
from typing import Any

from thoth_core.disk_room import RESERVE_BYTES
from thoth_core.doctor.context import Context
from thoth_core.doctor.result import Act, Result, failed, ok, warn
from thoth_core.locks import holder

#: With less, an index that must be built anew may find no room beside the old one.
LITTLE_BYTES = 4 * RESERVE_BYTES
#: Files that can still be made.
LITTLE_FILES = 1000


def check(context: Context) -> Result:
    data = context.settings.data_dir
    places = {
        "data": existing(data),
        "sockets": existing(context.settings.runtime_dir),
        "temporary files": Path(tempfile.gettempdir()),
    }
    free = {what: shutil.disk_usage(path).free for what, path in places.items()}
    seen = ", ".join(f"{size_of(free[what])} for {what} in {places[what]}" for what in places)
    details: dict[str, Any] = {
        what.replace(" ", "_"): {"path": str(places[what]), "free": free[what]} for what in places
    }
    folder = shlex.quote(str(places["data"]))
    files = os.statvfs(places["data"])
    refused = _refused(places["data"])
    if refused and free["data"] >= RESERVE_BYTES:
        return failed(
            f"{places['data']} cannot be written; {seen}",
            refused,
            fix=f"ls -ld {folder}; df -hi {folder}",
            **details,
        )
    if files.f_files and files.f_favail < LITTLE_FILES:
        return failed(
            f"{seen}; {files.f_favail:,} more files can be made",
            "the file system has no room for more files",
            fix=f"df -hi {folder}",
            **details,
        )
    short = [what for what in places if free[what] < LITTLE_BYTES]
    if not short:
        return ok(seen, **details)
    if "data" in short:
        acts, would_be = _room_makers(data, free["data"])
        found = failed if free["data"] < RESERVE_BYTES else warn
        why = (
            f"the store takes no write with less than {size_of(RESERVE_BYTES)}"
            if free["data"] < RESERVE_BYTES
            else f"a new index needs room beside the old one; less than {size_of(LITTLE_BYTES)}"
        )
        if acts and would_be >= LITTLE_BYTES:
            what = ", ".join(act[-1] for act in acts)
            return found(seen, f"{why}; of no use any more: {what}", acts=acts, **details)
        return found(seen, why, fix=_largest(places["data"]), **details)
    return warn(seen, f"little room for {short[0]}", fix=_largest(places[short[0]]), **details)


def existing(path: Path) -> Path:
    """``path``, or the nearest folder above it that is there."""
    while not path.is_dir() and path != path.parent:
        path = path.parent
    return path


def size_of(count: float) -> str:
    """``1.5 GB``."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def _refused(folder: Path) -> str:
    """Why no byte can be written there; "" if one can. Leaves nothing: the file has no name."""
    flag = getattr(os, "O_TMPFILE", None)
    if flag is None:
        return "" if os.access(folder, os.W_OK) else "no permission"
    try:
        fd = os.open(folder, os.O_WRONLY | flag | os.O_CLOEXEC, 0o600)
    except OSError as problem:
        # Some file systems know no files without a name.
        if os.access(folder, os.W_OK):
            return ""
        return problem.strerror or str(problem)
    try:
        os.write(fd, b"x" * 4096)
    except OSError as problem:
        return problem.strerror or str(problem)
    finally:
        os.close(fd)
    return ""


def _room_makers(data: Path, free: int) -> tuple[list[Act], int]:
    """What can be deleted in ``data`` without loss, the largest first, until there is room; and
    how much would be free then."""
    folders = list(data.glob("chroma-damaged-*"))
    if holder(data / "lock") is None:
        # Vectors for scans, of no use to a later process.
        folders.append(data / "scan")
    sizes = {each: _taken(each) for each in folders}
    sizes |= {each: _taken(each) for each in (data / "logs").glob("*.log.*")}
    acts: list[Act] = []
    for path in sorted(sizes, key=lambda each: -sizes[each]):
        if free >= LITTLE_BYTES or not sizes[path]:
            break
        acts.append(("rm", "-r", "--", str(path)))
        free += sizes[path]
    return acts, free


def _taken(path: Path) -> int:
    """Bytes on the disk, which of a file with holes are fewer than it has."""
    total = 0
    for each in [path, *path.rglob("*")] if path.is_dir() else [path]:
        with contextlib.suppress(OSError):
            total += each.lstat().st_blocks * 512
    return total


def _largest(path: Path) -> str:
    return (
        f"see what takes it, and remove some: du -xh -d2 {shlex.quote(str(path))} | sort -h | tail"
    )
