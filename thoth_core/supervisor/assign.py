"""Who gets which work, and when. Pure: from the books to actions.

Calls that somebody waits for go to the store first; interactive units to the worker that is kept
for them; units that run alone to one that holds nothing else; bulk calls in turn, one unit each.
Where the two lanes share a worker, because the other is away, neither keeps the other waiting for
ever.
"""

from __future__ import annotations

from typing import Any

from thoth_core.ids import text_hash
from thoth_core.supervisor import suspects
from thoth_core.supervisor.board import Board, ToStore, ToWorker
from thoth_core.supervisor.pool import Worker
from thoth_core.supervisor.requests import WRITES, Call, Phase, Unit, staged
from thoth_core.supervisor.team import Team
from thoth_core.wire import Message

#: Units that may be with the store at once; and so many more that somebody waits for, so that a
#: store which is full of bulk work still gets a query.
HANDED_UNITS = 64
HANDED_QUERIES = 64
#: Units that somebody waits for which overtake bulk units in the workers of these; then one of the
#: bulk units goes first. So none waits for ever while a lane's own workers are away.
INTERACTIVE_IN_A_ROW = 16
#: Units that run alone one after the other in the only worker of a lane; then it takes one of the
#: units that wait for it. There may be suspected texts without end.
TRIALS_IN_A_ROW = 4


def pump(board: Board) -> None:
    """Give out all the work that there is room for."""
    _pump_store(board)
    if len(board.teams) > 1:
        # They share the store's room, so another one has the first choice each time.
        first = next(iter(board.teams))
        board.teams[first] = board.teams.pop(first)
    for team in board.teams.values():
        _pump_team(board, team)
    # A request whose last texts turned out to be in quarantine has a call for it now.
    _pump_store(board)


def _pump_team(board: Board, team: Team) -> None:
    if team.alone is None:
        # Which worker is kept for what runs alone, if any, is known before the others are filled.
        team.pool.host(bool(team.cases))
    _pump_interactive(board, team)
    _pump_suspects(board, team)
    while _pump_bulk(board, team):
        # It may have been what the others waited for.
        _pump_interactive(board, team)


def send_again(board: Board, unit: Unit) -> None:
    """Ask the worker that keeps the unit's vectors to hand them to the present store."""
    worker = unit.team.pool.workers.get(unit.slot)
    if worker is None or unit not in worker.kept:
        board.requeue(unit)
        return
    unit.attempt += 1
    unit.store = board.store.incarnation
    body = {
        "units": [[unit.id, unit.attempt]],
        "store": {"endpoint": board.store.endpoint, "incarnation": board.store.incarnation},
    }
    board.counters["units_resent"] += 1
    message = Message("resend", incarnation=worker.incarnation, body=body)
    board.out.append(ToWorker(worker.slot, worker.incarnation, message))


def _store_takes(board: Board, more: int = 0) -> bool:
    """Whether work whose vectors go to the store can begin."""
    return board.store.takes and len(board.handed) < HANDED_UNITS + more


def _pump_store(board: Board) -> None:
    while (call := board.store.next()) is not None:
        _send_call(board, call)


def _pump_interactive(board: Board, team: Team) -> None:
    while team.interactive and (worker := team.pool.for_interactive()) is not None:
        overtakes = team.pool.serves_bulk(worker) and team.bulk.has(store=_store_takes(board))
        if overtakes and team.overtook >= INTERACTIVE_IN_A_ROW:
            return
        unit = team.interactive.take(store=_store_takes(board, HANDED_QUERIES))
        if unit is None:
            return
        if _may_run(board, unit):
            team.overtook += int(overtakes)
            _send_unit(board, worker, unit)


def _pump_bulk(board: Board, team: Team) -> bool:
    """Take one bulk unit off its line; whether there was one, and a place for it."""
    worker = team.pool.for_bulk() if team.bulk else None
    unit = _next_bulk(board, team) if worker is not None else None
    if worker is None or unit is None:
        return False
    if _may_run(board, unit):
        team.overtook = 0
        _send_unit(board, worker, unit)
    return True


def _next_bulk(board: Board, team: Team) -> Unit | None:
    request = team.bulk.take(store=_store_takes(board))
    if request is None:
        return None
    unit = request.pending.popleft()
    if request.pending:
        board.take_turn(request)
    return unit


def _pump_suspects(board: Board, team: Team) -> None:
    if team.alone is not None:
        return
    host = team.pool.host(bool(team.cases))
    if host is None or _pump_between(board, team, host):
        return
    team.trials += 1
    unit = team.alone = suspects.next_trial(board, team, host, store=_store_takes(board))
    unit.alone = True
    _send_unit(board, host, unit)


def _pump_between(board: Board, team: Team, host: Worker) -> bool:
    """Whether the host takes a unit that waits for it, because it had so many that run alone."""
    while team.trials >= TRIALS_IN_A_ROW and (unit := _next_between(board, team, host)) is not None:
        if _may_run(board, unit):
            team.trials = 0
            _send_unit(board, host, unit)
            return True
    return False


def _next_between(board: Board, team: Team, host: Worker) -> Unit | None:
    """A unit off the line of a lane that has no other worker, by turns where that is both."""
    bulk = team.pool.is_only(host) and team.bulk.has(store=_store_takes(board))
    if team.pool.is_alone(host) and not (bulk and team.overtook):
        unit = team.interactive.take(store=_store_takes(board, HANDED_QUERIES))
        if unit is not None:
            team.overtook += int(bulk)
            return unit
    if not bulk:
        return None
    team.overtook = 0
    return _next_bulk(board, team)


def _may_run(board: Board, unit: Unit) -> bool:
    # Texts need no look but while one is suspected, or if the call came before the last verdict.
    if not unit.team.cases and unit.request.compared == board.verdicts:
        return True
    return suspects.may_run(board, unit)


def _send_unit(board: Board, worker: Worker, unit: Unit) -> None:
    request = unit.request
    unit.attempt += 1
    unit.phase, unit.slot, unit.store = Phase.EMBEDDING, worker.slot, ""
    if not worker.units:
        # It has not been late with anything till now, and the last look may be a while ago.
        worker.moved = None
    worker.units.append(unit)
    texts = request.body["texts"]
    body: dict[str, Any] = {
        "texts": [texts[i] for i in unit.items],
        "purpose": "query" if request.kind == "query" else request.body.get("purpose"),
    }
    if request.needs_store:
        unit.store = board.store.incarnation
        body["store"] = {
            "endpoint": board.store.endpoint,
            "incarnation": board.store.incarnation,
            "kind": "search" if request.kind == "query" else "upsert",
            "body": _for_store(board, unit),
        }
    board.counters["units_sent"] += 1
    message = Message("unit", unit.id, unit.attempt, worker.incarnation, body=body)
    board.out.append(ToWorker(worker.slot, worker.incarnation, message))


def _for_store(board: Board, unit: Unit) -> dict[str, Any]:
    given = unit.request.body
    if unit.request.kind == "query":
        names = ("collection", "k", "where", "where_document", "source", "since", "include")
        return {"model": unit.team.model} | {n: given[n] for n in names if n in given}
    metadatas = given.get("metadatas")
    return {
        "collection": given["collection"],
        "ids": [given["ids"][i] for i in unit.items],
        "metadatas": [metadatas[i] if metadatas else None for i in unit.items],
        "hashes": [text_hash(given["texts"][i]) for i in unit.items],
        "number": board.number(unit.request),
        "model": unit.team.model,
    } | staged(given)


def _send_call(board: Board, call: Call) -> None:
    body = call.body
    if call.kind in WRITES or call.kind == "have":
        body = body | {"number": board.number(call.request), "request": call.request.id}
    if call.kind in ("upsert", "create_collection"):
        # The caller's own vectors are nobody's model's.
        body = {"model": None} | body
    store = board.store.incarnation
    message = Message(call.kind, call.id, call.attempt, store, body=body, buffers=call.buffers)
    board.out.append(ToStore(store, message))
