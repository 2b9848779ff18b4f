"""Memory that is left, against what a service would take."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from thoth_core.cgroups import CGROUPS, MEMBERSHIP, groups, read, upwards
from thoth_core.doctor.checks.disk import size_of
from thoth_core.doctor.context import Context
from thoth_core.doctor.result import Result, failed, ok, warn
from thoth_core.memory_there import available_memory

MEMINFO = Path("/proc/meminfo")
#: With less, the kernel ends processes.
LEAST = 200 * 1024 * 1024
#: What a worker, and the store with its index process, take at the least: an embed worker on
#: OpenVINO holds 223 MB.
WORKER, STORE = 225_000_000, 250_000_000


def check(context: Context) -> Result:
    left, whole = memory_left(), available_memory()
    if left is None:
        return ok(f"{size_of(whole)} in all; the system does not tell how much is left")
    workers = context.settings.embed_workers + 1
    needed = STORE + workers * WORKER
    seen = f"{size_of(left)} of {size_of(whole)} are left"
    details: dict[str, Any] = {"left": left, "whole": whole, "needed": needed}
    fewer = f"export THOTH_EMBED_WORKERS={max(1, (left - STORE) // WORKER - 1)}"
    if left < LEAST:
        return failed(
            seen,
            "the kernel ends processes for want of memory; it chooses which",
            fix="see what has it, and end some: ps aux --sort=-rss | head",
            **details,
        )
    if left < needed and context.status is None:
        return warn(
            f"{seen}; a service with {workers} embed workers takes {size_of(needed)} or more",
            "there may be too little memory for all workers",
            fix=fewer,
            **details,
        )
    return ok(seen, **details)


def memory_left(
    meminfo: Path = MEMINFO, membership: Path = MEMBERSHIP, cgroups: Path = CGROUPS
) -> int | None:
    """Bytes that this process can still have: the machine's, and within its control groups."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB", read(meminfo) or "", re.MULTILINE)
    left = [int(found[1]) * 1024] if found else []
    for controllers, group in groups(membership):
        if controllers:
            continue
        for folder in upwards(cgroups, group):
            limit = (read(folder / "memory.max") or "").strip()
            used = (read(folder / "memory.current") or "").strip()
            if limit.isdecimal() and used.isdecimal():
                # What is in the file cache is given back first.
                cached = re.search(
                    r"^inactive_file (\d+)", read(folder / "memory.stat") or "", re.M
                )
                left.append(int(limit) - int(used) + (int(cached[1]) if cached else 0))
    return max(0, min(left)) if left else None
