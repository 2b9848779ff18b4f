"""Whether a SIGKILL that was not ours is one that the kernel sent for want of memory. Pure: what
its counter says, and when, is passed in.

The kernel only counts. A count that grew shortly before a worker was killed speaks for it, and each
such kill explains one death.
"""

from __future__ import annotations

from collections import deque

#: Seconds between two looks at the counter; and how many are kept. A process that had much memory
#: takes some seconds to end after the kernel has counted it.
LOOK_EVERY, LOOKS = 1.0, 10


class MemoryKills:
    def __init__(self) -> None:
        #: What was counted and is not explained yet, at each look.
        self._looks: deque[int] = deque(maxlen=LOOKS)
        self._explained = 0
        self._next = 0.0

    def due(self, now: float) -> bool:
        """Whether the counter is to be looked at again."""
        return now >= self._next

    def look(self, now: float, counted: int | None) -> None:
        """``counted`` is what the kernel says; None where it says nothing."""
        self._next = now + LOOK_EVERY
        if counted is not None:
            self._looks.append(counted - self._explained)

    def explains(self, counted: int | None) -> bool | None:
        """Whether the kernel counts a kill of late for which no death was found yet; None where it
        does not say. The death that is asked about is then that one."""
        if counted is None or not self._looks:
            return None
        if counted - self._explained <= min(self._looks):
            return False
        self._explained += 1
        open = counted - self._explained
        self._looks = deque((min(look, open) for look in self._looks), maxlen=LOOKS)
        return True
