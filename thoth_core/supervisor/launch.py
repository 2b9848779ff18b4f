"""What whoever started the service is told until it works, or is known never to."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from typing import Any

from thoth_core.errors import ThothError, WorkerFailed
from thoth_core.supervisor.crew import Crew

#: Seconds between signs of life to whoever waits for the start.
WORD_EVERY = 5.0

Announce = Callable[[Mapping[str, Any]], None]


class Launch:
    """``over`` once the last word was said: ``ready`` or ``error``."""

    def __init__(self, announce: Announce, started: float) -> None:
        self.over = False
        self._announce = announce
        self._started = self._last_word = started
        self._told: set[str] = set()
        self._log = logging.getLogger("thoth.supervisor")

    def begin(self) -> None:
        self._announce({"event": "starting", "message": "starting the workers"})

    def watch(self, now: float, crew: Crew) -> ThothError | None:
        """Say how far it is; what keeps the service from ever working, if something does."""
        if crew.working:
            self.over = True
            self._log.info("ready after %.1f s", now - self._started)
            self._announce({"event": "ready", "pid": os.getpid()})
            return None
        problem = crew.store_problem() or crew.embed_problem()
        if problem is not None:
            self._log.error("the service cannot start: %s", problem)
            self.failed(problem)
            return problem
        for beat in crew.beats.values():
            doing = str(beat.get("doing") or "")
            if doing and doing not in self._told:
                self._told.add(doing)
                self._announce({"event": "note", "message": doing})
        if now - self._last_word >= WORD_EVERY:
            # A large model may load for minutes.
            self._last_word = now
            self._announce({"event": "waiting"})
        return None

    def ended(self) -> None:
        """The service ends; whoever still waits for it is told so."""
        if not self.over:
            self.failed(WorkerFailed("the service was stopped before it was ready"))

    def failed(self, problem: ThothError) -> None:
        """The last word: why the service does not work, or not any more."""
        self.over = True
        self._announce({"event": "error", "error": problem.to_dict()})
