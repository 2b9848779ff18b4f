"""A rescue before anything is sent: what there is in the directory, and under which names.

Needs no service.
"""

from __future__ import annotations

import contextlib
import shlex
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from os import PathLike
from pathlib import Path
from typing import TypeVar

from thoth_core import validation
from thoth_core.chroma_dir.catalog import Collection
from thoth_core.chroma_dir.database_salvage import Loss
from thoth_core.chroma_dir.gather import Found, Gathered
from thoth_core.chroma_dir.source import Source
from thoth_core.client import rescue_rows
from thoth_core.client.archive_format import IMPORT_PREFIX
from thoth_core.client.arguments import listed
from thoth_core.client.rescue_report import RescuedCollection, RescueReport
from thoth_core.errors import CollectionExists, CollectionNotFound, InvalidInput, StorageError

T = TypeVar("T")

#: What SQLite says of a database that somebody else has locked.
_HELD = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
#: Begins the names of what an index of ours has half done: an import, a new generation.
HALF_DONE = (IMPORT_PREFIX, "thoth-reembed-")


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
        fix=f"ls -la {shlex.quote(str(path))}; df -h /tmp",
        path=str(path),
    )


def choose(
    source: Source, wanted: list[str] | None, as_name: str | None
) -> list[tuple[Collection, str]]:
    """The collections that are wanted, each with the name that it is to have. One is named by the
    name that it has, or, of several with the same, by the one that it would get."""
    named = _named(source)
    names = {each.name for each, _ in named}
    known = names | {target for _, target in named}
    for name in wanted or ():
        if name not in known:
            raise CollectionNotFound(
                f"there is no collection {name!r} in {source.directory}",
                cause="it has: " + (", ".join(sorted(names)[:20]) or "none"),
                fix="name one of these, or leave --collection out to bring all in",
                collection=name,
            )
    chosen = [
        (each, target)
        for each, target in named
        if wanted is None or each.name in wanted or target in wanted
    ]
    if as_name is not None:
        validation.check_collection_name(as_name)
        if len(chosen) > 1 and wanted is not None:
            chosen = [(each, target) for each, target in chosen if target in wanted] or chosen
        if len(chosen) != 1:
            raise InvalidInput(
                f"{len(chosen)} collections cannot have the one name {as_name!r}",
                fix="name the one that is wanted: --collection NAME",
            )
        return [(chosen[0][0], as_name)]
    for each, target in chosen:
        try:
            validation.check_collection_name(target)
        except InvalidInput as problem:
            problem.fix = f"{_command(source, each, named)} --as NAME"
            raise
    return chosen


def check_free(source: Source, chosen: list[tuple[Collection, str]], there: set[str]) -> None:
    """:class:`CollectionExists` if one of the names is among those that are ``there``."""
    for collection, target in chosen:
        if target in there:
            raise CollectionExists(
                f"there is a collection {target!r} already",
                cause="a rescue never changes one that is there",
                fix=f"{_command(source, collection, _named(source))} --as ANOTHER-NAME",
                collection=target,
            )


def _named(source: Source) -> list[tuple[Collection, str]]:
    """All collections, each with a name of its own: several databases of one directory may have the
    same name in them."""
    there = [each for each in source.collections if not each.name.startswith(HALF_DONE)]
    names = {each.name for each in there}
    taken: set[str] = set()
    found = []
    for each in there:
        target = each.name
        if target in taken:
            # Nor the name that another has by itself.
            free = (name for name in _others(each) if name not in taken and name not in names)
            target = next(free)
        taken.add(target)
        found.append((each, target))
    return found


def _others(collection: Collection) -> Iterator[str]:
    base = f"{collection.name}-{collection.database}"
    try:
        validation.check_collection_name(base)
        yield base
    except InvalidInput:
        base = collection.name
    yield from (f"{base}-{number}" for number in count(2))


def _command(source: Source, collection: Collection, named: list[tuple[Collection, str]]) -> str:
    """The beginning of the command that brings in this one alone."""
    [target] = [target for each, target in named if each is collection]
    alone = sum(each.name == collection.name for each, _ in named) == 1
    folder, name = str(source.directory), collection.name if alone else target
    return f"thoth rescue {shlex.quote(folder)} --collection {shlex.quote(name)}"
