"""What is done first for a request: ask the store, form units, or wait for its model. Pure."""

from __future__ import annotations

from thoth_core.errors import ModelMismatch, ThothError, from_dict
from thoth_core.ids import text_hash
from thoth_core.supervisor import suspects
from thoth_core.supervisor.board import Board
from thoth_core.supervisor.endings import open_items, settle
from thoth_core.supervisor.requests import EMBEDDED, READS, WRITES, Request, staged


def begin(board: Board, request: Request) -> None:
    """Start what can be started, and the rest once the model is known."""
    model = request.team.model
    if request.kind in EMBEDDED and model is not None:
        suspects.compare(board, request)
    if request.kind == "begin_reembed":
        if model is not None:
            board.ask(request, request.kind, {**request.body, "model": model})
    elif request.kind == "look_up":
        board.ask(request, request.kind, {**request.body, **_model_meant(board, request)})
    elif request.kind in READS | WRITES:
        board.ask(request, request.kind, dict(request.body), request.buffers)
    elif model is None and (request.kind != "embed" or request.left == 0):
        return
    elif request.left == 0:
        settle(board, request)
    elif request.kind == "add":
        _look_up(board, request)
    else:
        board.make_units(request, open_items(request))


def follow(board: Board, request: Request, problem: ThothError) -> bool:
    """Whether the request goes on with the model of its collection, where the store says that this
    is another one. Not if the caller named a model, and once at most."""
    if (
        not isinstance(problem, ModelMismatch)
        or request.kind not in ("add", "query")
        or request.asked_model
        or request.moved_for is not None
    ):
        return False
    made = problem.details.get("expected")
    name = made.get("name") if isinstance(made, dict) else None
    if not isinstance(made, dict) or not isinstance(name, str) or not name:
        return False
    team = board.team_of(made) or board.team(name)
    if team is request.team:
        return False
    request.moved_for = problem
    board.move(request, team)
    begin(board, request)
    return True


def with_reason(mismatch: ThothError | None, problem: ThothError) -> ThothError | None:
    """What a request that went on with its collection's model is told when that is not to be had:
    the mismatch, and why."""
    if mismatch is None:
        return None
    told = from_dict(mismatch.to_dict())
    told.cause = f"the collection's model is not to be had by its name: {problem.message}"
    told.fix = f"RAG_EMBEDDING_MODEL=/the/path/to/it if it is in a folder; or: {told.fix}"
    return told


def _model_meant(board: Board, request: Request) -> dict[str, object]:
    """Which model an ``add`` with this body would have, as far as is known without asking for it:
    its workers are not started for that."""
    wanted = request.asked_model
    team = board.team_there(wanted)
    identity = None if team is None else team.model
    name = wanted if team is None else team.shown_name
    return {"model": name, "identity": identity, "asked": bool(wanted)}


def _look_up(board: Board, request: Request) -> None:
    """Ask the store which items of an ``add`` it lacks."""
    items = open_items(request)
    texts, ids = request.body["texts"], request.body["ids"]
    metadatas = request.body.get("metadatas") or [None] * len(texts)
    body = {
        "collection": request.body["collection"],
        "ids": [ids[i] for i in items],
        "hashes": [text_hash(texts[i]) for i in items],
        "metadatas": [metadatas[i] for i in items],
        "model": request.team.model,
    } | staged(request.body)
    board.ask(request, "have", body)
