"""The store's side of its index process: start it, ask it, see it end.

A process of its own because a call into Chroma 1.5.9 holds the interpreter's lock for as long as it
takes, and may end the process that makes it. Here nothing waits longer than it is told to.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from store_worker import index_line
from thoth_core.cores import available_cores
from thoth_core.worker.dump_file import DumpFile

#: What the child finds its orders in.
VARIABLE = "THOTH_INDEX"
#: The exit status of a child that could not begin: it did not get the lock of the index (sysexits'
#: EX_TEMPFAIL).
NOT_BEGUN = 75
#: Threads with which Chroma puts rows into its graph, where there are as many cores. It is the only
#: pool of that process, and embedding leaves it little to do.
MOST_THREADS = 4
#: Seconds that a child which is asked something may take to read the question; it reads at once,
#: unless it was stopped.
SEND_SECONDS = 5
#: Seconds that a child whose line is broken gets to end.
LAST_WORDS = 2.0
#: Seconds that a child which was told to end gets for the call that it is in.
CLOSE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What the child answered to ``op``. ``error`` is the kind of failure, or empty."""

    op: str
    body: dict[str, Any] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True, slots=True)
class Died:
    """The child has ended while it was at ``op`` (empty: at nothing), for ``seconds``. ``code`` as
    ``subprocess`` gives it: negative for a signal. ``why`` the store ended it, if it did; ``dump``
    is what its interpreter wrote of its stacks; ``uptime`` is in seconds."""

    op: str
    code: int
    pid: int = 0
    why: str = ""
    dump: str = ""
    uptime: float = 0.0
    seconds: float = 0.0

    @property
    def signal(self) -> str | None:
        try:
            return signal.Signals(-self.code).name if self.code < 0 else None
        except ValueError:
            return f"signal {-self.code}"


class IndexChild:
    """One index process. For one thread; ``nudge`` is called from another when something came."""

    def __init__(self, data_dir: Path, nudge: Callable[[], None], *, faults: bool = False) -> None:
        self.op = ""
        self.asked_at = 0.0
        self._born = time.monotonic()
        self._why = ""
        self._nudge = nudge
        self._replies: SimpleQueue[tuple[dict[str, Any], bytes] | None] = SimpleQueue()
        with contextlib.ExitStack() as undo:
            self._dump = DumpFile()
            undo.callback(self._dump.close)
            death_read, self._death_write = os.pipe()
            undo.callback(os.close, self._death_write)
            self._line, theirs = socket.socketpair()
            undo.callback(self._line.close)
            self._line.setsockopt(
                socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", SEND_SECONDS, 0)
            )
            try:
                self._process = self._start(data_dir, faults, theirs.fileno(), death_read)
            finally:
                theirs.close()
                os.close(death_read)
            undo.pop_all()
        self.pid = self._process.pid
        threading.Thread(target=self._read, name="index", daemon=True).start()

    def _start(
        self, data_dir: Path, faults: bool, line: int, death_fd: int
    ) -> subprocess.Popen[bytes]:
        orders = {
            "data_dir": str(data_dir),
            "line": line,
            "death_fd": death_fd,
            "dump_fd": self._dump.fd,
            "parent": os.getpid(),
            "faults": faults,
        }
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "store_worker.index_process"],
            stdin=subprocess.DEVNULL,
            env={
                **os.environ,
                "RAYON_NUM_THREADS": str(min(MOST_THREADS, available_cores())),
                VARIABLE: json.dumps(orders),
            },
            pass_fds=(line, death_fd, self._dump.fd),
            # Not in the store's group: whoever kills that must not catch it in mid-write.
            process_group=0,
        )

    @property
    def idle(self) -> bool:
        return not self.op

    def ask(self, op: str, array: bytes | memoryview = b"", **fields: Any) -> None:
        """Ask for ``op``; the child must be idle. The answer, or the child's death, is got by
        :meth:`wait`."""
        self.op, self.asked_at = op, time.monotonic()
        try:
            index_line.send(self._line, {"op": op, **fields}, array)
        except BlockingIOError:
            # Half a question cannot be taken back.
            self.kill(f"did not read what it was asked for {SEND_SECONDS} s")
        except OSError:
            # It is gone.
            self.kill()

    def wait(self, seconds: float) -> Reply | Died | None:
        """What comes within ``seconds``."""
        try:
            came = self._replies.get(block=seconds > 0, timeout=seconds or None)
        except Empty:
            return None
        op, self.op = self.op, ""
        if came is None:
            return self._died(op)
        body, _ = came
        return Reply(op, body, str(body.pop("error", "")))

    def write_stacks(self) -> None:
        """Have it write its stacks, which needs neither its lock nor its main thread."""
        self._dump.clear()
        self._process.send_signal(signal.SIGUSR1)

    def kill(self, why: str = "") -> None:
        """End it; ``why`` is said of its death, if it does not end of itself before."""
        self._why = self._why or why
        self._process.kill()

    def close(self, *, at_once: bool = False) -> int:
        """Have it close the index and end after what it is at; ``at_once``, after the call into
        Chroma that it is in. One that does not is killed. Its exit status."""
        with contextlib.suppress(OSError):
            self._line.shutdown(socket.SHUT_WR)
        if at_once:
            self._let_go()
        try:
            self._process.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill("did not end")
        return self._died(self.op).code

    def _died(self, op: str) -> Died:
        now = time.monotonic()
        try:
            code = self._process.wait(LAST_WORDS)
        except subprocess.TimeoutExpired:
            self.kill("closed its line")
            code = self._process.wait()
        dump = self._dump.read()
        self._line.close()
        self._dump.close()
        self._let_go()
        why = self._why if code == -signal.SIGKILL else ""
        seconds = now - self.asked_at if op else 0.0
        return Died(op, code, self.pid, why, dump, now - self._born, seconds)

    def _let_go(self) -> None:
        """End the pipe that ties the child to this process."""
        if self._death_write >= 0:
            os.close(self._death_write)
            self._death_write = -1

    def _read(self) -> None:
        try:
            while (came := index_line.receive(self._line)) is not None:
                self._replies.put(came)
                self._nudge()
        except ValueError:
            # Out of step: it is of no use any more.
            self.kill("said what made no sense")
        except OSError:
            # It has ended, or the line was closed by us.
            self.kill()
        self._replies.put(None)
        self._nudge()
