"""A service of the doctor's own, in a directory of its own, that is always stopped and removed."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thoth_core.client.control import control
from thoth_core.client.locate import wait_for_end
from thoth_core.client.stopping import processes
from thoth_core.errors import ServiceUnavailable, ThothError, from_dict

if TYPE_CHECKING:
    from thoth_core.settings import Settings

#: What the directory's name begins with, before the pid of the doctor.
PREFIX = "thoth-doctor-"
#: Seconds without work after which the service ends if the doctor was killed.
IDLE_EXIT = 60.0
#: Seconds that it has to end in order, then by force, and its processes after that.
ENDING, BY_FORCE, ALL = 8.0, 3.0, 5.0
_TAIL = 4096


class Scratch:
    """Used once. :meth:`close` may come from another thread, also in the middle of a start."""

    def __init__(self, settings: Settings, model: str) -> None:
        # Not $TMPDIR where that is long: the path of a socket is bounded.
        parent = tempfile.gettempdir()
        self.root = Path(
            tempfile.mkdtemp(
                prefix=f"{PREFIX}{os.getpid()}-", dir=parent if len(parent) < 24 else "/tmp"
            )
        )
        self.settings = replace(
            settings,
            embedding_model=model,
            vector_db_path=self.root / "db",
            runtime_dir=self.root / "run",
            embed_workers=1,
            idle_exit=IDLE_EXIT,
            faults=False,
        )
        self._lock = threading.Lock()
        self._closed = False
        self._process: subprocess.Popen[bytes] | None = None
        self._pids: list[int] = []

    def start(
        self, environ: Mapping[str, str], seconds: float, note: Callable[[str], None]
    ) -> None:
        """Return when it is ready; what it says is wrong is raised."""
        order = {
            "settings": self.settings.to_wire(),
            "key": self.settings.openai_key,
            "idle_exit": IDLE_EXIT,
            "started_by": os.getpid(),
        }
        with tempfile.TemporaryFile() as complaints:
            with self._lock:
                if self._closed:
                    raise ServiceUnavailable("the scratch service is not wanted any more")
                process = self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "thoth_core.supervisor"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=complaints,
                    # Ctrl-C is for the doctor, which stops it in order.
                    start_new_session=True,
                    cwd="/",
                    env=dict(environ),
                )
            assert process.stdin is not None and process.stdout is not None
            with process.stdin, process.stdout:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.write(json.dumps(order).encode() + b"\n")
                    process.stdin.close()
                event = _last_word(process.stdout.fileno(), time.monotonic() + seconds, note)
            if event.get("event") == "ready":
                return
            if event.get("event") == "error":
                raise from_dict(event.get("error") or {})
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(BY_FORCE)
            raise _ended(process.returncode, complaints)

    def status(self) -> dict[str, Any]:
        """What it tells of itself; its processes are remembered, to see them end."""
        told = control(self.settings, "status")
        index = (told["store"].get("index") or {}).get("pid")
        found = [*processes(told), *([index] if index else [])]
        self._pids = sorted({*self._pids, *found})
        return told

    def close(self) -> None:
        """Have all of it ended and removed."""
        with self._lock:
            self._closed = True
            process = self._process
        if process is not None:
            _end(process)
        for pid in self._pids:
            wait_for_end(pid, ALL)
        shutil.rmtree(self.root, ignore_errors=True)


def _end(process: subprocess.Popen[bytes]) -> None:
    # The second signal is for one that would finish what it is at.
    for number, patience in (
        (signal.SIGTERM, ENDING),
        (signal.SIGTERM, BY_FORCE),
        (signal.SIGKILL, 5),
    ):
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
            return


def _last_word(fd: int, end: float, note: Callable[[str], None]) -> Mapping[str, Any]:
    """The event that a start ends with; empty if there is none."""
    os.set_blocking(fd, False)
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(fd, selectors.EVENT_READ)
        while (left := end - time.monotonic()) > 0 and selector.select(left):
            piece = os.read(fd, 65536)
            if not piece:
                return {}
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                event = _event(line)
                if event.get("event") in ("ready", "already", "error"):
                    return event
                if event.get("message"):
                    note(str(event["message"]))
    return {}


def _event(line: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _ended(code: int | None, complaints: Any) -> ThothError:
    size = complaints.seek(0, os.SEEK_END)
    complaints.seek(max(0, size - _TAIL))
    lines = complaints.read().decode("utf-8", "replace").strip().splitlines()
    if code is None:
        return ServiceUnavailable("a service in a scratch directory did not become ready in time")
    how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
    return ServiceUnavailable(
        f"a service in a scratch directory ended {how} before it was ready",
        cause=lines[-1][:300] if lines else "it gave no reason",
        fix="thoth-supervisor start --foreground",
    )
