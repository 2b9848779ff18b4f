"""A real service for a test: its own data directory, its own sockets, and nothing left behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from thoth_core import Settings, Thoth
from thoth_core.client.control import control
from thoth_core.client.locate import control_path, listening
from thoth_core.client.stopping import stop_service
from thoth_core.errors import ServiceUnavailable

T = TypeVar("T")

#: The commands of the environment that runs the tests.
BIN = Path(sys.executable).parent
#: Seconds that a service may take to answer a question; a wait for what it says would end with it.
ANSWER = 30.0


@dataclass
class RealService:
    """``env`` are the settings, as environment variables, of every command and client."""

    root: Path
    env: dict[str, str] = field(default_factory=dict)

    @classmethod
    def make(cls, model: str = "fake/32", **settings: str) -> RealService:
        # Short: socket paths are bounded.
        root = Path(tempfile.mkdtemp(prefix="thoth-t-", dir="/tmp"))
        env = {
            "WORKSPACE_DIR": str(root),
            "RAG_VECTOR_DB_PATH": str(root / "db"),
            "THOTH_RUNTIME_DIR": str(root / "run"),
            "RAG_EMBEDDING_MODEL": model,
            # One beside that for queries; a test that needs two says so.
            "THOTH_EMBED_WORKERS": "1",
            "XDG_CONFIG_HOME": str(root / "config"),
            **settings,
        }
        return cls(root, env)

    # -- running things -----------------------------------------------------------------------

    def environ(self, **more: str) -> dict[str, str]:
        ours = ("RAG_", "THOTH_", "OPENAI_", "API_OPENAI_")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
        # A service that no setting gives a data directory would share the user's with other runs.
        return {**kept, "XDG_DATA_HOME": str(self.root / "data"), **self.env, **more}

    def run(
        self,
        *command: str,
        input: str | None = None,
        timeout: float = 60,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """A console script of ours, to its end, in the folder of the test."""
        return subprocess.run(
            [str(BIN / command[0]), *command[1:]],
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=self.environ(**(env or {})),
            cwd=self.root,
        )

    def popen(self, *command: str, **more: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(BIN / command[0]), *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environ(),
            cwd=self.root,
            **more,
        )

    def python(self, code: str, *, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """A program of somebody who uses the library."""
        return subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            capture_output=True,
            text=True,
            timeout=timeout,
            env=self.environ(),
            cwd=self.root,
        )

    def start(self, *, all_ready: bool = True) -> RealService:
        done = self.run("thoth-supervisor", "start", timeout=90)
        assert done.returncode == 0, done.stderr
        if all_ready:
            wait_for(lambda: self.status()["state"] == "ready", 60, "all workers are ready")
        return self

    def settings(self) -> Settings:
        return Settings.load(cwd=self.root, environ=self.environ())

    def client(self, *, autostart: bool = False) -> Thoth:
        return Thoth(self.settings(), autostart=autostart)

    # -- looking ------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """As the command tells it, without a process for each look."""
        return control(self.settings(), "status", timeout=ANSWER)

    def worker(self, name: str) -> dict[str, Any]:
        [worker] = [w for w in self.status()["workers"] if w["name"] == name]
        return dict(worker)

    def pid(self, name: str) -> int:
        """The pid of a slot's worker, waited for."""
        return int(wait_for(lambda: self.worker(name)["pid"], 30, f"{name} has a process"))

    def ready_again(self, name: str, old_pid: int) -> dict[str, Any]:
        """Wait until another process than ``old_pid`` fills the slot and is ready."""

        def there() -> dict[str, Any] | None:
            worker = self.worker(name)
            ready = worker["state"] in ("READY", "BUSY") and worker["pid"] != old_pid
            return worker if ready else None

        return wait_for(there, 60, f"{name} is ready again")

    def processes(self) -> list[int]:
        """The living processes of this service, found by its data or runtime directory."""
        return processes_with(str(self.root))

    # -- the end ------------------------------------------------------------------------------

    def stop(self) -> None:
        """As the command does it, without a process for it; it is no error that none runs."""
        settings, end = self.settings(), time.monotonic() + 45
        while listening(control_path(settings)):
            try:
                stop_service(settings, fast=False, timeout=max(1.0, end - time.monotonic()))
            except ServiceUnavailable:
                # It may have ended meanwhile, or be too busy to answer at once.
                if time.monotonic() >= end:
                    raise
                time.sleep(0.05)

    def close(self) -> None:
        """Stop it and check that nothing is left."""
        try:
            self.stop()
            left = self.processes()
            assert not left, f"processes left behind: {left}"
        finally:
            for pid in self.processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            shutil.rmtree(self.root, ignore_errors=True)


def processes_with(text: str) -> list[int]:
    """Living processes, other than this one and its ancestors, with ``text`` in their environment
    or command line. One that is a zombie is gone."""
    found = []
    mine = _ancestors()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) in mine:
            continue
        try:
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            words = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if state != "Z" and text.encode() in words:
            found.append(int(entry.name))
    return sorted(found)


def _ancestors() -> set[int]:
    pids, pid = set(), os.getpid()
    while pid > 1:
        pids.add(pid)
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            break
    return pids


def wait_for(check: Callable[[], T], seconds: float, what: str) -> T:
    """The first true value of ``check``; fails after ``seconds``. For states of other processes
    that no event of ours tells of."""
    end = time.monotonic() + seconds
    while True:
        value = check()
        if value:
            return value
        assert time.monotonic() < end, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.05)
