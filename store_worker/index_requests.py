"""Who waits for the index to be verified or compacted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from store_worker.index_child import Reply
from thoth_core.errors import StorageError, ThothError, from_dict

Report = dict[str, Any]
Answer = Callable[[Report], None]


class IndexRequests:
    """All who wait for the same are told the same, once."""

    def __init__(self) -> None:
        self._verifies: list[Answer] = []
        #: What the comparison found, until a sample was searched as well.
        self._verdict: Report | None = None
        self._compacts: list[Answer] = []

    # -- verify -------------------------------------------------------------------------------

    def want_verdict(self, answer: Answer) -> None:
        self._verifies.append(answer)

    @property
    def to_verify(self) -> bool:
        """Whether somebody waits for a comparison that is still to be made."""
        return bool(self._verifies) and self._verdict is None

    @property
    def verdict_wanted(self) -> bool:
        return bool(self._verifies)

    def compared(self, told: Report) -> None:
        """The files and rows were looked at; a sample is searched next."""
        self._verdict = told

    def searched(self, asked: int, found: int, state: str) -> None:
        """A sample was searched: who waits is told."""
        if self._verdict is not None:
            self.tell_verdict({**self._verdict, "asked": asked, "found": found}, state)

    def tell_verdict(self, told: Report, state: str) -> None:
        self._verdict = None
        _tell(self._verifies, {**told, "index_state": state})

    def not_verified(self, problem: ThothError) -> None:
        """End the wait: it could not be looked at."""
        self._verdict = None
        _tell(self._verifies, {"problem": problem})

    # -- compact ------------------------------------------------------------------------------

    def want_room(self, answer: Answer) -> None:
        self._compacts.append(answer)

    @property
    def to_compact(self) -> bool:
        return bool(self._compacts)

    def compacted(self, body: Report) -> None:
        _tell(self._compacts, body)

    def not_compacted(self, cause: str | Reply | ThothError) -> None:
        """End the wait, with what the index process said if it said something."""
        if isinstance(cause, Reply):
            cause = typed(cause)
        if isinstance(cause, str):
            cause = StorageError(
                "the index was not compacted",
                cause=cause,
                fix="thoth-supervisor status; thoth compact",
            )
        _tell(self._compacts, {"problem": cause})


def _tell(waiting: list[Answer], told: Report) -> None:
    answers, waiting[:] = list(waiting), []
    for answer in answers:
        answer(told)


def typed(reply: Reply) -> ThothError:
    """The error that the index process answered with."""
    problem = reply.body.get("problem")
    if isinstance(problem, Mapping):
        return from_dict(problem)
    return StorageError("the index could not carry this out", cause=str(reply.body.get("message")))
