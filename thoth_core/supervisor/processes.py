"""Child processes: how one is spawned, how its end is known, and what is left to say about it.

Never a fork of the supervisor's memory and never ``multiprocessing``: a fresh interpreter with an
environment of its own. The end is told by the kernel (a pidfd becomes readable), not by polling.
A child is in the supervisor's session, where ``nice`` has an effect between processes, and in a
process group of its own, so that it can be ended with whatever it started.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from thoth_core.log_format import readable
from thoth_core.supervisor.slots import Exit
from thoth_core.supervisor.stacks import Stacks, read_stacks
from thoth_core.worker.birth import EXIT_BOOT, EXIT_TERM, VARIABLE, Birth
from thoth_core.worker.dump_file import DumpFile
from thoth_core.worker.secret import line_of

TAIL_LINES = 50
#: Characters of each of them. They go to every caller that waits for a worker which cannot be had.
TAIL_CHARS = 1000
#: Lines of the stack that matters which go with them.
STACK_LINES = 20
#: Reads of 64 KiB of what a process wrote before it ended. A pipe holds as much as one of them.
LAST_READS = 16
#: Why a worker ended that hung.
NO_PROGRESS = "made no progress"
#: The same, when all that there is did not run.
STOOD_STILL = "made no progress while the service stood still"


class Child:
    """One worker process. ``sentinel`` is a file descriptor that becomes readable when it ends,
    ``output`` one that gives its standard output and error."""

    def __init__(
        self,
        role: Literal["embed", "store"],
        slot: str,
        incarnation: str,
        back_path: Path,
        environ: Mapping[str, str],
        log: logging.Logger,
    ) -> None:
        self.slot = slot
        self.incarnation = incarnation
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        #: Why we ended it, or "".
        self.ended_by_us = ""
        #: We ended it because it hung: what it was working on may be the cause after all.
        self.stalled = False
        #: The kernel told of its end; what it said before may still be on its way.
        self.ended = False
        #: It took its leave: nothing comes after that.
        self.said_all = False
        #: What it said of itself when it was READY.
        self.said: Mapping[str, Any] = {}
        #: When it was started, in monotonic seconds.
        self.born = 0.0
        #: Its stacks, known after its end if it crashed or hung.
        self.stacks: Stacks | None = None
        self._log = log
        self._partial = b""
        with contextlib.ExitStack() as undo:
            self._dump = DumpFile()
            undo.callback(self._dump.close)
            # The child reads the one end; it sees the end of the file when this process, which
            # alone holds the other, is gone.
            death_read, self._death_write = os.pipe()
            undo.callback(os.close, self._death_write)
            birth = Birth(
                role,
                slot,
                incarnation,
                str(back_path),
                os.getpid(),
                death_read,
                self._dump.fd,
            )
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", f"{role}_worker"],
                    env={**environ, VARIABLE: birth.to_variable()},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    cwd="/",
                    pass_fds=(death_read, self._dump.fd),
                    process_group=0,
                )
            finally:
                os.close(death_read)
            self.pid = self._process.pid
            assert self._process.stdout is not None
            self.output = self._process.stdout.fileno()
            try:
                os.set_blocking(self.output, False)
                self.sentinel = _sentinel(self._process)
            except BaseException:
                # A process whose end nobody would see must not live.
                self._process.kill()
                self._process.wait()
                self._process.stdout.close()
                raise
            undo.pop_all()

    @property
    def identity(self) -> bytes:
        role = "store" if self.slot == "store" else "embed"
        return f"{role}.{self.slot}.{self.incarnation}".encode()

    @property
    def top_frame(self) -> str | None:
        """The Python frame that made the native call in which it crashed or hung, if known."""
        top = self.stacks.top if self.stacks is not None else None
        return str(top) if top is not None else None

    def give_key(self, key: str) -> bool:
        """Write the key of a provider into the pipe that only this process and the child have;
        whether it could be. A child that does not read is no reason to wait."""
        try:
            os.set_blocking(self._death_write, False)
            line = line_of(key)
            return os.write(self._death_write, line) == len(line)
        except OSError:
            # It has ended, or its pipe is full of keys: it is to be replaced.
            return False

    def signal(self, name: Literal["SIGUSR1", "SIGTERM", "SIGKILL"]) -> None:
        """Send a signal to the process and to whatever it started. SIGUSR1 is for the process
        alone: it has it write its stacks."""
        with contextlib.suppress(ProcessLookupError):
            # Not yet waited for, so the pid is still its own.
            if name == "SIGUSR1":
                self._dump.clear()
                os.kill(self.pid, signal.SIGUSR1)
            else:
                os.killpg(self.pid, getattr(signal, name))

    def read_output(self) -> bool:
        """Move what it wrote to the log; False at the end of the file."""
        try:
            data = os.read(self.output, 65536)
        except BlockingIOError:
            return True
        lines = (self._partial + data).split(b"\n")
        self._partial = lines.pop()
        if not data and self._partial:
            lines.append(self._partial)
            self._partial = b""
        if len(self._partial) > 65536:
            lines.append(self._partial)
            self._partial = b""
        texts = [line.decode("utf-8", "replace").rstrip() for line in lines]
        lines_read = (line for text in texts for line in readable(text).split("\n"))
        self.tail.extend(line[:TAIL_CHARS] for line in lines_read)
        if texts:
            # One record for all of them: each costs a write to the disk.
            self._log.info("%s", "\n".join(texts), extra={"worker_pid": self.pid})
        return bool(data)

    def ended_in_order(self) -> bool:
        """Whether it has ended with a status that only a worker which takes its leave has. It is
        not waited for yet."""
        try:
            ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
        except ChildProcessError:
            return False
        return (
            ended is not None
            and ended.si_code == os.CLD_EXITED
            and ended.si_status in (0, EXIT_BOOT, EXIT_TERM)
        )

    def reap(
        self,
        now: float,
        wall: float,
        *,
        for_memory: Callable[[], bool | None] = lambda: None,
        paused: bool = False,
    ) -> Exit:
        """How it ended. Called once, after the sentinel. ``for_memory`` says whether the kernel has
        just ended something for want of memory; ``paused``, that the whole service stood still, so
        that a timer of the worker's own proves nothing."""
        if hasattr(os, "pidfd_open"):
            # What it started may outlive it. Not yet waited for, so the group is still its own.
            self.signal("SIGKILL")
        code = self._process.wait()
        for _ in range(LAST_READS):
            if not self.read_output() or not _readable(self.output):
                break
        if code == -signal.SIGALRM:
            # Its own timer.
            self.stalled = not paused
            self.ended_by_us = self.ended_by_us or (STOOD_STILL if paused else NO_PROGRESS)
        self._read_stacks()
        self.close()
        killed = code == -signal.SIGKILL and not self.ended_by_us
        exit = describe_exit(code, wall, self.ended_by_us, for_memory() if killed else None)
        stack = self.stacks.lines() if self.stacks is not None else []
        return replace(exit, tail=(*self.tail, *stack[:STACK_LINES]))

    def _read_stacks(self) -> None:
        """What its interpreter wrote when it crashed, or when it or we found that it hung. What it
        wrote because somebody else asked says nothing about its end."""
        # Before it is READY it may not have come so far as to use the file.
        dump = self._dump.read()
        found = read_stacks(dump or ("" if self.said else "\n".join(self.tail)))
        if found is None or not (found.header or self.ended_by_us):
            return
        self.stacks = found
        if dump:
            self._log.info("%s", dump.rstrip(), extra={"worker_pid": self.pid})

    def close(self) -> None:
        for fd in (self.sentinel, self._death_write):
            with contextlib.suppress(OSError):
                os.close(fd)
        self._dump.close()
        if self._process.stdout is not None:
            self._process.stdout.close()


_KILLED = {
    True: "probably out of memory: the kernel ended a process for want of it",
    False: "killed from outside",
    None: "killed from outside, or out of memory",
}


def describe_exit(code: int, wall: float, ended_by_us: str, for_memory: bool | None = None) -> Exit:
    """What an exit status (as ``subprocess`` gives it) means. ``wall`` is the time for display;
    ``for_memory`` whether the kernel says that it ended a process for want of memory at this time,
    None where it says nothing.

    Whatever it was working on may have been the cause, unless we ended it or somebody outside
    killed it.
    """
    name: str | None = None
    if code == EXIT_TERM:
        name = signal.SIGTERM.name
    elif code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
    if ended_by_us:
        reason = ended_by_us
    elif name == "SIGKILL":
        reason = _KILLED[for_memory]
    elif name == "SIGSEGV":
        reason = "segmentation fault"
    elif name is not None:
        reason = f"ended by {name}"
    elif code == EXIT_BOOT:
        reason = "could not be set up"
    else:
        reason = f"exit status {code}"
    outside = name in ("SIGTERM", "SIGINT", "SIGHUP") or (name == "SIGKILL" and not for_memory)
    blame = not ended_by_us and not outside
    return Exit(
        reason=reason,
        at=wall,
        signal=name,
        code=code if code >= 0 else None,
        boot_failure=code == EXIT_BOOT and not ended_by_us,
        blame=blame and code != EXIT_BOOT,
    )


def _sentinel(process: subprocess.Popen[bytes]) -> int:
    if hasattr(os, "pidfd_open"):
        return os.pidfd_open(process.pid)
    # Elsewhere a thread waits for it and closes a pipe.
    read, write = os.pipe()

    def wait() -> None:
        process.wait()
        os.close(write)

    threading.Thread(target=wait, name=f"wait-{process.pid}", daemon=True).start()
    return read


def _readable(fd: int) -> bool:
    import select

    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))
