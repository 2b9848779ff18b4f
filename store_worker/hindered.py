"""Something that is tried again and again, and said once a minute."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from thoth_core.errors import ThothError

#: Seconds between two lines in the log about the same: a disk stays full for hours.
SAY_SECONDS = 60.0


class Hindered:
    """``clock`` is monotonic."""

    def __init__(self, log: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        #: What hinders now; None if nothing does.
        self.problem: ThothError | None = None
        self._log = log
        self._clock = clock
        self._said, self._said_at = "", float("-inf")

    def said(self, line: str, problem: ThothError) -> None:
        """It was tried, and ``problem`` is why nothing came of it; ``line`` has a %s for that."""
        now = self._clock()
        if line != self._said or now >= self._said_at + SAY_SECONDS:
            self._said, self._said_at = line, now
            self._log.warning(line, problem)
        self.problem = problem

    def over(self) -> None:
        """It went well, or is tried anew."""
        self.problem = None
