"""How much memory this process may use: the machine's, and the limits of its control groups."""

from __future__ import annotations

import os
from pathlib import Path

from thoth_core.cgroups import CGROUPS, MEMBERSHIP, groups, read, upwards


def available_memory(membership: Path = MEMBERSHIP, cgroups: Path = CGROUPS) -> int:
    """Bytes, whether in use or not. ``membership`` and ``cgroups`` are where Linux says which
    groups this process is in, and where the groups are mounted; neither need exist."""
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([whole, *_limits(membership, cgroups)])


def _limits(membership: Path, cgroups: Path) -> list[int]:
    files = []
    for controllers, group in groups(membership):
        if not controllers:
            for mount in (cgroups, cgroups / "unified"):
                files += [folder / "memory.max" for folder in upwards(mount, group)]
        elif "memory" in controllers:
            folders = upwards(cgroups / "memory", group)
            files += [folder / "memory.limit_in_bytes" for folder in folders]
    # "max" is no limit.
    return [int(text) for file in files if (text := (read(file) or "").strip()).isdecimal()]
