"""A worker's stacks for whoever asks why it ended: written by the interpreter itself, also while
native code holds its lock."""

from __future__ import annotations

import faulthandler
import signal

#: Standard error, for a worker whose parent gave it no file.
_STDERR = 2


def write_stacks_to(fd: int) -> int:
    """Have a crash, and SIGUSR1, write the stacks of all threads into ``fd`` (standard error if it
    is negative); that descriptor."""
    fd = fd if fd >= 0 else _STDERR
    faulthandler.enable(file=fd, all_threads=True)
    faulthandler.register(signal.SIGUSR1, file=fd, all_threads=True)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
    return fd


class StepTimer:
    """Ends the process by SIGALRM, its stacks written first, when one step takes ``seconds``.

    The signal's handler is C code that needs no lock, so this also ends a process whose native
    code never lets go of the interpreter. ``faulthandler.dump_traceback_later`` does the same with
    a thread that has to be ended before each new step, with the lock held: 25 us on an idle
    machine, but 7 ms (p50; p99 67 ms) on one whose cores are busy, as they are here. Setting the
    kernel's timer takes 3 us on both.
    """

    def __init__(self, seconds: float, fd: int) -> None:
        self._seconds = seconds
        # What the handler goes on to when it has written the stacks: the end.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        faulthandler.register(signal.SIGALRM, file=fd, all_threads=True, chain=True)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})

    def step(self) -> None:
        """A step begins, and the one before it is done."""
        signal.setitimer(signal.ITIMER_REAL, self._seconds)

    def end(self) -> None:
        """The work is done."""
        signal.setitimer(signal.ITIMER_REAL, 0)
