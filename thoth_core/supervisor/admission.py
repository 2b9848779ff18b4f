"""Which requests are taken, and which refused at once. Pure."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from thoth_core.errors import ModelNotRunning, Overloaded, ServiceStopping, ThothError
from thoth_core.supervisor.board import Board
from thoth_core.supervisor.refused_line import RefusedLine
from thoth_core.supervisor.requests import MODELLED, Request, asked_model, check, is_interactive
from thoth_core.supervisor.team import Team
from thoth_core.wire import Message

if TYPE_CHECKING:
    from thoth_core.supervisor.dispatch import Limits


class Admission:
    """``draining``: nothing new is taken. ``no_store``: why no store can be had at all."""

    def __init__(self, board: Board, limits: Limits) -> None:
        self.draining = False
        self.no_store: ThothError | None = None
        self._board = board
        self._limits = limits
        self._number = 0
        self._line = RefusedLine()

    def admit(self, now: float, client: bytes, message: Message, size: int) -> Request:
        """The request, not yet on the books; raises why it is refused. ``size`` is in bytes."""
        board = self._board
        errors = check(message, self._limits.max_text_chars)
        if self.draining:
            raise ServiceStopping("the service is stopping and takes nothing new")
        team = self._team(message)
        problem = self.impossible(message.kind, team)
        if problem is not None:
            raise problem
        interactive = is_interactive(message)
        if not self._fits(now, message.id, size, interactive=interactive):
            board.counters["requests_overloaded"] += 1
            self._line.refused(now, message.id, size)
            raise Overloaded(
                f"the queue holds {len(board.requests)} calls of {board.bytes:,} bytes",
                retry_after=0.5,
            )
        self._line.admitted(message.id)
        self._number += 1
        request = Request(
            id=message.id,
            client=client,
            kind=message.kind,
            body=message.body,
            buffers=message.buffers,
            size=size,
            interactive=interactive,
            number=self._number,
            progressed=now,
            deadline=None if message.deadline is None else now + message.deadline,
            team=team,
            attempt=message.attempt,
        )
        request.errors, request.refused = errors, tuple(errors)
        request.left = request.total - len(errors)
        return request

    def _fits(self, now: float, id: str, size: int, *, interactive: bool) -> bool:
        board, limits = self._board, self._limits
        if not board.requests:
            return True
        count = limits.queue_requests - len(board.requests) - 1
        room = limits.queue_bytes - board.bytes - size
        if size > limits.queue_bytes >= board.bytes and all(
            r.interactive for r in board.requests.values()
        ):
            # It never fits. It has its turn when nothing else is open that is not small, and alone.
            room = 0
        if count < 0 or room < 0:
            return False
        # What somebody waits for is small, and passes the others here as it does later.
        return interactive or self._line.leaves(now, id, count, room)

    def impossible(self, kind: str, team: Team) -> ThothError | None:
        """What keeps a request of that kind from being carried out at all."""
        if kind in MODELLED and team.problem is not None:
            return team.problem
        return self.no_store if kind != "embed" else None

    def _team(self, message: Message) -> Team:
        """Whose the request is; one that is not there yet is made once all else is well."""
        board, wanted = self._board, asked_model(message.body)
        if message.kind not in MODELLED or not wanted:
            return board.own
        if not (self._limits.other_models or board.own.is_called(wanted)):
            raise ModelNotRunning(
                f"the service runs {board.own.shown_name}, the call asks for {wanted}",
                cause="THOTH_MODELS_MEMORY_MB=0 leaves no memory for other models",
                fix="raise THOTH_MODELS_MEMORY_MB and restart the service, or: "
                f"thoth-supervisor stop --if-running; RAG_EMBEDDING_MODEL={shlex.quote(wanted)} "
                "thoth-supervisor start",
            )
        return board.team(wanted)
