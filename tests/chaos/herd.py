"""The client processes: started, killed, born again, and told to end."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tests.chaos.journal import Record, read
from tests.chaos.load import Order
from tests.support.service import RealService

#: Seconds that the last calls of all clients may take together; with a model that is no fake.
LAST_CALLS, LAST_REAL_CALLS = 120.0, 900.0


class Herd:
    """``orders`` are those of life 0. Their settings are the service's."""

    def __init__(self, service: RealService, orders: Sequence[Order]) -> None:
        self._service = service
        self._orders = {order.name: order for order in orders}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        #: Names and lives of those that were killed.
        self.killed: set[tuple[str, int]] = set()

    def start(self) -> None:
        for name in self._orders:
            self._start(name)

    def _start(self, name: str) -> None:
        order = self._orders[name]
        with (Path(order.folder) / f"{name}.err").open("ab") as complaints:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.load", order.to_json()],
                stdin=subprocess.PIPE,
                stdout=complaints,
                stderr=complaints,
                env=self._service.environ(PYTHONPATH=str(Path(__file__).parents[2])),
                # Where no settings lie about.
                cwd=self._service.root,
            )

    def pids(self) -> dict[str, int]:
        return {name: child.pid for name, child in self._running.items()}

    def kill(self, chance: random.Random) -> str:
        """SIGKILL one of them and start its next life; which."""
        name = chance.choice(sorted(self._running))
        child, order = self._running[name], self._orders[name]
        self.killed.add((name, order.life))
        child.kill()
        child.communicate()
        self._orders[name] = replace(order, life=order.life + 1)
        self._start(name)
        return name

    def problems(self) -> list[str]:
        """Of those that ended though nobody asked them to."""
        return [
            f"the client {name} ended ({child.returncode}): {self._last_words(name)}"
            for name, child in self._running.items()
            if child.poll() is not None
        ]

    def end(self) -> list[str]:
        """Have all of them end their last call and go; what was wrong with it."""
        said = self.problems()
        for child in self._running.values():
            assert child.stdin is not None
            child.stdin.close()
        known = all(order.known for order in self._orders.values())
        seconds = LAST_CALLS if known else LAST_REAL_CALLS
        end = time.monotonic() + seconds
        for name, child in self._running.items():
            try:
                child.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                said.append(f"the last call of {name} is not answered after {seconds:.0f} s")
                child.kill()
                child.wait()
        return said + [each for each in self.problems() if "(0)" not in each and each not in said]

    def journals(self) -> dict[str, list[Record]]:
        return {name: read(order.journal) for name, order in self._orders.items()}

    def _last_words(self, name: str) -> str:
        path = Path(self._orders[name].folder) / f"{name}.err"
        return " / ".join(path.read_text(errors="replace").strip().splitlines()[-3:])
