"""What a call consists of: wire requests, and the plan that joins their answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from thoth_core.ids import new_request_id
from thoth_core.wire import Buffer, Message

T = TypeVar("T")

#: Wire requests of one call that are under way at once.
WINDOW = 4


@dataclass(frozen=True, slots=True)
class Request:
    """One wire request. Its id is made once and stays the same however often it is sent, so that
    the service can answer a repetition with the outcome it remembers.

    ``on_progress`` is told items that are done, all of them, and tokens that were used.
    ``on_part`` and ``on_progress`` run in the connection's thread. They must be quick, and
    ``on_part`` must bear to be given the same part again: a request that is repeated after a
    lost connection starts from its beginning.
    """

    kind: str
    body: Mapping[str, Any] = field(default_factory=dict)
    buffers: tuple[Buffer, ...] = ()
    on_part: Callable[[Message], None] | None = None
    on_progress: Callable[[int, int, int], None] | None = None
    id: str = field(default_factory=new_request_id)

    def message(self, deadline: float | None, attempt: int = 0) -> Message:
        """The message to send; ``deadline`` is what is left of it, in seconds. ``attempt`` counts
        the connections that were lost under it, so that of two messages the later one is known."""
        return Message(
            self.kind,
            self.id,
            attempt,
            deadline=deadline,
            body=self.body,
            buffers=self.buffers,
        )


@dataclass(slots=True)
class Plan(Generic[T]):
    """A call: its wire requests, at most ``window`` of them under way, and how the answers (in
    the order of the requests) become the value.

    ``requests`` is pulled lazily. With ``window=1`` it may look at ``answers`` to decide what
    comes next, which is how a long listing is read page by page.
    """

    requests: Iterator[Request]
    combine: Callable[[list[Message]], T]
    window: int = WINDOW
    answers: list[Message | None] = field(default_factory=list)


def single(request: Request, combine: Callable[[Message], T]) -> Plan[T]:
    """The plan of a call that is one wire request."""
    return Plan(iter([request]), lambda answers: combine(answers[0]), window=1)
