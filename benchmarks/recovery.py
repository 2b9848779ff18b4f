"""What starts cost: a worker after a kill, the whole service, and a command.

python -m benchmarks.recovery
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.alone import run_alone
from benchmarks.speed_texts import MODEL, texts
from tests.support.service import RealService
from thoth_core import Thoth
from thoth_core.cores import available_cores

#: Seconds between two looks at the state: no event tells somebody outside of it.
_LOOK = 0.005
_KILLED = "embed-bulk-1"
#: Texts that keep every bulk worker at work for a moment.
_WORK = 128


def measure(quick: bool) -> dict[str, Any]:
    """Services of its own."""
    found: dict[str, Any] = {"first_start": first_start()}
    service = make()
    try:
        found["starts"] = starts(service, 2 if quick else 5)
        service.start()
        with service.client() as client:
            # For the queries of the commands.
            client.add(texts("short", 100, seed=32))
            found["kills"] = kills(service, client, 2 if quick else 11)
        found["commands"] = commands(service, 2 if quick else 9)
    finally:
        service.close()
    return found


def make(**settings: str) -> RealService:
    return RealService.make(MODEL, THOTH_EMBED_WORKERS=str(available_cores()), **settings)


# -- the service -------------------------------------------------------------------------------


def first_start() -> dict[str, float]:
    """The first start ever: nobody has converted the model yet."""
    service = make()
    service.env["XDG_CACHE_HOME"] = str(service.root / "cache")
    try:
        return _start(service)
    finally:
        service.close()


def starts(service: RealService, many: int) -> dict[str, Any]:
    """``thoth-supervisor start``, ``many`` times: seconds until it returns, and until every worker
    is ready. The service is stopped before and after."""
    found = []
    for _ in range(many):
        found.append(_start(service))
        service.stop()
    return {name: [each[name] for each in found] for name in ("returned_s", "all_ready_s")}


def _start(service: RealService) -> dict[str, float]:
    began = time.perf_counter()
    service.start(all_ready=False)
    returned = time.perf_counter() - began
    _until(lambda: service.status()["state"] == "ready")
    return {"returned_s": returned, "all_ready_s": time.perf_counter() - began}


# -- a worker ----------------------------------------------------------------------------------


def kills(service: RealService, client: Thoth, many: int) -> list[float]:
    """Seconds from SIGKILL of a bulk worker until another in its place is ready. Each has worked
    before it is killed, as one that never does is restarted more and more slowly."""
    given = texts("mixed", _WORK, seed=31)
    taken = []
    for turn in range(many):
        client.embed([f"{turn}: {text}" for text in given])
        _until(lambda: service.worker(_KILLED)["state"] == "READY")
        pid = service.worker(_KILLED)["pid"]
        began = time.perf_counter()
        os.kill(pid, signal.SIGKILL)
        _until(lambda pid=pid: _replaced(service, pid))
        taken.append(time.perf_counter() - began)
    return taken


def _replaced(service: RealService, pid: int) -> bool:
    worker = service.worker(_KILLED)
    return worker["state"] == "READY" and worker["pid"] != pid


def _until(check: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not check():
        if time.monotonic() > end:
            raise RuntimeError("a worker was not ready within a minute")
        time.sleep(_LOOK)


# -- commands ----------------------------------------------------------------------------------


def commands(service: RealService, many: int) -> dict[str, list[float]]:
    """Seconds of whole processes, in turns: an interpreter that does nothing, ``thoth --help`` and
    ``thoth query`` of a service that runs."""
    taken: dict[str, list[float]] = {"python": [], "help": [], "query": []}
    for turn in range(many + 1):
        each = {
            "python": _seconds(lambda: subprocess.run([sys.executable, "-c", ""], check=True)),
            "help": _seconds(lambda: _command(service, "--help")),
            "query": _seconds(
                lambda turn=turn: _command(service, "query", f"where is ship {turn}?")
            ),
        }
        # The first is for what the machine has not read yet.
        if turn:
            for name, seconds in each.items():
                taken[name].append(seconds)
    return taken


def _command(service: RealService, *words: str) -> None:
    done = service.run("thoth", *words)
    assert done.returncode == 0, done.stderr


def _seconds(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


# -- the table ---------------------------------------------------------------------------------


def show(found: dict[str, Any]) -> None:
    print(f"\n{'starts, seconds':40} {'best':>9} {'median':>9} {'longest':>9}")
    _line("thoth-supervisor start returns", found["starts"]["returned_s"])
    _line("  until every worker is ready", found["starts"]["all_ready_s"])
    _line("the first time ever, returns", [found["first_start"]["returned_s"]])
    _line("  until every worker is ready", [found["first_start"]["all_ready_s"]])
    _line(f"SIGKILL of an embed worker to READY ({len(found['kills'])})", found["kills"])
    _line("thoth --help", found["commands"]["help"])
    _line("thoth query", found["commands"]["query"])
    _line("an interpreter that does nothing", found["commands"]["python"])


def _line(what: str, seconds: list[float]) -> None:
    print(f"{what:40} {min(seconds):9.3f} {statistics.median(seconds):9.3f} {max(seconds):9.3f}")


if __name__ == "__main__":
    run_alone(__doc__, measure, show)
