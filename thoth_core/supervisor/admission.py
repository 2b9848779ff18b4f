"""Which requests are taken, and which refused at once. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thoth_core.errors import Overloaded, ServiceStopping, ThothError
from thoth_core.supervisor.board import Board
from thoth_core.supervisor.requests import MODELLED, Request, check, check_model, is_interactive
from thoth_core.wire import Message

if TYPE_CHECKING:
    from thoth_core.supervisor.dispatch import Limits


class Admission:
    """``draining``: nothing new is taken. ``no_embed`` and ``no_store``: why no embed worker, or no
    store, can be had at all."""

    def __init__(self, board: Board, limits: Limits) -> None:
        self.draining = False
        self.no_embed: ThothError | None = None
        self.no_store: ThothError | None = None
        self._board = board
        self._limits = limits
        self._number = 0

    def admit(self, now: float, client: bytes, message: Message, size: int) -> Request:
        """The request, not yet on the books; raises why it is refused. ``size`` is in bytes."""
        board = self._board
        errors = check(message, self._limits.max_text_chars)
        if self.draining:
            raise ServiceStopping("the service is stopping and takes nothing new")
        problem = self.impossible(message.kind)
        if problem is not None:
            raise problem
        check_model(message.body, board.model)
        if board.requests and (
            board.bytes + size > self._limits.queue_bytes
            or len(board.requests) >= self._limits.queue_requests
        ):
            board.counters["requests_overloaded"] += 1
            raise Overloaded(
                f"the queue holds {len(board.requests)} calls of {board.bytes:,} bytes",
                retry_after=0.5,
            )
        self._number += 1
        request = Request(
            id=message.id,
            client=client,
            kind=message.kind,
            body=message.body,
            buffers=message.buffers,
            size=size,
            interactive=is_interactive(message),
            number=self._number,
            progressed=now,
            deadline=None if message.deadline is None else now + message.deadline,
            attempt=message.attempt,
        )
        request.errors = errors
        request.left = request.total - len(errors)
        return request

    def impossible(self, kind: str) -> ThothError | None:
        """What keeps a request of that kind from being carried out at all."""
        if kind in MODELLED and self.no_embed is not None:
            return self.no_embed
        return self.no_store if kind != "embed" else None
