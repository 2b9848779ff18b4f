"""A Chroma directory of anybody's into the store, also one that crashes whoever opens it.

It is read here, in the client's process and as plain files; nothing is written to it. Rows go into
collections with names of their own, and get their names in one step when all are there. A rescue
that was ended goes on when it is run again: what is there already is left as it is.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shlex
from collections.abc import Iterable
from itertools import chain, islice
from os import PathLike
from pathlib import Path
from typing import Any

from thoth_core.chroma_dir.catalog import Collection
from thoth_core.chroma_dir.gather import Found, Gathered
from thoth_core.chroma_dir.source import Source
from thoth_core.client import rescue_model, rescue_rows, transfer
from thoth_core.client.archive_format import IMPORT_PREFIX
from thoth_core.client.arguments import listed
from thoth_core.client.calls import Calls
from thoth_core.client.connection import Connection
from thoth_core.client.import_rows import BATCH_ROWS
from thoth_core.client.rescue_model import Known
from thoth_core.client.rescue_read import (
    begun,
    check_free,
    choose,
    counted,
    opened,
    read,
    report_on,
)
from thoth_core.client.rescue_report import RescuedCollection, RescueReport
from thoth_core.client.rescue_send import Line, Sender
from thoth_core.client.restoring import Part, Restoring
from thoth_core.client.stock_child import StockChild
from thoth_core.client.transfer import OnChunks
from thoth_core.errors import (
    CollectionExists,
    CollectionNotFound,
    Conflict,
    InvalidInput,
    ModelMismatch,
    ModelNotRunning,
    WorkerFailed,
)

#: Rows out of which some are chosen to try the model with.
TRIED = 2000


class Rescue(Restoring):
    """One rescue; used once."""

    what = "rescue"

    def __init__(self, connection: Connection, calls: Calls, on_progress: OnChunks | None) -> None:
        super().__init__(connection, calls, on_progress)
        self._model: str | None = None
        self._running: dict[str, Any] | None = None
        self._line = Line(calls, self._ask, self._submit, self._value, self._came)
        self._done = self._total = 0

    def run(
        self,
        path: str | PathLike[str],
        collections: Iterable[str] | None,
        as_name: str | None,
        model: str | None,
        deadline: float | None,
    ) -> RescueReport:
        """Bring ``collections`` of the directory in, or all; a single one under ``as_name``. Of
        ``model`` it is known that it made their vectors."""
        self._begin(deadline)
        self._model = model
        wanted = None if collections is None else listed("collections", collections)
        try:
            with opened(Path(path)) as source:
                return read(source, lambda: self._all(source, wanted, as_name))
        finally:
            self._drop_all()

    def _all(self, source: Source, wanted: list[str] | None, as_name: str | None) -> RescueReport:
        chosen = choose(source, wanted, as_name)
        check_free(source, chosen, self._there())
        if self._model is not None:
            # What is wrong with it is known before anything is done.
            self._identity()
        report = report_on(source)
        parts: list[Part] = []
        self._done, self._total = 0, sum(source.count(each) for each, _ in chosen)
        try:
            for collection, target in chosen:
                name = _part(source.directory, collection, target)
                part = {"collection": name, "to": target, "chunks": 0, "documents": 0}
                parts.append(part)
                with contextlib.closing(source.gather(collection)) as gathered:
                    told = self._collection(gathered, name, target)
                report.collections.append(told)
                part["chunks"] = told.stored
            if parts:
                self._finish(parts)
        except (CollectionNotFound, CollectionExists) as problem:
            raise self._met(parts) from problem
        return report

    # -- one collection -----------------------------------------------------------------------

    def _collection(self, gathered: Gathered, part: str, target: str) -> RescuedCollection:
        report = begun(gathered, target)
        rows = gathered.rows()
        head = list(islice(rows, TRIED))
        known = self._model_of(gathered, head, target)
        report.model = str(known.model["name"]) if known.model is not None else None
        if known.note:
            report.notes.append(known.note)
        sender = Sender(self._line, part, report, known)
        sender.make()
        lacking: set[str] = set()
        for row in chain(head, rows):
            kept = counted(row, report)
            if kept is None:
                self._came(1)
            elif kept.vector is None:
                lacking.add(kept.id)
            else:
                sender.put(kept)
        sender.flush()
        if lacking:
            self._without_vector(gathered, report, sender, lacking)
        report.notes += gathered.closing_notes()
        return report

    def _without_vector(
        self, gathered: Gathered, report: RescuedCollection, sender: Sender, lacking: set[str]
    ) -> None:
        """Bring in the rows of which no vector was read: with the one that Chroma itself finds, or
        with a new one."""
        rows = (row for row in gathered.rows() if row.id in lacking)
        child = StockChild(gathered.directory, gathered.collection, len(lacking))
        with contextlib.closing(child):
            while some := list(islice(rows, BATCH_ROWS)):
                found = child.vectors([row.id for row in some]) if gathered.unread else {}
                for row in some:
                    if row.vector is None and row.id in found:
                        row.vector, row.origin = found[row.id], rescue_rows.CHROMA
                # What is wrong with them is counted already.
                again = RescuedCollection(report.name, report.to, dimension=report.dimension)
                kept = [rescue_rows.tidied(row, again) or row for row in some]
                for row in kept:
                    if row.vector is not None:
                        sender.put(row)
                sender.embed([row for row in kept if row.vector is None])
        why = child.trouble or child.error
        if why:
            report.notes.append(f"Chroma itself, on a copy, found no more: {why}"[:500])

    # -- the model ----------------------------------------------------------------------------

    def _model_of(self, gathered: Gathered, rows: list[Found], target: str) -> Known:
        """Whether the model made the vectors, by a trial with some of ``rows``."""
        running = self._identity()
        name, size = str(running.get("name", "")), running.get("dimension")
        recorded = rescue_model.recorded(gathered.collection.embedder)
        told = self._model is not None or rescue_model.same_name(recorded, name)
        if size is None or gathered.dimension not in (None, size):
            if self._model is not None and size is not None:
                raise _other_model(gathered, name, f"{name} makes {size} dimensions")
            return Known()
        short, long = rescue_model.samples(rows, gathered.dimension)
        if not short:
            # Nothing contradicts it.
            return Known(running) if told else Known()
        try:
            embedded = self._ask(self._calls.embed([str(each.text) for each in short + long]))
        except (InvalidInput, ModelNotRunning, WorkerFailed) as problem:
            return Known(note=f"whether {name} made the vectors is not known: {problem.message}")
        if not rescue_model.agree(short, embedded[: len(short)]):
            if self._model is not None:
                raise _other_model(gathered, name, f"{name} makes other vectors of the same texts")
            other = recorded if recorded and not told else "unknown"
            return Known(
                other={"name": other, "dimension": size},
                note=f"another model made its vectors, not {name}: search it with vectors, or have"
                f" it embedded anew: thoth collections reembed {shlex.quote(target)}"
                f" --model {shlex.quote(name)}",
            )
        return Known(running, computed=rescue_model.agree(long, embedded[len(short) :]))

    def _identity(self) -> dict[str, Any]:
        """The identity of the model that these calls ask for."""
        if self._running is None:
            self._running = self._ask(self._calls.identity())
        return self._running

    def _came(self, rows: int) -> None:
        self._done += rows
        self._tell(min(self._done, self._total), self._total)

    def _finish(self, parts: list[Part]) -> None:
        try:
            self._ask(transfer.restore_finish(parts))
        except Conflict as problem:
            self._delete(parts)
            if self._there() & {part["to"] for part in parts}:
                raise self._met(parts) from problem
            raise Conflict(
                "the directory was changed while it was read, or since an earlier rescue of it",
                cause=problem.cause or problem.message,
                fix="end the program that uses it, and run the same rescue again",
            ) from problem


def _other_model(gathered: Gathered, name: str, cause: str) -> ModelMismatch:
    return ModelMismatch(
        f"the vectors of the collection {gathered.collection.name!r} were not made by {name}",
        cause=cause,
        fix="leave --model out: the vectors then come in as your own",
        collection=gathered.collection.name,
    )


def _part(directory: Path, collection: Collection, target: str) -> str:
    """The name of a collection while it is brought in: it depends on where it comes from, so that
    another rescue of just this goes on with it."""
    what = [str(directory.resolve()), collection.id, target]
    return IMPORT_PREFIX + hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]
