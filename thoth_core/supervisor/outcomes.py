"""What an answer from a worker or from the store means for its request. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from thoth_core.errors import (
    AuthenticationFailed,
    ModelNotFound,
    ProviderUnavailable,
    QuotaExceeded,
    SettingsError,
    ThothError,
    from_dict,
)
from thoth_core.supervisor.assign import send_again
from thoth_core.supervisor.begin import follow
from thoth_core.supervisor.board import Board, ToClient
from thoth_core.supervisor.endings import finish_query, finish_texts, give_up, open_items, settle
from thoth_core.supervisor.pool import Worker
from thoth_core.supervisor.requests import Call, Phase, Request, Unit
from thoth_core.wire import Message

#: A unit that its worker refuses for a passing reason is tried so often.
REFUSALS = 3
#: What a worker refuses a unit with that would be said of any other as well.
OF_THE_PROVIDER = (
    AuthenticationFailed,
    QuotaExceeded,
    ProviderUnavailable,
    ModelNotFound,
    SettingsError,
)
#: Those of them that hold for every request to it.
OF_THE_ACCOUNT = (AuthenticationFailed, QuotaExceeded)


# -- from embed workers ---------------------------------------------------------------------------


def unit_refused(board: Board, unit: Unit, problem: ThothError) -> None:
    """The worker answered the whole unit with an error."""
    if unit.request.own:
        board.drop_unit(unit)
        return
    if problem.retryable and unit.attempt < REFUSALS:
        board.requeue(unit)
        return
    if isinstance(problem, OF_THE_PROVIDER):
        # About no text: the others would be answered so too.
        _provider_refused(board, unit, problem)
        return
    _count_errors(unit, [(position, problem.to_dict()) for position in range(len(unit.items))])
    _close_unit(board, unit)


def _provider_refused(board: Board, unit: Unit, problem: ThothError) -> None:
    request = unit.request
    if request.kind != "add":
        board.fail(request, problem)
        return
    board.drop_unit(unit)
    give_up(board, request, problem)
    if isinstance(problem, OF_THE_ACCOUNT):
        for other in [each for each in board.requests.values() if each.team is request.team]:
            if other.kind == "add" and not other.own and other.units:
                give_up(board, other, problem)


def unit_done(board: Board, unit: Unit, message: Message) -> None:
    """Vectors of an ``embed`` came: pass them on as they are."""
    if unit.request.own:
        board.drop_unit(unit)
        return
    request, body = unit.request, message.body
    indices = _positions(body.get("indices"), len(unit.items))
    _count(request, body)
    _count_errors(unit, _pairs(body.get("errors")))
    request.embedded += len(indices)
    board.counters["texts_embedded"] += len(indices)
    if indices:
        part = {
            "indices": [unit.items[i] for i in indices],
            "windowed": body.get("windowed", 0),
            "tokens": body.get("tokens", 0),
        }
        board.out.append(
            ToClient(
                request.client,
                Message("part", request.id, body=part, buffers=message.buffers),
            )
        )
    _close_unit(board, unit)


def unit_handed(board: Board, worker: Worker, unit: Unit, message: Message) -> None:
    """The vectors are on their way to the store, and kept by the worker."""
    body = message.body
    unit.indices = _positions(body.get("indices"), len(unit.items))
    _count(unit.request, body)
    _count_errors(unit, _pairs(body.get("errors")))
    if not unit.indices:
        if unit.request.kind == "query":
            finish_query(board, unit.request, {"hits": []}, ())
        else:
            _close_unit(board, unit)
        return
    unit.phase = Phase.HANDED
    worker.kept.add(unit)
    board.handed.add(unit)
    if unit.early is not None:
        unit_stored(board, unit, unit.early)
    elif board.store.up and unit.store != board.store.incarnation:
        # The store that it was sent to is gone.
        send_again(board, unit)


# -- from the store -------------------------------------------------------------------------------


def unit_stored(board: Board, unit: Unit, message: Message) -> None:
    """The store answered a handed unit."""
    request = unit.request
    if message.kind == "error":
        _refused(board, request, from_dict(message.body))
        return
    if request.kind == "query":
        finish_query(board, request, message.body, message.buffers, unit.indices)
        return
    rows = unit.indices
    for row in _positions(message.body.get("superseded"), len(rows)):
        request.superseded.append(unit.items[rows[row]])
    request.embedded += len(rows)
    board.counters["texts_embedded"] += len(rows)
    _close_unit(board, unit)
    if request.id in board.requests:
        done = request.total - request.left
        body = {"done": done, "total": request.total, "tokens": request.tokens}
        progress = Message("progress", request.id, body=body)
        board.out.append(ToClient(request.client, progress))


def call_answered(board: Board, call: Call, message: Message) -> None:
    """The store answered a call of ours."""
    request = call.request
    if message.kind == "error":
        _refused(board, request, from_dict(message.body))
    elif call.kind == "have":
        _looked_up(board, request, message.body)
    elif call.kind == "remember":
        board.finish(request, call.body["outcome"])
    else:
        board.finish(request, message.body, message.buffers)


def _refused(board: Board, request: Request, problem: ThothError) -> None:
    if not follow(board, request, problem):
        board.fail(request, problem)


def _looked_up(board: Board, request: Request, body: Mapping[str, Any]) -> None:
    outcome = body.get("outcome")
    if isinstance(outcome, Mapping):
        board.finish(request, outcome)
        return
    items = open_items(request)
    known = {
        name: [items[i] for i in _positions(body.get(name), len(items))]
        for name in ("unchanged", "superseded", "reused", "missing")
    }
    request.unchanged += len(known["unchanged"])
    request.reused += len(known["reused"])
    request.superseded += known["superseded"]
    request.left = len(known["missing"])
    if known["missing"]:
        board.make_units(request, known["missing"])
    else:
        finish_texts(board, request)


def _close_unit(board: Board, unit: Unit) -> None:
    """Every item of the unit has its outcome."""
    request = unit.request
    request.left -= len(unit.items)
    board.drop_unit(unit)
    settle(board, request)


def _count(request: Request, body: Mapping[str, Any]) -> None:
    for name in ("windowed", "tokens"):
        value = body.get(name, 0)
        if isinstance(value, int):
            setattr(request, name, getattr(request, name) + value)


def _count_errors(unit: Unit, errors: list[tuple[int, dict[str, Any]]]) -> None:
    for position, error in errors:
        if 0 <= position < len(unit.items):
            item = unit.items[position]
            details = error.get("details")
            details = dict(details) if isinstance(details, Mapping) else {}
            unit.request.errors.append((item, error | {"details": details | {"indices": [item]}}))


def _positions(value: Any, bound: int) -> list[int]:
    """A list of row numbers that somebody else sent."""
    if not isinstance(value, list):
        return []
    return [v for v in value if isinstance(v, int) and 0 <= v < bound]


def _pairs(value: Any) -> list[tuple[int, dict[str, Any]]]:
    if not isinstance(value, list):
        return []
    return [
        (pair[0], pair[1])
        for pair in value
        if isinstance(pair, list) and len(pair) == 2 and isinstance(pair[1], dict)
    ]
