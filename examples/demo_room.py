"""What the demo needs around it: its folder and processes, its lines, and an ingest beside it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any, TypeVar

from thoth_core import Settings, Thoth

T = TypeVar("T")

REFERENCE, AGAIN = "reference", "again"
MODEL = "all-MiniLM-L6-v2"
#: Tokens of a chunk and of the overlap. The model reads about 250 at once. The second ingest cuts
#: otherwise, because a text that is there already would not be embedded again.
CHUNKS = {REFERENCE: (180, 20), AGAIN: (100, 10)}
#: Seconds after which something that should have happened has not.
PATIENCE = 180.0


class DemoFailed(Exception):
    """The demo cannot go on."""


def wait_until(look: Callable[[], T | None], what: str) -> T:
    """The first thing that ``look`` finds. For the state of other processes, of which no event
    tells us."""
    end = time.monotonic() + PATIENCE
    while (found := look()) is None:
        if time.monotonic() > end:
            raise DemoFailed(f"not within {PATIENCE:.0f} s: {what}")
        time.sleep(0.1)
    return found


# -- what is said ---------------------------------------------------------------------------------


class Report:
    """Writes the lines and counts the checks."""

    def __init__(self) -> None:
        self.passed = 0
        self.failed = 0
        self._colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self._began = time.monotonic()

    def say(self, text: str = "") -> None:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def head(self, text: str) -> None:
        self.say()
        self.say(self._in(text, "1"))

    def check(self, good: bool, text: str) -> None:
        if good:
            self.passed += 1
            self.say(f"{self._in('ok', '32')}  {text}")
        else:
            self.failed += 1
            self.say(f"{self._in('FAILED', '31')}  {text}")

    def end(self) -> int:
        seconds = time.monotonic() - self._began
        self.say()
        self.say(f"{self.passed} checks ok, {self.failed} failed, {seconds:.0f} s")
        return 1 if self.failed else 0

    def _in(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text


# -- where it happens -----------------------------------------------------------------------------


@dataclass
class Room:
    """A folder with data, sockets and texts of its own, and the commands that run in it."""

    root: Path
    #: Every process of the service that was seen.
    pids: set[int] = field(default_factory=set)
    running: list[subprocess.Popen[str]] = field(default_factory=list)

    @classmethod
    def make(cls) -> Room:
        # A short path: the name of a socket has 107 bytes at most.
        base = "/tmp" if Path("/tmp").is_dir() else None
        return cls(Path(tempfile.mkdtemp(prefix="thoth-demo-", dir=base)).resolve())

    def environ(self, collection: str = REFERENCE) -> dict[str, str]:
        """The settings, as environment variables; those of the caller stay outside."""
        ours = ("RAG_", "THOTH_", "WORKSPACE_DIR", "API_OPENAI_KEY", "OPENAI_", "XDG_CONFIG_HOME")
        size, overlap = CHUNKS[collection]
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(ours)},
            "WORKSPACE_DIR": str(self.root),
            "RAG_VECTOR_DB_PATH": str(self.root / "db"),
            "THOTH_RUNTIME_DIR": str(self.root / "run"),
            "XDG_CONFIG_HOME": str(self.root / "config"),
            "RAG_EMBEDDING_MODEL": MODEL,
            "RAG_CHUNK_SIZE": str(size),
            "RAG_CHUNK_OVERLAP": str(overlap),
        }

    def settings(self) -> Settings:
        return Settings.load(cwd=self.root, environ=self.environ())

    def write_texts(self, name: str, chosen: list[str]) -> Path:
        folder = self.root / name
        folder.mkdir()
        for topic in chosen:
            (folder / f"{topic}.txt").write_text(topics[topic], encoding="utf-8")
        return folder

    def run(self, *command: str, **more: Any) -> subprocess.CompletedProcess[str]:
        """A command of Thoth, to its end."""
        return subprocess.run(
            [_script(command[0]), *command[1:]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            cwd=self.root,
            env=self.environ(),
            **more,
        )

    def popen(self, *command: str, collection: str, stderr: Any) -> subprocess.Popen[str]:
        """A command of Thoth, beside us."""
        process = subprocess.Popen(
            [_script(command[0]), *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            cwd=self.root,
            env=self.environ(collection),
        )
        self.running.append(process)
        return process

    def status(self, thoth: Thoth) -> dict[str, Any]:
        """What the supervisor says; its processes are remembered."""
        status = thoth.status()
        seen = [status["pid"], *(worker["pid"] for worker in status["workers"])]
        self.pids.update(pid for pid in seen if pid)
        return status

    def left_behind(self) -> list[int]:
        """Processes of this demo that live: those that were seen, and on Linux all that have its
        folder in their environment or command line."""
        found = {pid for pid in self.pids if _lives(pid)}
        proc = Path("/proc")
        for entry in proc.iterdir() if proc.is_dir() else ():
            if entry.name.isdecimal() and int(entry.name) != os.getpid():
                with contextlib.suppress(OSError):
                    words = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
                    if os.fsencode(self.root) in words and _lives(int(entry.name)):
                        found.add(int(entry.name))
        return sorted(found)

    def close(self) -> None:
        """End whatever still runs and remove the folder."""
        for process in self.running:
            if process.poll() is None:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(10)
        if self.left_behind():
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.run("thoth-supervisor", "stop", "--fast", start_new_session=True)
        for pid in self.left_behind():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.root, ignore_errors=True)


def _script(name: str) -> str:
    """A console script of the environment that runs this."""
    return str(Path(sys.executable).with_name(name))


def _lives(pid: int) -> bool:
    """Whether the process is there; one that has ended and was not collected yet is not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return not Path("/proc/self").exists()


# -- the second ingest ----------------------------------------------------------------------------


class Ingest:
    """``thoth ingest`` as a process beside us, and how far it says it is."""

    def __init__(self, room: Room, folder: Path) -> None:
        self._complaints = (room.root / "ingest.err").open("w+", encoding="utf-8")
        self.process = room.popen(
            *("thoth", "ingest", str(folder), "--collection", AGAIN, "--events"),
            collection=AGAIN,
            stderr=self._complaints,
        )
        self._news = threading.Condition()
        self._chunks = 0
        self._report: dict[str, Any] | None = None
        self._ended = False
        threading.Thread(target=self._read, name="ingest", daemon=True).start()

    @property
    def runs(self) -> bool:
        return self.process.poll() is None

    def wait_for(self, chunks: int) -> int:
        """Wait until so many chunks are stored; how many are."""
        with self._news:
            self._news.wait_for(lambda: self._ended or self._chunks >= chunks, PATIENCE)
            if self._chunks < chunks:
                raise DemoFailed(f"the ingest came to {self._chunks} chunks. {self._complained()}")
            return self._chunks

    def report(self) -> dict[str, Any]:
        """Its report, once it has ended well."""
        with self._news:
            self._news.wait_for(lambda: self._ended, PATIENCE)
            report = self._report
        code = self.process.wait(10) if self._ended else None
        if report is None or code != 0:
            raise DemoFailed(f"the ingest ended with {code}. {self._complained()}")
        return report

    def _complained(self) -> str:
        self._complaints.seek(0)
        return self._complaints.read().strip()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event = json.loads(line)
            with self._news:
                self._chunks = event.get("chunks_done", self._chunks)
                self._report = event if event.get("event") == "done" else None
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()
