"""A plan under way: its future, and which of its wire requests are open. Belongs to the
connection's thread, apart from the future."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from typing import Any

from thoth_core.client.requests import Plan, Request
from thoth_core.errors import ThothError
from thoth_core.wire import Message

log = logging.getLogger("thoth.client")

Answers = list[Message]


class Job:
    """``deadline`` is an instant of the connection's clock, or None."""

    def __init__(self, plan: Plan[Any], deadline: float | None) -> None:
        self.plan = plan
        self.deadline = deadline
        self.future: Future[Answers] = Future()
        self._exhausted = False
        self._open = 0

    @property
    def finished(self) -> bool:
        return self.future.done()

    def next_request(self) -> tuple[int, Request] | None:
        """The next wire request with its position, if the window has room for one."""
        if self._exhausted or self._open >= self.plan.window or self.future.done():
            return None
        try:
            request = next(self.plan.requests)
        except StopIteration:
            self._exhausted = True
            return None
        self.plan.answers.append(None)
        self._open += 1
        return len(self.plan.answers) - 1, request

    def answered(self, position: int, message: Message) -> None:
        self.plan.answers[position] = message
        self._open -= 1

    def settle(self) -> None:
        """Complete the future if every request has been made and answered."""
        if self._exhausted and self._open == 0:
            answers = [a for a in self.plan.answers if a is not None]
            # A caller may cancel at any moment, between a look and the act.
            with contextlib.suppress(InvalidStateError):
                self.future.set_result(answers)

    def fail(self, error: BaseException) -> None:
        with contextlib.suppress(InvalidStateError):
            self.future.set_exception(error)


def call_back(callback: Callable[..., None], *args: Any) -> ThothError | None:
    """Run a callback of a request. What it raises must not end the connection's thread: a typed
    error is handed back, anything else is logged."""
    try:
        callback(*args)
    except ThothError as error:
        return error
    except Exception:
        log.exception("a callback of a call raised an error")
    return None
