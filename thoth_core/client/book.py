"""The table of open wire requests of one connection. Pure: time and chance are passed in.

It decides what is sent next, what waits how long after ``overloaded``, what has run out of time,
and what is sent again when the connection was lost.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from thoth_core.client.requests import Request
from thoth_core.errors import (
    DeadlineExceeded,
    Overloaded,
    ServiceStopping,
    ServiceUnavailable,
    ThothError,
)

Owner = TypeVar("Owner")

#: Seconds that a call without a deadline goes on asking a service whose queue is full.
OVERLOAD_PATIENCE = 60.0
#: Bounds of one pause after ``overloaded``, in seconds.
SHORTEST_PAUSE, LONGEST_PAUSE = 0.02, 5.0
#: Seconds that a request waits for a stopping service to end, so that its successor takes it.
STOPPING_PATIENCE = 60.0
#: Seconds without any message for a request, and without a pong, after which it is given up.
REQUEST_SILENCE, PONG_SILENCE = 90.0, 15.0
#: Connections that may be lost under one request before it is given up.
MAX_LOSSES = 5


class State(Enum):
    QUEUED = "queued"
    SENT = "sent"
    #: Refused for now; sent again at ``until``.
    PAUSED = "paused"
    #: The service is stopping; waits for the connection to end.
    PARKED = "parked"


@dataclass(slots=True, eq=False)
class Entry(Generic[Owner]):
    request: Request
    owner: Owner
    position: int
    deadline: float | None
    state: State = State.QUEUED
    until: float = math.inf
    heard: float = 0.0
    refused_since: float | None = None
    refusals: int = 0
    losses: int = 0


class Book(Generic[Owner]):
    """Open requests by id, oldest first. ``chance`` gives numbers in [0, 1)."""

    def __init__(self, chance: Callable[[], float]) -> None:
        self._chance = chance
        self._entries: dict[str, Entry[Owner]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry[Owner]]:
        return iter(list(self._entries.values()))

    def get(self, id: str) -> Entry[Owner] | None:
        return self._entries.get(id)

    def add(self, entry: Entry[Owner]) -> None:
        self._entries[entry.request.id] = entry

    def remove(self, entry: Entry[Owner]) -> None:
        self._entries.pop(entry.request.id, None)

    def of(self, owner: Owner) -> list[Entry[Owner]]:
        return [e for e in self._entries.values() if e.owner is owner]

    def queued(self) -> list[Entry[Owner]]:
        return [e for e in self._entries.values() if e.state is State.QUEUED]

    def waiting_for_answers(self) -> bool:
        return any(e.state is State.SENT for e in self._entries.values())

    def sent(self, entry: Entry[Owner], now: float) -> None:
        entry.state, entry.heard, entry.until = State.SENT, now, math.inf

    def heard(self, entry: Entry[Owner], now: float) -> None:
        """Something came for this request: it is accepted, and refusals count anew."""
        entry.heard, entry.refused_since, entry.refusals = now, None, 0

    def refuse(
        self, entry: Entry[Owner], error: ThothError, now: float, *, successor: bool
    ) -> bool:
        """True if the request is kept and will be sent again, after ``Overloaded`` or, where
        ``successor`` says that a new service would be started, after ``ServiceStopping``."""
        if isinstance(error, Overloaded):
            since = entry.refused_since if entry.refused_since is not None else now
            pause = self._pause(error, entry.refusals)
            end = since + OVERLOAD_PATIENCE if entry.deadline is None else entry.deadline
            if now + pause >= end:
                return False
            entry.refused_since, entry.refusals = since, entry.refusals + 1
            entry.state, entry.until = State.PAUSED, now + pause
            return True
        if isinstance(error, ServiceStopping) and successor:
            entry.state, entry.until = State.PARKED, now + STOPPING_PATIENCE
            return True
        return False

    def _pause(self, error: Overloaded, refusals: int) -> float:
        asked = max(error.retry_after, SHORTEST_PAUSE) * 2 ** min(refusals, 4)
        return float(min(asked * (0.5 + self._chance()), LONGEST_PAUSE))

    def lost(self) -> list[tuple[Entry[Owner], ThothError]]:
        """The connection is gone: what was sent is queued again; returns what is given up."""
        given_up: list[tuple[Entry[Owner], ThothError]] = []
        for entry in self:
            if entry.state is State.SENT:
                entry.losses += 1
            if entry.state in (State.SENT, State.PARKED):
                entry.state, entry.until = State.QUEUED, math.inf
            if entry.losses >= MAX_LOSSES:
                given_up.append((entry, _lost_too_often(entry.losses)))
        return given_up

    def due(self, now: float, pong: float) -> list[tuple[Entry[Owner], ThothError]]:
        """Ends pauses; returns what has run out of time. ``pong`` is when the last one came."""
        out: list[tuple[Entry[Owner], ThothError]] = []
        for entry in self:
            if entry.deadline is not None and now >= entry.deadline:
                out.append((entry, DeadlineExceeded("the deadline of the call has passed")))
            elif entry.state is State.PAUSED and now >= entry.until:
                entry.state, entry.until = State.QUEUED, math.inf
            elif entry.state is State.PARKED and now >= entry.until:
                out.append((entry, _still_stopping()))
            elif (
                entry.state is State.SENT
                and now - entry.heard >= REQUEST_SILENCE
                and now - pong >= PONG_SILENCE
            ):
                out.append((entry, _silent()))
        return out

    def next_time(self) -> float:
        """When :meth:`due` has to be asked again; infinity if never."""
        times = [math.inf]
        for entry in self._entries.values():
            if entry.deadline is not None:
                times.append(entry.deadline)
            times.append(entry.until)
            if entry.state is State.SENT:
                times.append(entry.heard + REQUEST_SILENCE)
        return min(times)

    def shift(self, seconds: float) -> None:
        """This process stood still for ``seconds``: silence is not held against the service."""
        for entry in self._entries.values():
            entry.heard += seconds


def _lost_too_often(losses: int) -> ServiceUnavailable:
    return ServiceUnavailable(
        f"the connection to the service was lost {losses} times during this call",
        cause="the supervisor ends, or cuts the connection, whenever it gets this request",
        fix="thoth-supervisor logs",
    )


def _still_stopping() -> ServiceStopping:
    return ServiceStopping(
        f"the service is stopping and has not ended in {STOPPING_PATIENCE:.0f} s",
        fix="thoth-supervisor status",
    )


def _silent() -> ServiceUnavailable:
    return ServiceUnavailable(
        f"the service said nothing about this request for {REQUEST_SILENCE:.0f} s",
        fix="thoth-supervisor status",
    )
