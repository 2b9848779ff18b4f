"""How a request of texts ends, once every text has its outcome. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from thoth_core.errors import ThothError
from thoth_core.supervisor.board import Board
from thoth_core.supervisor.requests import Phase, Request
from thoth_core.wire import Buffer


def open_items(request: Request) -> list[int]:
    """The items of the request that were not refused."""
    bad = {index for index, _ in request.errors}
    return [i for i in range(request.total) if i not in bad]


def finish_texts(board: Board, request: Request) -> None:
    """All texts of an ``embed`` or ``add`` have their outcome."""
    if request.kind == "embed":
        model = request.team.model or {}
        board.finish(
            request,
            {
                "model": model.get("name"),
                "dimension": model.get("dimension"),
                "identity": dict(model),
                "windowed": request.windowed,
                "tokens": request.tokens,
                "errors": request.report()["errors"],
            },
        )
    else:
        board.ask(request, "remember", {"request": request.id, "outcome": request.report()})


def finish_query(
    board: Board,
    request: Request,
    body: Mapping[str, Any],
    buffers: tuple[Buffer, ...],
    indices: list[int] | None = None,
) -> None:
    """``hits`` came for the texts at ``indices``; the refused ones have none."""
    found: list[Any] = [[] for _ in range(request.total)]
    unit = next(iter(request.units), None)
    items = [unit.items[i] for i in indices] if unit is not None and indices else []
    hits = body.get("hits")
    for item, its in zip(items, hits if isinstance(hits, list) else [], strict=False):
        found[item] = its
    board.finish(request, {"hits": found, "errors": request.report()["errors"]}, buffers)


def settle(board: Board, request: Request) -> None:
    """Answer the request if nothing of it is open."""
    if board.requests.get(request.id) is not request or request.units or request.calls:
        return
    if request.given_up is not None:
        board.fail(request, request.given_up)
        return
    if request.left > 0:
        return
    if request.kind == "query":
        finish_query(board, request, {"hits": []}, ())
    else:
        finish_texts(board, request)


def give_up(board: Board, request: Request, problem: ThothError) -> None:
    """End the ``add`` with ``problem``: what waits is not begun, and what a worker is at is paid
    for, so it is waited for and stored first."""
    if request.given_up is None:
        request.given_up = problem
    request.team.bulk.discard(request)
    request.pending.clear()
    for unit in [each for each in request.units if each.phase is Phase.QUEUED]:
        board.drop_unit(unit)
    settle(board, request)
