"""The control groups of this process, as Linux tells of them."""

from __future__ import annotations

from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def groups(membership: Path) -> list[tuple[list[str], str]]:
    """(controllers, path) of each line; no controllers is version 2."""
    found = []
    for line in (read(membership) or "").splitlines():
        parts = line.split(":", 2)
        if len(parts) == 3:
            found.append((parts[1].split(",") if parts[1] else [], parts[2]))
    return found


def upwards(mount: Path, group: str) -> list[Path]:
    """The folder of a group and those above it. In a container the path may be the host's and not
    be there: then the mount itself is the group."""
    parts = [part for part in group.split("/") if part not in ("", ".", "..")]
    return [mount.joinpath(*parts[:depth]) for depth in range(len(parts), -1, -1)]


def read(path: Path) -> str | None:
    """What the file says; None if there is none."""
    try:
        return path.read_text()
    except OSError:
        return None
