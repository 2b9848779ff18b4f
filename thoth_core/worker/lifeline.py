"""A worker never outlives its supervisor.

Two strings, because each alone can fail: the kernel's parent-death signal (Linux only, and only
once it is armed) and a pipe whose other end only the parent holds. The index process, whose parent
is the store, finishes the call into Chroma that it is in, so it takes the pipe alone; should that
call let go of the interpreter and then hang, the timer that ends it after a second is a native
thread of ``faulthandler``, which works even while native code holds the GIL.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1

#: Seconds that a store may use to finish the call it is in.
GRACE = 1.0
#: Bytes of one line that comes over the pipe.
_LONGEST_LINE = 65_536

Heard = Callable[[bytes], None]


def arm(
    parent: int,
    death_fd: int,
    critical: threading.Lock | None = None,
    heard: Heard | None = None,
) -> None:
    """Tie this process to ``parent``. With ``critical`` the process ends when that lock is free,
    or after :data:`GRACE`; without it, at once. ``heard`` is called in a thread of its own with
    each line that the parent writes into the pipe."""
    if critical is None and sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        # It died before the signal was armed.
        os._exit(0)
    watch = (death_fd, critical, heard)
    threading.Thread(target=_watch, args=watch, name="lifeline", daemon=True).start()


def end_with(parent: int) -> None:
    """Have the kernel end this process with ``parent``, where it can; for one that does a single
    thing and ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def _watch(death_fd: int, critical: threading.Lock | None, heard: Heard | None) -> None:
    rest = b""
    while True:
        try:
            data = os.read(death_fd, 4096)
            if data == b"":
                break
            *lines, rest = (rest + data).split(b"\n")
            rest = rest[-_LONGEST_LINE:]
            for line in lines:
                if heard is not None:
                    heard(line)
        except InterruptedError:
            continue
        except OSError:
            break
    if critical is not None:
        faulthandler.dump_traceback_later(GRACE, exit=True)
        critical.acquire(timeout=GRACE)
    os._exit(0)
