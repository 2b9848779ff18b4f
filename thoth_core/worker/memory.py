"""How much memory a process has, as far as the system tells."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path


def own_bytes(pid: int | str = "self") -> int | None:
    """What the process has for itself alone, and its share of what it has with others: PSS without
    the pages of files, which the kernel takes back when it needs them (a model's weights that are
    mapped, the store's scan file). The resident memory where the system does not say; None for a
    process that is gone. Takes some milliseconds for each gigabyte."""
    found: dict[bytes, int] = {}
    try:
        with Path(f"/proc/{pid}/smaps_rollup").open("rb") as lines:
            for line in lines:
                name, _, rest = line.partition(b":")
                if name in (b"Pss", b"Pss_File"):
                    found[name] = int(rest.split()[0]) * 1024
    except OSError:
        return resident_bytes(pid)
    if b"Pss" not in found:
        return resident_bytes(pid)
    return found[b"Pss"] - found.get(b"Pss_File", 0)


def resident_bytes(pid: int | str = "self") -> int | None:
    """Resident memory; of this process its peak, where the system tells no more than that."""
    try:
        with Path(f"/proc/{pid}/statm").open("rb") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        if pid != "self":
            return None
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
