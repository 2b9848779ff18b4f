"""Ends the store worker and its index process at random moments, and damages the index at some."""

from __future__ import annotations

import contextlib
import random
import signal
import sqlite3
import struct
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.processes import index_process_of, send
from tests.support.damage import DAMAGES
from tests.support.service import RealService
from thoth_core.client.control import control
from thoth_core.errors import ThothError
from thoth_core.locks import FileLock

#: Seconds that a process to end, or a state to end it in, is waited for.
PATIENCE = 5.0
#: Of so many kills one is followed by damage to the files of the index; one of a run at least.
DAMAGE_ONE_IN = 15
#: Of three kills one comes as soon as there is a process again, one soon, and one when the index
#: has had the time to become healthy: seconds.
AT_ONCE, SOON, WELL = 0.3, 2.0, 20.0
#: So many deaths of the index process in a row, while it opens the index, are held against whoever
#: kills; one more would be held against the index. Then it gets the time to become healthy.
IN_A_ROW = 4
#: Damages that can be done to an index that was never flushed, too.
_DATABASE = [name for name in DAMAGES if name.startswith("chroma.sqlite3")]


@dataclass
class Kills:
    """What was done. ``by`` counts (process, signal, what the index was at)."""

    by: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    damages: Counter[str] = field(default_factory=Counter)
    #: Folders of damaged indexes that were there at one time.
    most_aside: int = 0
    #: Why each further index was begun.
    begun: list[str] = field(default_factory=list)

    @property
    def done(self) -> int:
        return sum(self.by.values())


class Killer:
    """``alive`` is asked between two kills and raises what ends the run. One that is ``hurried``
    does not wait for the index to be healthy between."""

    def __init__(
        self, service: RealService, seed: int, alive: Callable[[], None], *, hurried: bool = False
    ) -> None:
        self.kills = Kills()
        self._service = service
        self._settings = service.settings()
        self._chance = random.Random(f"{seed}-killer")
        self._alive = alive
        self._turns = [AT_ONCE, SOON] if hurried else [AT_ONCE, SOON, WELL]
        self._generation = 1
        self._in_a_row = 0

    def run(self, kills: int, until: float) -> None:
        """So many, or as many as are done when the clock says ``until``."""
        while self.kills.done < kills and time.monotonic() < until:
            self._alive()
            turn = self._chance.choice(self._turns)
            if turn == WELL or self._in_a_row >= IN_A_ROW:
                self._wait(WELL, until_well=True)
            self._wait(self._chance.uniform(0, min(turn, SOON)))
            by_now = self.kills.done >= kills // 2 and not self.kills.damages
            if by_now or self._chance.randrange(DAMAGE_ONE_IN) == 0:
                self._damage()
            elif self._chance.random() < 0.5:
                self._kill("store")
            else:
                self._kill("index")

    def look(self) -> Mapping[str, Any]:
        """What ``status`` says of the store; empty while nobody says anything. Notes besides what
        must not be, and what is to be shown."""
        aside = list(self._settings.data_dir.glob("chroma-damaged-*"))
        self.kills.most_aside = max(self.kills.most_aside, len(aside))
        try:
            said = control(self._settings, "status")
        except ThothError:
            return {}
        [worker] = [each for each in said["workers"] if each["role"] == "store"]
        store: dict[str, Any] = {**said["store"], "pid": worker["pid"]}
        index = store["index"]
        if index and index["generation"] > self._generation:
            self._generation = index["generation"]
            self.kills.begun.append(index["begun_because"])
        return store

    def _wait(self, seconds: float, *, until_well: bool = False) -> None:
        """So long, or until the index is healthy."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            state = self.look().get("index_state")
            if state == "healthy":
                self._in_a_row = 0
                if until_well:
                    return
            time.sleep(min(0.05, left))

    def _kill(self, process: str, number: signal.Signals | None = None) -> bool:
        """End it, waiting until there is one."""
        chosen = number or self._chance.choice([signal.SIGKILL, signal.SIGSEGV])
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            store = self.look()
            pid = store.get("pid")
            if pid and process == "index":
                pid = index_process_of(pid)
            if pid and send(pid, chosen, str(self._service.root)):
                at = store["index_state"] or "none yet"
                self.kills.by[process, chosen.name, at] += 1
                self._in_a_row += process == "index"
                return True
            time.sleep(0.01)
        return False

    def _damage(self) -> None:
        """Damage a file of the index while no process has it open, which its lock says."""
        lock = FileLock(self._settings.data_dir / "lock-index")
        if not self._kill("index", signal.SIGKILL):
            return
        end = time.monotonic() + PATIENCE
        while not lock.acquire():
            if time.monotonic() > end:
                return
            time.sleep(0.001)
        try:
            chroma = self._settings.data_dir / "chroma"
            if not (chroma / "chroma.sqlite3").exists():
                return
            flushed = bool(list(chroma.glob("*/index_metadata.pickle")))
            name = self._chance.choice([*DAMAGES] if flushed else _DATABASE)
            # Half made, or damaged already.
            with contextlib.suppress(OSError, sqlite3.Error, TypeError, ValueError, struct.error):
                DAMAGES[name](chroma)
                self.kills.damages[name] += 1
        finally:
            lock.release()
