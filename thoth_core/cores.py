"""How many cores this process may really use: its affinity, and the CPU quota of its cgroups."""

from __future__ import annotations

import os
from pathlib import Path

from thoth_core.cgroups import CGROUPS, MEMBERSHIP, groups, read, upwards


def available_cores(membership: Path = MEMBERSHIP, cgroups: Path = CGROUPS) -> int:
    """Whole cores, 1 at least. A quota of 1.5 cores is one: two busy processes would be throttled.

    ``membership`` and ``cgroups`` are where Linux says which groups this process is in, and where
    the groups are mounted; neither need exist.
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    quota = cpu_quota(membership, cgroups)
    return max(1, cores if quota is None else min(cores, int(quota)))


def cpu_quota(membership: Path, cgroups: Path) -> float | None:
    """The smallest quota, in cores, of this process's groups and those above; None: no quota."""
    quotas = []
    for controllers, group in groups(membership):
        if not controllers:
            # Version 2 is mounted on its own, or beside version 1 under "unified".
            for mount in (cgroups, cgroups / "unified"):
                quotas += [_quota_v2(folder) for folder in upwards(mount, group)]
        elif "cpu" in controllers:
            for mount in (cgroups / "cpu", cgroups / "cpu,cpuacct"):
                quotas += [_quota_v1(folder) for folder in upwards(mount, group)]
    return min((quota for quota in quotas if quota is not None), default=None)


def _quota_v2(folder: Path) -> float | None:
    parts = (read(folder / "cpu.max") or "").split()
    return _ratio(*parts) if len(parts) == 2 else None


def _quota_v1(folder: Path) -> float | None:
    quota, period = read(folder / "cpu.cfs_quota_us"), read(folder / "cpu.cfs_period_us")
    return _ratio(quota, period) if quota and period else None


def _ratio(quota: str, period: str) -> float | None:
    """Cores; None for "max", -1 and what is no number."""
    try:
        cores = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        return None
    return cores if cores > 0 else None
