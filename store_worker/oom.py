"""Whether the kernel ended a process for want of memory, as far as it tells."""

from __future__ import annotations

from pathlib import Path

_COUNTERS = Path("/proc/vmstat")


def oom_kills(counters: Path = _COUNTERS) -> int | None:
    """How many processes it ended so since the system started, in whatever control group; None
    where it does not say."""
    try:
        lines = counters.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, value = line.partition(" ")
        if name == "oom_kill":
            return int(value)
    return None
