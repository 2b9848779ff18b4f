"""A Chroma directory of anybody's into the store, also one that crashes whoever opens it.

It is read here, in the client's process and as plain files; nothing is written to it. Rows go into
collections with names of their own, and get their names in one step when all are there. A rescue
that was ended goes on when it is run again: what is there already is left as it is.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from thoth_core import validation
from thoth_core.chroma_dir.catalog import Collection
from thoth_core.chroma_dir.database_salvage import Loss
from thoth_core.chroma_dir.gather import Found, Gathered, Source
from thoth_core.client import rescue_rows, transfer
from thoth_core.client.archive_format import IMPORT_PREFIX
from thoth_core.client.arguments import listed
from thoth_core.client.calls import Calls
from thoth_core.client.connection import Connection
from thoth_core.client.rescue_report import RescuedCollection, RescueReport
from thoth_core.client.rescue_rows import Rows
from thoth_core.client.transfer import OnChunks, Pending, Transfer
from thoth_core.errors import (
    CollectionExists,
    CollectionNotFound,
    Conflict,
    InvalidInput,
    StorageError,
    ThothError,
)
from thoth_core.wire import Message

T = TypeVar("T")

#: What SQLite says of a database that somebody else has locked.
_HELD = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
#: Begins the names of what an index of ours has half done: an import, a new generation.
HALF_DONE = (IMPORT_PREFIX, "thoth-reembed-")
#: Messages with rows under way at once.
WINDOW = 3
#: Seconds for what cannot be finished to be deleted.
CLEANING = 30.0


class Rescue(Transfer):
    """One rescue; used once."""

    def __init__(self, connection: Connection, calls: Calls, on_progress: OnChunks | None) -> None:
        super().__init__(connection, on_progress)
        self._calls = calls
        self._done = self._total = 0

    def run(
        self,
        path: str | PathLike[str],
        collections: Iterable[str] | None,
        as_name: str | None,
        deadline: float | None,
    ) -> RescueReport:
        """Bring ``collections`` of the directory in, or all; a single one under ``as_name``."""
        self._begin(deadline)
        wanted = None if collections is None else listed("collections", collections)
        try:
            with opened(Path(path)) as source:
                return read(source, lambda: self._all(source, wanted, as_name))
        finally:
            self._drop_all()

    def _all(self, source: Source, wanted: list[str] | None, as_name: str | None) -> RescueReport:
        chosen = choose(source, wanted, as_name)
        self._check_free(source, chosen)
        report = report_on(source)
        parts: list[dict[str, Any]] = []
        gathered: list[Gathered] = []
        with contextlib.ExitStack() as stack:
            for collection, _ in chosen:
                each = source.gather(collection)
                stack.callback(each.close)
                gathered.append(each)
            self._done, self._total = 0, sum(each.expected for each in gathered)
            for each, (collection, target) in zip(gathered, chosen, strict=True):
                part = _part(source.directory, collection, target)
                told = self._collection(each, part, target)
                report.collections.append(told)
                parts.append(
                    {"collection": part, "to": target, "chunks": told.stored, "documents": 0}
                )
        if parts:
            self._finish(parts)
        return report

    def _check_free(self, source: Source, chosen: list[tuple[Collection, str]]) -> None:
        there = {each.name for each in self._ask(self._calls.collections())}
        for collection, target in chosen:
            if target in there:
                raise CollectionExists(
                    f"there is a collection {target!r} already",
                    cause="a rescue never changes one that is there",
                    fix=f"thoth rescue {source.directory} --collection {collection.name}"
                    " --as ANOTHER-NAME",
                    collection=target,
                )

    # -- one collection -----------------------------------------------------------------------

    def _collection(self, gathered: Gathered, part: str, target: str) -> RescuedCollection:
        report = begun(gathered, target)
        sender = _Sender(self, part, report)
        sender.make()
        rows = Rows()
        for row in gathered.rows():
            kept = counted(row, report)
            if kept is None:
                self._came(1)
            elif kept.vector is None:
                report.without_vector += 1
                self._came(1)
            else:
                rescue_rows.count(kept, report)
                rows.put(kept)
            if rows.full:
                sender.send(rows)
                rows = Rows()
        sender.send(rows)
        sender.wait()
        report.notes += gathered.closing_notes()
        return report

    def _came(self, rows: int) -> None:
        self._done += rows
        self._tell(min(self._done, self._total), self._total)

    def _finish(self, parts: list[dict[str, Any]]) -> None:
        try:
            self._ask(transfer.restore_finish(parts))
        except Conflict as problem:
            for each in parts:
                with contextlib.suppress(ThothError, CancelledError):
                    plan = self._calls.delete_collection(each["collection"])
                    self._connection.submit(plan, CLEANING).result()
            raise Conflict(
                "the directory was changed while it was read, or since an earlier rescue of it",
                cause=problem.cause or problem.message,
                fix="end the program that uses it, and run the same rescue again",
            ) from problem


class _Sender:
    """Sends the rows of one collection, a few messages at a time."""

    def __init__(self, rescue: Rescue, part: str, report: RescuedCollection) -> None:
        self._rescue = rescue
        self._report = report
        self._common = {"collection": part, "space": report.space, "model": None}
        self._under_way: deque[tuple[Pending[Message], int]] = deque()

    def make(self) -> None:
        """Have the collection, also if no row comes."""
        empty = np.zeros((0, self._report.dimension or 0), np.float32)
        body: dict[str, Any] = {**self._common, "ids": [], "computed": False}
        self._rescue._ask(transfer.restore(body, empty))

    def send(self, rows: Rows) -> None:
        if not rows.ids:
            return
        body: dict[str, Any] = {
            **self._common,
            "ids": rows.ids,
            "texts": rows.texts,
            "metadatas": rows.metadatas,
            "computed": False,
        }
        if len(self._under_way) >= WINDOW:
            self._restored(*self._under_way.popleft())
        pending = self._rescue._submit(transfer.restore(body, rows.array()))
        self._under_way.append((pending, len(rows.ids)))

    def wait(self) -> None:
        while self._under_way:
            self._restored(*self._under_way.popleft())

    def _restored(self, pending: Pending[Message], rows: int) -> None:
        answer = self._rescue._value(pending)
        if answer.body.get("superseded"):
            raise Conflict(
                "what was brought in has been deleted or changed meanwhile",
                fix="run the same rescue again",
            )
        self._rescue._came(rows)


def look(path: str | PathLike[str], collections: Iterable[str] | None) -> RescueReport:
    """What a rescue of the directory would find, by reading alone; needs no service."""
    wanted = None if collections is None else listed("collections", collections)
    with opened(Path(path)) as source:
        return read(source, lambda: _look(source, wanted))


def _look(source: Source, wanted: list[str] | None) -> RescueReport:
    report = report_on(source)
    for collection, target in choose(source, wanted, None):
        with contextlib.closing(source.gather(collection)) as gathered:
            told = begun(gathered, target)
            for row in gathered.rows():
                kept = counted(row, told)
                if kept is not None and kept.vector is None:
                    told.without_vector += 1
                elif kept is not None:
                    rescue_rows.count(kept, told)
            told.notes += gathered.closing_notes()
        report.collections.append(told)
    return report


def report_on(source: Source) -> RescueReport:
    """A report without collections yet."""
    return RescueReport(
        str(source.directory),
        [str(each) for each in source.findings],
        [_words(each) for each in source.losses],
    )


def _words(loss: Loss) -> str:
    lost = "an unknown number of rows" if loss.at_most is None else f"{loss.at_most:,} rows at most"
    return f"{lost} of the table {loss.table}, in {loss.gaps:,} places"


def begun(gathered: Gathered, target: str) -> RescuedCollection:
    """The report on a collection of which nothing is read yet."""
    return RescuedCollection(gathered.collection.name, target, gathered.space, gathered.dimension)


def counted(row: Found, report: RescuedCollection) -> Found | None:
    """The row as it can be kept, counted as found; None if it cannot be kept at all."""
    report.rows += 1
    report.texts += row.text is not None
    if report.dimension is None and row.vector is not None:
        report.dimension = len(row.vector)
    return rescue_rows.tidied(row, report)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Source]:
    """The source at ``path``; typed errors if there is nothing there, or it cannot be read."""
    if not path.is_dir():
        raise InvalidInput(
            f"{path} is no folder", fix="name the folder that has chroma.sqlite3 in it"
        )
    with contextlib.ExitStack() as stack:
        try:
            source = stack.enter_context(Source(path))
        except TimeoutError as problem:
            raise _held(path, str(problem)) from problem
        except OSError as problem:
            raise unreadable(path, problem.strerror or str(problem)) from problem
        if source.empty:
            raise InvalidInput(
                f"there is no Chroma directory in {path}",
                cause="it has neither chroma.sqlite3 nor the folder of an index",
                fix="name the folder that has chroma.sqlite3 in it",
            )
        yield source


def read(source: Source, work: Callable[[], T]) -> T:
    """``work``, and once more if the database turns out to be damaged where the check had no time
    to look, with what can be read of it."""
    try:
        return work()
    except sqlite3.DatabaseError as problem:
        if getattr(problem, "sqlite_errorcode", 0) & 0xFF in _HELD:
            raise _held(source.directory, str(problem)) from problem
        if source.salvaged:
            raise unreadable(source.directory, str(problem)) from problem
    source.salvage()
    return work()


def _held(path: Path, cause: str) -> StorageError:
    return StorageError(
        f"another program holds the Chroma directory {path}",
        cause=cause,
        fix="end the program that uses it, and run the same rescue again",
    )


def unreadable(path: Path, cause: str) -> StorageError:
    return StorageError(
        f"the Chroma directory {path} cannot be read",
        cause=cause,
        fix=f"ls -la {path}; df -h /tmp",
        path=str(path),
    )


def choose(
    source: Source, wanted: list[str] | None, as_name: str | None
) -> list[tuple[Collection, str]]:
    """The collections that are wanted, each with the name that it is to have."""
    there = [each for each in source.collections if not each.name.startswith(HALF_DONE)]
    names = {each.name for each in there}
    for name in wanted or ():
        if name not in names:
            raise CollectionNotFound(
                f"there is no collection {name!r} in {source.directory}",
                cause="it has: " + (", ".join(sorted(names)[:20]) or "none"),
                fix="name one of these, or leave --collection out to bring all in",
                collection=name,
            )
    chosen = [each for each in there if wanted is None or each.name in wanted]
    if as_name is not None:
        validation.check_collection_name(as_name)
        if len(chosen) != 1:
            raise InvalidInput(
                f"{len(chosen)} collections cannot have the one name {as_name!r}",
                fix="name the one that is wanted: --collection NAME",
            )
        return [(chosen[0], as_name)]
    taken: set[str] = set()
    targets = []
    for each in chosen:
        # Two databases of one directory may have the same name in them.
        target = each.name if each.name not in taken else f"{each.name}-{each.database}"
        try:
            validation.check_collection_name(target)
        except InvalidInput as problem:
            problem.fix = f"thoth rescue {source.directory} --collection {each.name} --as NAME"
            raise
        taken.add(target)
        targets.append((each, target))
    return targets


def _part(directory: Path, collection: Collection, target: str) -> str:
    """The name of a collection while it is brought in: it depends on where it comes from, so that
    another rescue of just this goes on with it."""
    what = [str(directory.resolve()), collection.id, target]
    return IMPORT_PREFIX + hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]
