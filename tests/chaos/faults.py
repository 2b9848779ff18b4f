"""Carries out the faults of a plan on a running service."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from tests.chaos.herd import Herd
from tests.chaos.poison import Poisoner
from tests.chaos.processes import family_of, index_process_of, send
from tests.chaos.watcher import Watcher
from tests.faults.garbage import KINDS as SOCKETS
from tests.faults.garbage import Garbage
from tests.faults.rawsockets import connected
from tests.support.service import RealService, wait_for
from thoth_core.client.locate import wait_for_end

#: Seconds that a process to end is waited for; that the processes of a killed supervisor may take
#: to be gone on a busy machine, and the next one to answer.
PATIENCE, GONE, BACK = 60.0, 15.0, 90.0
#: A stopped process goes on after so many seconds, the longest less than what a worker may take.
STOPPED = (0.3, 2.5)
#: So many workers of one slot in a row may be ended before they were ready. Five that did no work
#: are given up by the service, as they should be, and all calls that need them refused.
BEFORE_READY = 2
#: Frames of garbage that are sent at once.
FRAMES = 200


EMBED = ("embed-interactive", "embed-bulk-1", "embed-bulk-2")


class Faults:
    """``done`` counts what was carried out, by kind."""

    def __init__(
        self, service: RealService, seed: int, herd: Herd, watcher: Watcher, poisoner: Poisoner
    ) -> None:
        self.done: Counter[str] = Counter()
        #: Seconds from the death of a supervisor until all its processes were gone, and until
        #: another one answered.
        self.orphaned: list[float] = []
        self.back: list[float] = []
        #: When, by the monotonic clock.
        self.killed_at: list[float] = []
        self.problems: list[str] = []
        self._service = service
        self._mark = str(service.root)
        self._chance = random.Random(f"{seed}-faults")
        self._herd, self._watcher, self._poisoner = herd, watcher, poisoner
        self._slow = ThreadPoolExecutor(4, thread_name_prefix="fault")
        self._pending: list[Future[None]] = []
        self._lock = threading.Lock()
        #: Of each slot, how many were ended before they were ready since one was.
        self._early: Counter[str] = Counter()

    def run(self, kinds: Sequence[str], seconds: float, until: float) -> None:
        """One after the other, spread over ``seconds``; none that begins after the clock says
        ``until``."""
        began = time.monotonic()
        for place, kind in enumerate(kinds):
            due = began + seconds * (place + self._chance.uniform(0, 1)) / len(kinds)
            time.sleep(max(0.0, due - time.monotonic()))
            if time.monotonic() > until or self._herd.problems():
                break
            try:
                self._carry_out(kind)
            except AssertionError as problem:
                self.problems.append(f"{kind}: {problem}")
        for future in self._pending:
            try:
                future.result(PATIENCE + 120)
            except AssertionError as problem:
                self.problems.append(str(problem))
        self._slow.shutdown()

    def _carry_out(self, kind: str) -> None:
        target, _, what = kind.rpartition(" ")
        if kind == "supervisor SIGKILL":
            self._kill_supervisor()
        elif kind == "client SIGKILL":
            self._herd.kill(self._chance)
            self._count(kind)
        elif what == "stopped":
            self._later(kind, self._stop, target, self._chance.uniform(*STOPPED))
        elif kind.startswith("garbage on "):
            self._later(kind, self._garbage, what, self._chance.randrange(10**6))
        elif kind in self._poisoner.KINDS:
            self._later(kind, self._poisoner.send, kind, self._chance.randrange(10**6))
        else:
            number = signal.Signals[what]
            wait_for(lambda: self._end(target, number), PATIENCE, f"{kind}: there is one")
            self._count(kind)

    def _count(self, kind: str) -> None:
        with self._lock:
            self.done[kind] += 1

    def _later(self, kind: str, act: Callable[..., None], *arguments: object) -> None:
        def whole() -> None:
            act(*arguments)
            self._count(kind)

        self._pending.append(self._slow.submit(whole))

    # -- processes ----------------------------------------------------------------------------

    def _slot(self, target: str) -> str:
        return "store" if target != "embed worker" else self._chance.choice(EMBED)

    def _pid(self, target: str, slot: str) -> int | None:
        if target == "client":
            return self._chance.choice([*self._herd.pids().values()])
        if target == "supervisor":
            return self._watcher.pids[-1] if self._watcher.pids else None
        pid = self._watcher.pid_of(slot)
        return index_process_of(pid) if pid and target == "index process" else pid

    def _signal(self, target: str, number: signal.Signals, slot: str = "") -> int | None:
        """The pid that got it; None if there was none just now."""
        pid = self._pid(target, slot or self._slot(target))
        return pid if pid and send(pid, number, self._mark) else None

    def _end(self, target: str, number: signal.Signals) -> bool:
        slot = self._slot(target)
        if target == "index process":
            return self._signal(target, number, slot) is not None
        early = 0 if self._watcher.ready(slot) else self._early[slot] + 1
        if early > BEFORE_READY or not self._signal(target, number, slot):
            return False
        self._early[slot] = early
        return True

    def _stop(self, target: str, seconds: float) -> None:
        pid = wait_for(
            lambda: self._signal(target, signal.SIGSTOP), PATIENCE, f"there is a {target}"
        )
        assert pid is not None
        time.sleep(seconds)
        send(pid, signal.SIGCONT, self._mark)

    def _kill_supervisor(self) -> None:
        pid = int(wait_for(lambda: self._watcher.look().get("pid"), BACK, "a supervisor answers"))
        family = family_of(pid, self._mark)
        self._watcher.killed.add(pid)
        # Before it: whoever loses it may be quicker than this thread.
        died = time.monotonic()
        self.killed_at.append(died)
        assert send(pid, signal.SIGKILL, self._mark), "the supervisor was gone already"
        # In half of the cases an operator starts the next one, in the others a client does.
        if self._chance.random() < 0.5:
            self._slow.submit(self._service.run, "thoth-supervisor", "start", timeout=BACK)
        left = [each for each in family if not wait_for_end(each, died + GONE - time.monotonic())]
        self.orphaned.append(time.monotonic() - died)
        if left:
            self.problems.append(f"outlived their supervisor by {GONE:.0f} s: {left}")

        def another() -> bool:
            return self._watcher.look().get("pid") not in (None, pid)

        wait_for(another, BACK, "another supervisor answers")
        self.back.append(time.monotonic() - died)
        self._count("supervisor SIGKILL")

    # -- sockets ------------------------------------------------------------------------------

    def _garbage(self, name: str, seed: int) -> None:
        def path() -> Path | None:
            folder = self._service.settings().service_dir
            found = [*folder.glob("store-*.sock")] if name == "store" else [folder / name]
            return found[-1] if found and found[-1].exists() else None

        socket = wait_for(path, PATIENCE, f"there is the socket {name}")
        assert socket is not None
        incarnation = socket.stem.partition("-")[2]
        garbage = Garbage(seed, SOCKETS[name], incarnation)
        # Nearly the name that a worker would have.
        identity = f"embed.embed-bulk-1.{seed:x}".encode()
        with connected(socket, identity) as peer:
            for _ in range(FRAMES):
                # Its peer may die at any moment, and then nobody reads it; that is no fault.
                if not peer.offer(garbage.message()):
                    break
                peer.drain()
