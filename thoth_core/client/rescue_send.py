"""The rows of a rescue on their way into the store."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from thoth_core.chroma_dir.gather import Found
from thoth_core.client import rescue_rows, transfer
from thoth_core.client.calls import Calls
from thoth_core.client.requests import Plan
from thoth_core.client.rescue_model import Known
from thoth_core.client.rescue_report import RescuedCollection
from thoth_core.client.rescue_rows import Rows
from thoth_core.client.transfer import Pending
from thoth_core.errors import Conflict
from thoth_core.wire import Message

#: Messages with rows under way at once.
WINDOW = 3


@dataclass(frozen=True, slots=True)
class Line:
    """How the rescue asks the service; ``came`` is told of rows that are done with."""

    calls: Calls
    ask: Callable[[Plan[Any]], Any]
    submit: Callable[[Plan[Any]], Pending[Any]]
    value: Callable[[Pending[Any]], Any]
    came: Callable[[int], None]


class Sender:
    """Sends the rows of one collection, a few messages at a time, and counts them."""

    def __init__(self, line: Line, part: str, report: RescuedCollection, known: Known) -> None:
        self._line = line
        self._part = part
        self._report = report
        self._known = known
        self._rows = Rows()
        self._under_way: deque[tuple[Pending[Message], int]] = deque()

    def make(self) -> None:
        """Have the collection, also if no row comes."""
        self._line.ask(self._restore(Rows(), self._report.dimension or 0, make=True))

    def put(self, row: Found) -> None:
        """Send a row with its vector, sooner or later."""
        rescue_rows.count(row, self._report)
        computed = self._known.computed and row.text is not None
        if self._rows.full or self._rows.computed is not computed:
            self._send()
            self._rows = Rows(computed)
        self._rows.put(row)

    def flush(self) -> None:
        """Send what waits; returns when all of it is stored."""
        self._send()
        self._rows = Rows()
        while self._under_way:
            self._restored(*self._under_way.popleft())

    def embed(self, rows: list[Found]) -> None:
        """Have rows embedded that have no vector, if the model is known and they have a text."""
        self.flush()
        fit = [row for row in rows if self._known.model is not None and row.text is not None]
        self._report.without_vector += len(rows) - len(fit)
        if fit:
            texts = [row.text or "" for row in fit]
            metadatas = [row.metadata or None for row in fit]
            ids = [row.id for row in fit]
            calls = self._line.calls
            done = self._line.ask(calls.add(texts, metadatas, ids, self._part))
            if done.superseded:
                raise overtaken()
            for index, error in done.failed:
                # The index is one in this message, which says nothing to anybody.
                reason = error.message.replace(f"text {index} ", "its text ", 1)
                self._report.refuse(ids[index], reason)
            self._report.embedded += len(fit) - len(done.failed)
        self._line.came(len(rows))

    def _send(self) -> None:
        if not self._rows.ids:
            return
        if len(self._under_way) >= WINDOW:
            self._restored(*self._under_way.popleft())
        pending = self._line.submit(self._restore(self._rows, 0))
        self._under_way.append((pending, len(self._rows.ids)))

    def _restore(self, rows: Rows, dimension: int, *, make: bool = False) -> Plan[Message]:
        body = {
            "collection": self._part,
            "space": self._report.space,
            "model": self._known.model or self._known.other,
            "ids": rows.ids,
            "texts": rows.texts,
            "metadatas": rows.metadatas,
            "computed": rows.computed,
            "make": make,
        }
        vectors = rows.array() if rows.ids else np.zeros((0, dimension), np.float32)
        return transfer.restore(body, vectors)

    def _restored(self, pending: Pending[Message], rows: int) -> None:
        answer = self._line.value(pending)
        if answer.body.get("superseded"):
            raise overtaken()
        self._line.came(rows)


def overtaken() -> Conflict:
    return Conflict(
        "what was brought in has been deleted or changed meanwhile",
        cause="another rescue of the same directory may be running",
        fix="wait for it, or end it, and run the same rescue again",
    )
