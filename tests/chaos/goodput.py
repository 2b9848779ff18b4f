"""Texts embedded in a second, with and without one embed worker killed every two seconds."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass, field

from tests.chaos.herd import Herd
from tests.chaos.load import Order
from tests.chaos.processes import send
from tests.chaos.table import line
from tests.chaos.watcher import Watcher
from tests.support.service import RealService, wait_for

#: Seconds between two kills, of a window with or without them, and how many of each.
BETWEEN, WINDOW, WINDOWS = 2.0, 8.0, 4
#: With the fake model, so much of it is left at least.
AT_LEAST = 0.7
CLIENTS = 2
_BULK = ("embed-bulk-1", "embed-bulk-2")


@dataclass
class Goodput:
    """Texts/s of each window, in turns; ``load`` of the machine when it was taken."""

    model: str
    load: float
    without: list[float] = field(default_factory=list)
    killed: list[float] = field(default_factory=list)
    kills: int = 0
    said: list[str] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        return sum(self.killed) / max(1.0, sum(self.without))

    def table(self) -> list[str]:
        def rates(values: list[float]) -> str:
            return ", ".join(f"{value:,.0f}" for value in values) + " texts/s"

        return [
            "",
            line(f"embedding with {self.model}", f"at a load of {self.load:.1f}"),
            line("  nobody killed", rates(self.without)),
            line(
                f"  one killed every {BETWEEN:.0f} s", f"{rates(self.killed)}; {self.kills} kills"
            ),
            line("  goodput left", f"{self.ratio:.2f}{'' if self.judged else ', not judged'}"),
        ]

    @property
    def judged(self) -> bool:
        """Where others use the machine, each window has another part of it."""
        return self.model.startswith("fake/") and self.load <= (os.cpu_count() or 1)

    def problems(self) -> list[str]:
        said = list(self.said)
        if self.judged and self.ratio < AT_LEAST:
            said.append(f"goodput: {self.ratio:.2f} is left, and {AT_LEAST} at least must be")
        return said


def measure(model: str, load: float) -> Goodput:
    """A minute, with a service of its own. ``load`` is that of the machine before."""
    found = Goodput(model, load)
    service = RealService.make(model, THOTH_EMBED_WORKERS="2")
    try:
        service.start()
        folder = service.root / "journals"
        folder.mkdir()
        with service.client() as thoth:
            dimension = thoth.dimension
        orders = [
            Order("embedder", n, 0, 0, str(folder), dimension, model.startswith("fake/"))
            for n in range(CLIENTS)
        ]
        herd, watcher = Herd(service, orders), Watcher(service)
        herd.start()
        wait_for(
            lambda: all(
                any(r["kind"] == "embedded" for r in each) for each in herd.journals().values()
            ),
            60,
            "both clients embed",
        )
        windows: list[tuple[float, float, bool]] = []
        for place in range(2 * WINDOWS):
            began = time.monotonic()
            if place % 2:
                found.kills += _kill_until(began + WINDOW, watcher, str(service.root))
            else:
                time.sleep(WINDOW)
            windows.append((began, time.monotonic(), bool(place % 2)))
            # What was killed last is there again before the next window.
            wait_for(lambda: watcher.look().get("state") == "ready", 60, "all are ready")
        found.said += herd.end()
        records = [record for each in herd.journals().values() for record in each]
        found.said += [f"goodput: {r['code']}" for r in records if r["kind"] == "error"]
        for began, ended, killed in windows:
            texts = sum(
                r["texts"] for r in records if r["kind"] == "embedded" and began <= r["at"] < ended
            )
            (found.killed if killed else found.without).append(texts / (ended - began))
    finally:
        service.close()
    return found


def _kill_until(end: float, watcher: Watcher, mark: str) -> int:
    """SIGKILL the bulk workers in turns; how many were."""
    kills = 0
    while (left := end - time.monotonic()) > BETWEEN / 2:
        watcher.look()
        pid = watcher.pid_of(_BULK[kills % 2])
        kills += bool(pid and send(pid, signal.SIGKILL, mark))
        time.sleep(min(BETWEEN, left))
    time.sleep(max(0.0, end - time.monotonic()))
    return kills
