"""How long something computes, whatever else the machine does."""

from __future__ import annotations

import time
from collections.abc import Callable


def own_seconds(call: Callable[[], object], times: int = 3) -> float:
    """Seconds of this thread's own; the least of several, because what runs beside it on the same
    core makes it slower all the same."""
    taken = []
    for _ in range(times):
        begun = time.thread_time()
        call()
        taken.append(time.thread_time() - begun)
    return min(taken)
