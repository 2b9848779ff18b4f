"""How many texts the next call of an ingest takes. Pure: instants are passed in.

Large calls let batches be of near-equal lengths. But a file is stored when its last call is
answered, so where texts take long the calls must be small, or nothing would be stored for minutes.
"""

from __future__ import annotations

from collections import deque

#: Texts of the first calls, and of any at least.
FIRST = 64
#: Seconds in which the texts of one call should be done, were it alone.
SECONDS = 2.0
#: Answers that the rate is taken from.
_ANSWERS = 8


class PackSizes:
    """``texts`` is how many the next call may take; it grows twofold at most with each answer."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.texts = min(FIRST, most)
        self._answers: deque[tuple[float, int]] = deque(maxlen=_ANSWERS)

    def begun(self, now: float) -> None:
        """A call is sent while none is under way: what was waited for until then was not it."""
        self._answers.clear()
        self._answers.append((now, 0))

    def answered(self, texts: int, now: float) -> None:
        """A call with so many texts was answered."""
        self._answers.append((now, texts))
        seconds = now - self._answers[0][0]
        done = sum(n for _, n in self._answers) - self._answers[0][1]
        wanted = self._most if seconds <= 0 else int(min(done / seconds * SECONDS, self._most))
        self.texts = max(min(FIRST, self._most), min(wanted, 2 * self.texts))
