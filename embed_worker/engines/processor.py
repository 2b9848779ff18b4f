"""What computes here. A cache may be in a home that several machines share."""

from __future__ import annotations

import hashlib
import platform
from contextlib import suppress
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_NAMES = ("model name", "flags", "Features", "CPU part")


def processor(cpuinfo: Path = _CPUINFO) -> str:
    """A short name for the kind of processor and what it can do, good in the name of a file."""
    said = ""
    with suppress(OSError):
        lines = cpuinfo.read_text().splitlines()
        said = "\n".join(sorted({line for line in lines if line.startswith(_NAMES)}))
    said = f"{said or platform.processor()} {platform.machine()}"
    return hashlib.sha256(said.encode()).hexdigest()[:12]
