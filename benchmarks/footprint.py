"""The memory of a service's processes, by PSS: what several of them share is shared out between
them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.service import RealService

#: What the kernel calls it, and what we do.
_FIELDS = {"Pss": "pss_mb", "Pss_Anon": "own_mb"}


def measure(service: RealService) -> dict[str, dict[str, float]]:
    """Millions of bytes of each process: all of it, and what is no file's."""
    status = service.status()
    pids: dict[str, Any] = {"supervisor": status["pid"]}
    pids |= {worker["name"]: worker["pid"] for worker in status["workers"]}
    pids["index process"] = status["store"]["index"]["pid"]
    return {
        name: pss(Path(f"/proc/{pid}/smaps_rollup").read_text())
        for name, pid in pids.items()
        if pid is not None
    }


def pss(rollup: str) -> dict[str, float]:
    """From the text of ``smaps_rollup``, whose figures are in units of 1,024 bytes."""
    found = {}
    for line in rollup.splitlines():
        name, _, rest = line.partition(":")
        if name in _FIELDS:
            found[_FIELDS[name]] = int(rest.split()[0]) * 1024 / 1e6
    return found


def store(found: dict[str, dict[str, float]]) -> float:
    """What the store takes: it and its index process."""
    return sum(found[name]["pss_mb"] for name in ("store", "index process") if name in found)


def show(found: dict[str, dict[str, float]]) -> None:
    print("\nmemory after the load, MB (PSS; of it no file's)")
    for name, each in found.items():
        print(f"  {name:40} {each['pss_mb']:6.0f} {each['own_mb']:6.0f}")
    print(f"  {'the store with its index process':40} {store(found):6.0f}")
