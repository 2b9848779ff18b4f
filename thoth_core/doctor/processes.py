"""Other processes, as Linux tells of them in ``/proc``; elsewhere there are none to be seen.

Those of other users tell little, and what ends while it is looked at is passed over.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thoth_core.worker.birth import VARIABLE

PROC = Path("/proc")
#: What a command line of ours has after ``-m``.
MODULES = frozenset(
    {"thoth_core.supervisor", "embed_worker", "store_worker", "store_worker.index_process"}
)
#: Nanoseconds of one tick of the clock that ``stat`` counts in.
_TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    parent: int
    words: tuple[str, ...]

    @property
    def module(self) -> str:
        """Which of :data:`MODULES` it runs, or ""."""
        for flag, name in zip(self.words, self.words[1:], strict=False):
            if flag == "-m":
                return name if name in MODULES else ""
        return ""

    def __str__(self) -> str:
        """Its pid and its program. No arguments: they may be anything."""
        program = self.words[0].rpartition("/")[2]
        for flag, name in zip(self.words, self.words[1:], strict=False):
            if flag == "-m":
                return f"{self.pid} ({program} -m {name[:60]})"
        script = next((word for word in self.words[1:2] if word.endswith(".py")), "")
        return f"{self.pid} ({f'{program} {script}'.strip()[:80]})"


def living() -> dict[int, Process]:
    """All processes by pid, zombies and kernel threads not."""
    found = {}
    for entry in _entries():
        with contextlib.suppress(OSError, IndexError, ValueError):
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            raw = (entry / "cmdline").read_bytes()
            if state != "Z" and raw:
                words = tuple(raw.rstrip(b"\0").decode("utf-8", "replace").split("\0"))
                pid = int(entry.name)
                found[pid] = Process(pid, int(parent), words)
    return found


def _entries() -> Iterator[Path]:
    with contextlib.suppress(OSError):
        for entry in PROC.iterdir():
            if entry.name.isdecimal():
                yield entry


def descendants(pid: int, all_of_them: dict[int, Process]) -> set[int]:
    """``pid`` and what came of it."""
    family = {pid}
    while True:
        more = {each.pid for each in all_of_them.values() if each.parent in family} - family
        if not more:
            return family
        family |= more


def ancestors(pid: int, all_of_them: dict[int, Process]) -> set[int]:
    """``pid`` and what it came of."""
    line = set()
    while pid in all_of_them and pid not in line:
        line.add(pid)
        pid = all_of_them[pid].parent
    return line


def birth_of(pid: int) -> dict[str, Any]:
    """The birth certificate of a worker of ours; empty for any other process."""
    try:
        found = json.loads(environ_of(pid).get(VARIABLE, "{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def environ_of(pid: int) -> dict[str, str]:
    """The environment that it was started with."""
    try:
        raw = (PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return {}
    pairs = (entry.partition("=") for entry in raw.decode("utf-8", "replace").split("\0"))
    return {name: value for name, equals, value in pairs if equals}


def maps_of(pid: int) -> str:
    """What it has mapped into memory; "" if that is not told."""
    try:
        return (PROC / str(pid) / "maps").read_text(errors="replace")
    except OSError:
        return ""


def has_open(pid: int, path: Path) -> bool:
    """Whether it is known to have the file ``path`` open, under whatever name."""
    with contextlib.suppress(OSError):
        file = path.stat()
        for entry in (PROC / str(pid) / "fd").iterdir():
            with contextlib.suppress(OSError):
                if os.path.samestat(entry.stat(), file):
                    return True
    return False


def open_below(pid: int, folders: Iterable[str]) -> list[str]:
    """The files below one of ``folders`` that it has open or mapped, sorted."""
    starts = tuple(folder.rstrip("/") + "/" for folder in folders)
    found = set()
    with contextlib.suppress(OSError):
        for entry in (PROC / str(pid) / "fd").iterdir():
            with contextlib.suppress(OSError):
                found.add(str(entry.readlink()))
    for line in maps_of(pid).splitlines():
        _, slash, path = line.partition("/")
        found.add(slash + path)
    return sorted({path.removesuffix(" (deleted)") for path in found if path.startswith(starts)})


def thread_times(pid: int) -> dict[int, tuple[str, int]]:
    """The threads of a process: id to name and nanoseconds of processor time so far."""
    found = {}
    with contextlib.suppress(OSError):
        for entry in (PROC / str(pid) / "task").iterdir():
            with contextlib.suppress(OSError, ValueError, IndexError):
                name = (entry / "comm").read_text().strip()
                found[int(entry.name)] = (name, _time(entry))
    return found


def _time(task: Path) -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int((task / "schedstat").read_text().split()[0])
    words = (task / "stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) * _TICK
