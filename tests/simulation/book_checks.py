"""The books of dispatch, compared now and then with what was really sent and answered: everything
open is somewhere from where it can go on, and all credit is somebody's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation.world import Violation
from thoth_core.supervisor.board import Board
from thoth_core.supervisor.requests import Call, Phase, Unit

if TYPE_CHECKING:
    from tests.simulation.work_checks import Holder


def compare(board: Board, holders: dict[str, Holder], stored: set[tuple[str, int]]) -> None:
    """``stored`` are the units, with their attempts, that the present store has answered."""
    for worker in board.workers():
        holder = holders.get(worker.incarnation)
        if holder is None:
            raise Violation(f"{worker.slot} is on the books, and not ready")
        have = {unit.id for unit in worker.units}
        if have != set(holder.has):
            raise Violation(f"{worker.slot} has {set(holder.has)}, and the books say {have}")
    store = holders.get(board.store.incarnation)
    if store is not None:
        if set(board.store._sent) != set(store.has):
            raise Violation(f"the store has {list(store.has)}, the books {list(board.store._sent)}")
        if board.store._bytes != sum(sent.size for sent in store.has.values()):
            raise Violation("the store's credit in bytes does not add up")
    for unit in board.units.values():
        _unit(board, unit, stored)
    for request in board.requests.values():
        for call in request.calls:
            _call(board, call)
        if not request.units and not request.calls and request.team.model is not None:
            raise Violation(f"nothing is done for {request.kind} {request.id}")


def _unit(board: Board, unit: Unit, stored: set[tuple[str, int]]) -> None:
    request, worker = unit.request, unit.team.pool.workers.get(unit.slot)
    if unit.phase is Phase.QUEUED:
        fine = bool(unit.cases) or request.own
        if request.interactive:
            fine = fine or unit in unit.team.interactive
        else:
            fine = fine or (unit in request.pending and request in unit.team.bulk)
    elif unit.phase is Phase.EMBEDDING:
        fine = worker is not None and unit in worker.units
    else:
        there = worker is not None and unit in worker.kept and unit in board.handed
        present = not board.store.up or unit.store == board.store.incarnation
        fine = there and present and (unit.id, unit.attempt) not in stored
    if not fine:
        raise Violation(f"{unit.id} of {request.kind} {request.id} is {unit.phase.value}, and lost")


def _call(board: Board, call: Call) -> None:
    line = board.store._urgent if call.urgent else board.store._rest
    if call.id not in board.store._sent and call not in line:
        raise Violation(f"the call {call.id} of {call.request.id} is lost")
