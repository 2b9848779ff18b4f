"""What is on the simulated disk, and the ledger's rule: a write with a lower number than the last
of its id changes nothing. It outlives stores and supervisors."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from tests.simulation.world import COLLECTIONS, World, identity
from thoth_core.errors import ModelMismatch
from thoth_core.supervisor.board import EPOCH_SHIFT
from thoth_core.wire import Message


class Row(NamedTuple):
    """``what`` is the hash of the text, or names the caller's own vector; None when deleted."""

    number: int
    what: str | None
    computed: bool


NOTHING = Row(0, None, False)


class Ledger:
    def __init__(self, world: World) -> None:
        self._world = world
        self.rows: dict[str, Row] = {}
        self.outcomes: dict[str, dict[str, Any]] = {}
        self.epoch = 0
        self._service = ""
        #: How many live rows have a vector that was computed of this text.
        self._hashes: Counter[str] = Counter()

    def open(self, service: str) -> int:
        """A store of this service opens it; a new service begins a new epoch."""
        if service != self._service:
            self._service = service
            self.epoch += 1
        return self.epoch

    def late(self, old: Row, number: int) -> bool:
        return old.number > number

    def apply(self, message: Message) -> dict[str, Any]:
        """Carry out a call; its result."""
        body = message.body
        request = body.get("request")
        if message.kind == "remember":
            self.outcomes[body["request"]] = body["outcome"]
            return {}
        if request in self.outcomes:
            outcome = self.outcomes[request]
            return {"outcome": outcome} if message.kind == "have" else dict(outcome)
        self._fits(body)
        if message.kind == "have":
            return self._have(body)
        if message.kind == "upsert":
            result = self._upsert(body)
        elif message.kind == "delete":
            result = self._delete(body)
        else:
            return self._read(message)
        if request:
            self.outcomes[request] = result
        return result

    def _fits(self, body: Any) -> None:
        """Vectors of another model than the collection's are refused."""
        made, given = COLLECTIONS.get(body.get("collection")), body.get("model")
        if given is not None and given["name"] != made:
            raise ModelMismatch("of another model", expected=identity(str(made)), found=given)

    def _have(self, body: Any) -> dict[str, Any]:
        number = body["number"]
        result: dict[str, list[int]] = {
            name: [] for name in ("unchanged", "superseded", "reused", "missing")
        }
        for position, (id, what) in enumerate(zip(body["ids"], body["hashes"], strict=True)):
            old = self.rows.get(id, NOTHING)
            if self.late(old, number):
                result["superseded"].append(position)
            elif old.computed and old.what == what:
                self._write(id, Row(number, what, True))
                result["unchanged"].append(position)
            elif self._hashes[what] > 0:
                self._write(id, Row(number, what, True))
                result["reused"].append(position)
            else:
                result["missing"].append(position)
        return result

    def _upsert(self, body: Any) -> dict[str, Any]:
        number, superseded = body["number"], []
        computed = "hashes" in body
        whats = body["hashes"] if computed else body["texts"]
        for position, (id, what) in enumerate(zip(body["ids"], whats, strict=True)):
            if self.late(self.rows.get(id, NOTHING), number):
                superseded.append(position)
            else:
                self._write(id, Row(number, what, computed))
        return {"written": len(whats), "unchanged": 0, "superseded": superseded}

    def _delete(self, body: Any) -> dict[str, Any]:
        for id in body["ids"]:
            if not self.late(self.rows.get(id, NOTHING), body["number"]):
                self._write(id, Row(body["number"], None, False))
        return {"deleted": len(body["ids"])}

    def _read(self, message: Message) -> dict[str, Any]:
        if message.kind == "search" and "indices" in message.body:
            # A query finds the text itself, so that its asker sees whose answer it got.
            return {"hits": [[{"text": text}] for text in message.body["texts"]]}
        return {"hits": [[]], "count": len(self.rows)}

    def _write(self, id: str, row: Row) -> None:
        old = self.rows.get(id, NOTHING)
        if old.computed:
            self._hashes[old.what] -= 1
        if row.computed:
            self._hashes[row.what] += 1
        self.rows[id] = row
        self._world.checks.written(id, row)


def epoch_of(number: int) -> int:
    return number >> EPOCH_SHIFT
