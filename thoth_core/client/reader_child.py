"""The client's end of one reader process (``python -m thoth_core.reader``)."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from thoth_core.reader import messages
from thoth_core.reader.messages import Answer
from thoth_core.supervisor.environment import child_environment

#: Seconds between two calls of ``tick`` while the reader is at work.
_TICK = 0.25
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """``seconds`` for one file, and the address space of the process in ``memory_bytes``, the file
    itself besides. ``faults``: files may say what is to go wrong."""

    seconds: float
    memory_bytes: int
    faults: bool = False


class ReaderDied(Exception):
    """The process ended, or was ended, with a file in it. The message says how; ``late``: it had
    used up its time."""

    def __init__(self, how: str, *, late: bool = False) -> None:
        super().__init__(how)
        self.late = late


class ReaderChild:
    """One process. Used by one thread, the one that made it: on Linux it ends with that thread.
    ``OSError`` if it cannot be started."""

    def __init__(self, limits: ReadLimits) -> None:
        self._limits = limits
        #: Files that it has read, and the memory that it held after the last, in bytes.
        self.read = self.resident = 0
        with contextlib.ExitStack() as stack:
            self._errors: IO[bytes] = stack.enter_context(tempfile.TemporaryFile())
            death_read, self._death = os.pipe()
            stack.callback(os.close, self._death)
            try:
                self._child = subprocess.Popen(
                    [sys.executable, "-P", "-m", "thoth_core.reader"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self._errors,
                    env=child_environment(os.environ),
                    pass_fds=(death_read,),
                    cwd="/",
                    process_group=0,
                    bufsize=0,
                )
            finally:
                os.close(death_read)
            stack.callback(self._stopped)
            self._in, self._out = _pipe(self._child.stdin), _pipe(self._child.stdout)
            for pipe in (self._in, self._out):
                os.set_blocking(pipe.fileno(), False)
            self._stack = stack.pop_all()
        orders = {
            "parent": os.getpid(),
            "death_fd": death_read,
            "memory_bytes": limits.memory_bytes,
            "faults": limits.faults,
        }
        self._orders = json.dumps(orders).encode() + b"\n"

    def ask(self, form: str, data: bytes, tick: Callable[[], None]) -> Answer:
        """What it makes of ``data``. ``tick`` is called while it is at work and may raise. After
        any exception it is of no more use. :class:`ReaderDied`."""
        late = time.monotonic() + self._limits.seconds
        orders, self._orders = self._orders, b""
        try:
            raw = self._exchange([orders + messages.request(form, data), data], late, tick)
            answer = messages.read_answer(raw)
        except (OSError, EOFError, ValueError, KeyError, TypeError) as problem:
            raise ReaderDied(self._how() or f"it could not be asked: {problem}") from problem
        self.read += 1
        self.resident = answer.resident
        return answer

    def close(self) -> None:
        """End it, whatever it is doing."""
        self._stack.close()

    def _exchange(self, parts: list[bytes], late: float, tick: Callable[[], None]) -> bytearray:
        views = [memoryview(part) for part in parts]
        got, wanted = bytearray(), messages.LENGTH_BYTES
        with selectors.DefaultSelector() as selector:
            selector.register(self._out, selectors.EVENT_READ)
            selector.register(self._in, selectors.EVENT_WRITE)
            while True:
                for key, _ in selector.select(_TICK):
                    if key.fileobj is self._in:
                        sent = self._in.write(views[0][:_PIECE]) or 0
                        views[0] = views[0][sent:]
                        if not views[0]:
                            views.pop(0)
                        if not views:
                            selector.unregister(self._in)
                        continue
                    piece = self._out.read(_PIECE)
                    if piece == b"":
                        raise EOFError
                    got += piece or b""
                    if wanted == messages.LENGTH_BYTES and len(got) >= wanted:
                        wanted += messages.answer_length(bytes(got[:wanted]))
                    if len(got) >= wanted > messages.LENGTH_BYTES:
                        return got[messages.LENGTH_BYTES : wanted]
                if time.monotonic() >= late:
                    raise ReaderDied(f"it was not done after {self._limits.seconds:g} s", late=True)
                tick()

    # -- its end

    def _stopped(self) -> None:
        self._child.kill()
        self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _how(self) -> str:
        """How it ended, if it did."""
        try:
            code = self._child.wait(2)
        except subprocess.TimeoutExpired:
            return ""
        if code < 0:
            return f"it was ended by {signal.Signals(-code).name}"
        return f"it ended with exit code {code}" + self._last_words()

    def _last_words(self) -> str:
        self._errors.seek(max(0, self._errors.seek(0, os.SEEK_END) - 4096))
        lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        return f": {lines[-1][:200]}" if lines else ""


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe
