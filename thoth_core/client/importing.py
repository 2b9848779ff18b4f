"""An export back into the store: whole, or not at all.

Rows go into collections with names of their own, and get their names in one step when all are
there. An import that was ended goes on where it was when the same file is imported again.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Iterable
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from thoth_core import validation
from thoth_core.client import import_check, import_rows, transfer
from thoth_core.client.archive_format import IMPORT_PREFIX, CollectionEntry
from thoth_core.client.archive_read import Archive
from thoth_core.client.arguments import listed
from thoth_core.client.calls import Calls
from thoth_core.client.connection import Connection
from thoth_core.client.restoring import Part, Restoring
from thoth_core.client.results import ImportReport
from thoth_core.client.transfer import OnChunks, Pending
from thoth_core.errors import (
    CollectionExists,
    CollectionNotFound,
    Conflict,
    ExportDamaged,
    InvalidInput,
)
from thoth_core.wire import MAX_TEXTS, Message

#: Messages with rows under way at once.
WINDOW = 3


class Import(Restoring):
    """One import; used once."""

    what = "import"

    def __init__(self, connection: Connection, calls: Calls, on_progress: OnChunks | None) -> None:
        super().__init__(connection, calls, on_progress)
        self._done = self._total = self._resumed = 0

    def run(
        self,
        path: str | PathLike[str],
        collections: Iterable[str] | None,
        as_name: str | None,
        deadline: float | None,
    ) -> ImportReport:
        """Import ``collections`` of the file, or all; a single one under the name ``as_name``."""
        self._begin(deadline)
        if as_name is not None:
            validation.check_collection_name(as_name)
        wanted = None if collections is None else listed("collections", collections)
        try:
            with Archive(Path(path)) as archive:
                chosen = _chosen(archive, wanted)
                if as_name is not None and len(chosen) != 1:
                    raise InvalidInput(
                        f"{len(chosen)} collections cannot have the one name {as_name!r}",
                        fix="name the one that is wanted: --collection NAME",
                    )
                targets = [as_name or entry.name for entry in chosen]
                self._check_free(targets)
                for entry in chosen:
                    import_check.check(archive, entry, self._check)
                self._total = sum(entry.chunks for entry in chosen)
                self._all(archive, chosen, targets)
        finally:
            self._drop_all()
        return ImportReport(
            path=str(path),
            collections=[
                {"name": target, "chunks": entry.chunks, "documents": entry.documents}
                for entry, target in zip(chosen, targets, strict=True)
            ],
            resumed=self._resumed,
        )

    def _check_free(self, targets: list[str]) -> None:
        there = self._there()
        for target in targets:
            validation.check_collection_name(target)
            if target in there:
                raise CollectionExists(
                    f"there is a collection {target!r} already",
                    cause="an import never changes one that is there",
                    fix="import it as another: --as NAME, or first: "
                    f"thoth collections delete {target}",
                    collection=target,
                )

    def _all(self, archive: Archive, chosen: list[CollectionEntry], targets: list[str]) -> None:
        parts: list[Part] = [
            {
                "collection": _part(entry, target),
                "to": target,
                "chunks": entry.chunks,
                "documents": entry.documents,
            }
            for entry, target in zip(chosen, targets, strict=True)
        ]
        try:
            for entry, part in zip(chosen, parts, strict=True):
                self._rows(archive, entry, part["collection"])
                self._documents(archive, entry, part["collection"])
            if parts:
                self._ask(transfer.restore_finish(parts))
        except ExportDamaged:
            # No further try could end better. After any other error the next one goes on here.
            self._drop_all()
            self._delete(parts)
            raise
        except (CollectionNotFound, CollectionExists) as problem:
            raise self._met(parts) from problem

    def _rows(self, archive: Archive, entry: CollectionEntry, part: str) -> None:
        lines = enumerate(archive.lines(entry.chunks_file), 1)
        there, last = self._stored(part), ""
        for number, line in islice(lines, there):
            if number == there:
                last = import_rows.id_of(entry, number, line)
        self._resumed += there
        self._done += there
        common: dict[str, Any] = {
            "collection": part,
            "model": entry.model,
            "space": entry.space,
        }
        under_way: deque[tuple[Pending[Message], int]] = deque()
        if not entry.chunks:
            empty = np.zeros((0, entry.dimension or 0), np.float32)
            body = {**common, "ids": [], "computed": False, "after": last}
            under_way.append((self._submit(transfer.restore(body, empty)), 0))
        for batch in import_rows.batches(entry, lines):
            vectors = import_rows.array(entry, batch)
            body = {
                **common,
                "ids": batch.ids,
                "texts": batch.texts,
                "metadatas": batch.metadatas,
                "computed": batch.computed,
                "after": last,
                # Later ones are for the collection that the first has made.
                "make": not last,
            }
            last = batch.ids[-1]
            if len(under_way) >= WINDOW:
                self._restored(*under_way.popleft())
            under_way.append((self._submit(transfer.restore(body, vectors)), len(batch.ids)))
        while under_way:
            self._restored(*under_way.popleft())

    def _restored(self, pending: Pending[Message], rows: int) -> None:
        answer = self._value(pending)
        if answer.body.get("superseded"):
            raise Conflict(
                "what was imported has been deleted or changed meanwhile",
                cause="another import of the same file may be running",
                fix="wait for it, or end it, and run the same import again",
            )
        self._done += rows
        self._tell(self._done, self._total)

    def _documents(self, archive: Archive, entry: CollectionEntry, part: str) -> None:
        lines = enumerate(archive.lines(entry.documents_file), 1)
        while some := list(islice(lines, MAX_TEXTS)):
            documents = [import_rows.document(entry, number, line) for number, line in some]
            self._ask(transfer.restore_documents(part, documents))

    def _stored(self, part: str) -> int:
        """Rows that an earlier import of the same file has brought in."""
        try:
            return self._ask(self._calls.count(part))
        except CollectionNotFound:
            return 0


def _chosen(archive: Archive, wanted: list[str] | None) -> list[CollectionEntry]:
    entries = list(archive.manifest.collections)
    if wanted is None:
        return entries
    by_name = {entry.name: entry for entry in entries}
    for name in wanted:
        if name not in by_name:
            raise CollectionNotFound(
                f"there is no collection {name!r} in {archive.path}",
                cause="it has: " + (", ".join(list(by_name)[:20]) or "none"),
                fix="name one of these, or leave --collection out to import all",
                collection=name,
            )
    return [by_name[name] for name in dict.fromkeys(wanted)]


def _part(entry: CollectionEntry, target: str) -> str:
    """The name of a collection while it is brought in: it depends on what comes, so that another
    import of just this goes on with it."""
    what = [
        target,
        entry.model,
        entry.dimension,
        entry.space,
        entry.chunks_file.sha256,
        entry.documents_file.sha256,
    ]
    digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
    return IMPORT_PREFIX + digest[:16]
