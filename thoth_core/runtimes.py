"""Which OpenMP and BLAS libraries a process has loaded. Two of one kind in a process, or one of a
kind that nobody expected, are a common cause of native crashes."""

from __future__ import annotations

import re
from pathlib import Path

_MAPS = Path("/proc/self/maps")
_NAMES = re.compile(
    r"lib(gomp|omp|iomp5|mkl_\w+|(scipy_)?openblas\w*|blis\w*|tbb\w*)\b[^/]*\.(so|dylib)",
)
#: More than any process has.
MOST = 40


def loaded_runtimes(maps: Path = _MAPS) -> list[str]:
    """Their paths in this process, sorted; empty where the system does not tell."""
    try:
        return runtimes_in(maps.read_text(errors="replace"))
    except OSError:
        return []


def runtimes_in(maps: str) -> list[str]:
    """Their paths in ``maps``, as ``/proc/PID/maps`` has them, sorted."""
    found = set()
    for line in maps.splitlines():
        _, slash, rest = line.partition("/")
        if slash and _NAMES.match(rest.rpartition("/")[2]):
            found.add(slash + rest.removesuffix(" (deleted)"))
    return sorted(found)[:MOST]
