"""The embed worker's loop for an engine that waits for others: several units at once.

A thread for each unit waits for the engine; the main thread alone hears, answers and keeps, as in
:mod:`embed_worker.service`, so that nothing in it is shared.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from embed_worker.careful import embed_carefully
from embed_worker.engines.base import Embedded
from embed_worker.service import EmbedService, Ended, check_unit, given_up
from thoth_core.errors import ThothError
from thoth_core.wire import Message


@dataclass(slots=True, eq=False)
class _Running:
    unit: Message
    cancelled: bool = False


#: The texts of a unit and their vectors, the error of all of it, None for one that was given up, or
#: a defect of the worker.
_Outcome = tuple[list[Any], Embedded] | BaseException | None


class SeveralUnits(EmbedService):
    """Dispatch gives as many units as the engine announced; each is begun when it comes."""

    def __init__(self, *args: Any, **kw: Any) -> None:
        super().__init__(*args, **kw)
        credit = self._engine.info.credit
        self._threads = ThreadPoolExecutor(credit.units + credit.spare, "unit")
        self._at_once: dict[str, _Running] = {}
        self._outcomes: deque[tuple[_Running, _Outcome]] = deque()

    @property
    def _at_work(self) -> bool:
        return bool(self._at_once)

    def run(self) -> None:
        """As :meth:`EmbedService.run`."""
        while True:
            self._read(None if not self._outcomes and not self._waiting else 0)
            if self._channel.stopping == "stop":
                # The process ends, and what waits in a thread with it.
                self._threads.shutdown(wait=False, cancel_futures=True)
                return
            while self._outcomes:
                self._ended(*self._outcomes.popleft())
            while self._waiting:
                self._begin(self._waiting.popleft())
            self._channel.busy = bool(self._at_once)
            if self._channel.stopping and not (self._at_once or self._kept or self._outcomes):
                return

    def _give_up(self, unit: str) -> None:
        if unit in self._at_once:
            self._at_once[unit].cancelled = True

    def _begin(self, unit: Message) -> None:
        running = self._at_once[unit.id] = _Running(unit)
        self._channel.send(Message("started", unit.id, unit.attempt))
        self._threads.submit(self._embed, running)

    def _ended(self, running: _Running, outcome: _Outcome) -> None:
        unit = running.unit
        if self._at_once.get(unit.id) is running:
            del self._at_once[unit.id]
        if running.cancelled or outcome is None:
            self._refuse(unit, given_up())
        elif isinstance(outcome, ThothError):
            self._refuse(unit, outcome)
        elif isinstance(outcome, BaseException):
            raise outcome
        else:
            self._hand_over(unit, *outcome)

    def _hand_over(self, unit: Message, texts: list[Any], done: Embedded) -> None:
        try:
            self._answer(unit, texts, done)
        except ThothError as problem:
            self._refuse(unit, problem)

    # -- in a thread of the unit --------------------------------------------------------------

    def _embed(self, running: _Running) -> None:
        def progress() -> None:
            self._channel.progress()
            if running.cancelled or self._channel.stopping == "stop":
                raise Ended

        outcome: _Outcome
        try:
            texts, purpose = check_unit(running.unit)
            done = embed_carefully(self._engine, texts, purpose, progress, self._channel.log)
            outcome = (texts, done)
        except Ended:
            outcome = None
        except BaseException as problem:
            outcome = problem
        self._outcomes.append((running, outcome))
        self._channel.nudge()
