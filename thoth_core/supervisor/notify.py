"""What a service manager is told of the service, by systemd's protocol: datagrams of ``NAME=value``
lines to the socket that ``NOTIFY_SOCKET`` names.

Nothing here waits: what the manager does not take now is said again at a later turn of the loop.
"""

from __future__ import annotations

import contextlib
import math
import os
import socket
from collections.abc import Collection, MutableMapping

from thoth_core.supervisor.slots import Slot, State
from thoth_core.supervisor.status import service_state

#: Seconds between two looks at what there is to say.
LOOK_EVERY = 0.25
#: Before it is ready: seconds for which a start that goes on is to be waited for, said again after
#: so many.
PATIENCE, PATIENCE_EVERY = 60.0, 5.0
#: Pings in one interval of the watchdog: two may be late.
PINGS = 3


class Notifier:
    """``address`` is the manager's socket, empty for none; ``watchdog`` the seconds after which it
    ends a service that it does not hear from, 0 for never. For the thread of the loop."""

    def __init__(self, address: str = "", watchdog: float = 0.0) -> None:
        #: When a ping is due next; never without a watchdog.
        self.wakes_at = 0.0 if address and watchdog > 0 else math.inf
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._every = watchdog / PINGS
        self._socket: socket.socket | None = None
        #: What the manager has not taken yet, by name: of each the last.
        self._owed: dict[str, str] = {}
        self._status = ""
        self._ready = self._stopping = False
        self._next_look = self._next_patience = 0.0

    @classmethod
    def take(cls, environ: MutableMapping[str, str]) -> Notifier:
        """The one that ``environ`` names for this process. The names are removed from it, so that
        no child speaks for the service."""
        address = environ.pop("NOTIFY_SOCKET", "")
        micros, pid = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
        mine = not pid or pid == str(os.getpid())
        watchdog = int(micros) / 1e6 if micros.isdecimal() and mine else 0.0
        return cls(address if address.startswith(("/", "@")) else "", watchdog)

    def turned(self, now: float, slots: Collection[Slot], stopping: bool) -> None:
        """The loop has turned once more: it lives, and things may have changed."""
        if not self._address:
            return
        if now >= self.wakes_at:
            self.wakes_at = now + self._every
            self._owed["WATCHDOG"] = "1"
        elif now < self._next_look and stopping == self._stopping:
            return
        self._next_look = now + LOOK_EVERY
        if stopping and not self._stopping:
            self._stopping = True
            self._owed["STOPPING"] = "1"
        elif not self._ready and not stopping:
            if settled(slots):
                self._ready = True
                self._owed["READY"] = "1"
            elif now >= self._next_patience:
                self._next_patience = now + PATIENCE_EVERY
                self._owed["EXTEND_TIMEOUT_USEC"] = str(int(PATIENCE * 1e6))
        status = summary(slots, stopping)
        if status != self._status:
            self._status = self._owed["STATUS"] = status
        self._send()

    def close(self) -> None:
        """The loop has ended."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self) -> None:
        if not self._owed:
            return
        lines = "\n".join(f"{name}={value}" for name, value in self._owed.items())
        # A manager that is gone, or whose queue is full, must not stop the service.
        with contextlib.suppress(OSError):
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                self._socket.setblocking(False)
            self._socket.sendto(lines.encode(), self._address)
            self._owed.clear()


def settled(slots: Collection[Slot]) -> bool:
    """Whether everything is ready, or what works does and the rest has failed before: a worker that
    cannot be had keeps nobody waiting for those that can."""
    ready = {slot.role for slot in slots if slot.state is State.READY}
    rest = (slot for slot in slots if slot.state is not State.READY)
    return ready == {"store", "embed"} and all(slot.restarts or slot.hopeless for slot in rest)


def summary(slots: Collection[Slot], stopping: bool) -> str:
    """The service in a few words."""
    ready = sum(slot.state is State.READY for slot in slots)
    state = service_state(list(slots), stopping=stopping)
    return f"{state}: {ready} of {len(slots)} workers are ready"
