"""What a worker had in hand when it ended: names, hashes and counts, never texts. Pure."""

from __future__ import annotations

from typing import Any

from thoth_core.ids import text_hash
from thoth_core.supervisor.board import Board
from thoth_core.supervisor.requests import Call, Phase, Unit

#: Bounds of what is listed; the counts are of all.
UNITS, CALLS, HASHES = 16, 64, 64


def held_by(board: Board, slot: str, incarnation: str) -> dict[str, Any]:
    """``units`` that an embed worker was given, the one that it ran first; ``calls`` that the store
    was asked; ``handed``: units whose vectors wait for the store's answer."""
    found = board.find_worker(slot, incarnation)
    if found is not None:
        worker = found[1]
        units = [_unit(unit, running=place == 0) for place, unit in enumerate(worker.units)]
        return {"units": units[:UNITS], "calls": [], "handed": len(worker.kept)}
    if incarnation and incarnation == board.store.incarnation:
        calls = [_call(call) for call in board.store.sent]
        return {"units": [], "calls": calls[:CALLS], "handed": len(board.handed)}
    return {"units": [], "calls": [], "handed": 0}


def _unit(unit: Unit, *, running: bool) -> dict[str, Any]:
    texts = unit.request.body.get("texts")
    texts = texts if isinstance(texts, list) else []
    hashed = [texts[i] for i in unit.items[:HASHES] if i < len(texts)]
    return {
        "unit": unit.id,
        "attempt": unit.attempt,
        "request": unit.request.id,
        "kind": unit.request.kind,
        "running": running,
        "alone": unit.alone,
        # Its caller has an answer already: a deadline passed, or it went away.
        "given_up": unit.phase is Phase.DONE,
        "texts": len(unit.items),
        "hashes": [text_hash(text) for text in hashed if isinstance(text, str)],
    }


def _call(call: Call) -> dict[str, Any]:
    return {
        "call": call.id,
        "attempt": call.attempt,
        "request": call.request.id,
        "kind": call.kind,
        "bytes": call.size,
        "deaths": call.deaths,
    }
