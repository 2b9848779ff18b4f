"""How fast work goes on, and how long the rest takes at that. Pure: instants are passed in."""

from __future__ import annotations

from collections import deque

#: Seconds that the rate is taken over, and after which there is one.
WINDOW, SOONEST = 30.0, 2.0
#: Looks that are kept of a window.
_LOOKS = 120


class Rate:
    """What was done by when, as far as the window goes back. The amounts only grow."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, float]] = deque()

    def note(self, done: float, now: float) -> None:
        """So much was done in all by ``now``."""
        looks = self._looks
        while len(looks) > 1 and now - looks[1][0] >= WINDOW:
            looks.popleft()
        if len(looks) > 1 and looks[-1][0] - looks[-2][0] < WINDOW / _LOOKS:
            looks[-1] = (now, done)
        else:
            looks.append((now, done))

    @property
    def per_second(self) -> float:
        """0.0 until it is known."""
        if len(self._looks) < 2:
            return 0.0
        (then, before), (now, done) = self._looks[0], self._looks[-1]
        return (done - before) / (now - then) if now - then >= SOONEST else 0.0

    def seconds_left(self, total: float) -> float | None:
        """Until ``total`` is done; None while nobody can tell."""
        rate = self.per_second
        return max(0.0, total - self._looks[-1][1]) / rate if rate > 0 else None
