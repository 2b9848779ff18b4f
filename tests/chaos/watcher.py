"""Looks at the service all the time: which supervisor it is, what it counts, what memory it has."""

from __future__ import annotations

import re
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.service import RealService
from thoth_core.client.control import control
from thoth_core.errors import ThothError

#: Seconds between two looks, and between two samples of the memory.
EVERY, SAMPLE = 0.2, 0.5
#: By so much may the memory of a supervisor have grown from its first tenth to its last.
GROWTH = 0.10


@dataclass(frozen=True)
class Sample:
    """``seconds`` since the watcher began; KiB of memory that the supervisor has, and of these its
    own, which no file backs."""

    seconds: float
    pid: int
    resident: int
    own: int


class Watcher(threading.Thread):
    """``killed`` are supervisors that somebody ended on purpose; whoever does it says so first."""

    def __init__(self, service: RealService) -> None:
        super().__init__(name="watcher", daemon=True)
        self.pids: list[int] = []
        self.killed: set[int] = set()
        self.samples: list[Sample] = []
        self._settings = service.settings()
        self._said: dict[str, Any] = {}
        self._counters: dict[int, dict[str, int]] = {}
        self._halt = threading.Event()
        self._began = time.monotonic()

    def run(self) -> None:
        while not self._halt.wait(EVERY):
            self.look()

    def stop(self) -> None:
        self._halt.set()
        self.join()

    def look(self) -> Mapping[str, Any]:
        """What ``status`` says now; empty while nobody answers."""
        try:
            said = control(self._settings, "status")
        except ThothError:
            self._said = {}
            return self._said
        pid, now = said["pid"], time.monotonic() - self._began
        if not self.pids or self.pids[-1] != pid:
            self.pids.append(pid)
        self._counters[pid] = said["counters"]
        if not self.samples or now - self.samples[-1].seconds >= SAMPLE:
            resident, own = memory_of(pid)
            if resident:
                self.samples.append(Sample(now, pid, resident, own))
        self._said = said
        return said

    def pid_of(self, slot: str) -> int | None:
        """Of the worker that was in this slot a moment ago."""
        pid = self._worker(slot).get("pid")
        return None if pid is None else int(pid)

    def ready(self, slot: str) -> bool:
        """Whether it was ready a moment ago."""
        return self._worker(slot).get("state") in ("READY", "BUSY")

    def _worker(self, slot: str) -> Mapping[str, Any]:
        found = [each for each in self._said.get("workers", ()) if each["name"] == slot]
        return found[0] if found else {}

    def counters(self) -> Counter[str]:
        """Of all supervisors together."""
        total: Counter[str] = Counter()
        for each in self._counters.values():
            total.update(each)
        return total

    def problems(self) -> list[str]:
        """Of supervisors that came and went."""
        ended = [pid for pid in self.pids[:-1] if pid not in self.killed]
        said = [f"the supervisor {pid} ended, and nobody had aimed at it" for pid in ended]
        if self.pids and self.pids[-1] in self.killed:
            said.append(f"the supervisor {self.pids[-1]} was killed and is there still")
        return said


def memory_of(pid: int) -> tuple[int, int]:
    """KiB that are resident, and of these the process's own; zeros if it is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0, 0
    found = [re.search(rf"{name}:\s+(\d+) kB", text) for name in ("VmRSS", "RssAnon")]
    resident, own = (int(each[1]) if each else 0 for each in found)
    return resident, own


def tenths(samples: Sequence[Sample], what: Callable[[Sample], int]) -> list[float]:
    """The median in MiB in each tenth of the time of these samples; none for too few."""
    if len(samples) < 20:
        return []
    first, last = samples[0].seconds, samples[-1].seconds
    parts: list[list[int]] = [[] for _ in range(10)]
    for each in samples:
        place = int(10 * (each.seconds - first) / (last - first))
        parts[min(9, place)].append(what(each))
    return [statistics.median(part) / 1024 if part else 0.0 for part in parts]
