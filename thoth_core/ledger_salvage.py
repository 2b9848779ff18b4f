"""Reads what can still be read of a damaged ledger, and writes it as an export.

A garbled page holds some rows of one table; they are stepped over. A row whose text is not the text
that was written is left out, and so is a document that lacks one of its chunks, so that the next
ingest takes its file as new. Nothing is ever written to the ledger.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from thoth_core import __version__
from thoth_core.chroma_dir.database_salvage import filled_copy
from thoth_core.client.archive_format import (
    IMPORT_PREFIX,
    CollectionEntry,
    Manifest,
    file_names,
)
from thoth_core.client.archive_write import ArchiveWriter
from thoth_core.errors import StorageError
from thoth_core.ids import text_hash
from thoth_core.ledger_rows import MORE_ROOM, SortedRows

NAME = "ledger.sqlite3"

_LINE = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
#: Bytes of lines that are written at once.
_BLOCK = 1024 * 1024


@dataclass(slots=True)
class Salvaged:
    """Of each collection: name, chunks that were read, and documents with all their chunks.
    ``gaps`` are places in the file that cannot be read, ``garbled`` rows that were read and are not
    what was written. ``missing`` counts the chunks that the ledger's own list has besides those
    that were read, None if that list cannot be read either."""

    bytes: int = 0
    collections: list[dict[str, Any]] = field(default_factory=list)
    gaps: int = 0
    garbled: int = 0
    missing: int | None = None

    @property
    def whole(self) -> bool:
        return not (self.gaps or self.garbled) and self.missing == 0


def salvage(folder: Path, target: Path) -> Salvaged:
    """Write what is left of the ledger in ``folder`` (or of the file that it is) to ``target``.

    :class:`StorageError` when there is no ledger, or not even its list of collections can be read.
    """
    path = folder / NAME if folder.is_dir() else folder
    report = Salvaged()
    with contextlib.ExitStack() as stack:
        room = _room(stack)
        db = stack.enter_context(contextlib.closing(_opened(path, _readable(path, room))))
        archive = stack.enter_context(ArchiveWriter(target))
        try:
            collections = _collections(db)
        except sqlite3.Error as problem:
            raise _hopeless(path, f"its list of collections cannot be read: {problem}") from problem
        rows = stack.enter_context(contextlib.closing(SortedRows(db, room / "rows")))
        report.gaps, report.garbled = rows.gaps, rows.garbled
        entries = [
            _collection(db, rows, archive, position, each, report)
            for position, each in enumerate(collections)
        ]
        read = sum(entry.chunks for entry in entries)
        report.missing = _missing(db, [each["id"] for each in collections], read)
        created = datetime.now(UTC).isoformat(timespec="seconds")
        report.bytes = archive.finish(Manifest(__version__, created, entries))
    return report


def _room(stack: contextlib.ExitStack) -> Path:
    try:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="thoth-salvage-")))
    except OSError as problem:
        raise StorageError(
            "there is no folder for a copy of the ledger",
            cause=problem.strerror or str(problem),
            fix=MORE_ROOM,
        ) from problem


def _readable(path: Path, room: Path) -> Path:
    """A copy with its log: SQLite writes beside what it reads, and where it cannot it reads nothing
    of the log. What was cut short is filled in: there SQLite would read zeros."""
    if not path.is_file():
        return path
    copy = room / path.name
    try:
        filled_copy(path, copy)
    except OSError as problem:
        raise StorageError(
            f"the ledger {path} cannot be copied to be read",
            cause=problem.strerror or str(problem),
            fix=MORE_ROOM,
        ) from problem
    return copy


def _opened(path: Path, readable: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise _hopeless(path, "there is no such file")
    db = sqlite3.connect(f"{readable.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)
    try:
        db.execute("PRAGMA trusted_schema = OFF")
        # Otherwise SQLite reads nothing of a file with fewer pages than its header says.
        db.execute("PRAGMA writable_schema = ON")
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error as problem:
        db.close()
        raise _hopeless(path, f"SQLite: {problem}") from problem
    db.text_factory = bytes
    return db


def _hopeless(path: Path, cause: str) -> StorageError:
    return StorageError(
        f"nothing can be read of the ledger {path}",
        cause=cause,
        fix=_way_out(path.parent),
        path=str(path),
    )


def _way_out(folder: Path) -> str:
    if not (folder / "chroma").is_dir():
        return "put a backup in its place, or ingest again: thoth ingest PATH"
    folder = folder.absolute()
    moved = [shlex.quote(str(each)) for each in (folder, Path(f"{folder}.damaged"))]
    index = shlex.quote(f"{folder}.damaged/chroma")
    return f"thoth-supervisor stop --if-running; mv {' '.join(moved)}; thoth rescue {index}"


def _collections(db: sqlite3.Connection) -> list[dict[str, Any]]:
    columns = {row[1].decode() for row in db.execute("PRAGMA table_info(collections)")}
    optional = [n if n in columns else "NULL" for n in ("space", "replaces")]
    found = db.execute(
        f"SELECT id, name, model, dimension, {', '.join(optional)} FROM collections ORDER BY name"
    )
    collections = []
    for id, name, model, dimension, space, replaces in found:
        text = name.decode("utf-8", "replace")
        # A generation or an import that was being made is no collection yet.
        if replaces is None and not text.startswith(IMPORT_PREFIX):
            collections.append(
                {
                    "id": int(id),
                    "name": text,
                    "model": _model(model),
                    "dimension": dimension if isinstance(dimension, int) else None,
                    "space": "cosine" if space is None else space.decode(),
                }
            )
    return collections


def _model(raw: bytes | None) -> Any:
    with contextlib.suppress(ValueError):
        return None if raw is None else json.loads(raw)
    return None


def _collection(
    db: sqlite3.Connection,
    rows: SortedRows,
    archive: ArchiveWriter,
    position: int,
    found: dict[str, Any],
    report: Salvaged,
) -> CollectionEntry:
    chunks_name, documents_name = file_names(position)
    sources: Counter[str] = Counter()
    chunks = documents = 0
    with archive.entry(chunks_name) as entry:
        block = bytearray()
        for row, source in _lines(rows, found, report):
            block += row
            chunks += 1
            if source is not None:
                sources[source] += 1
            if len(block) >= _BLOCK:
                entry.write(bytes(block))
                block.clear()
        entry.write(bytes(block))
    chunks_file = entry.written()
    with archive.entry(documents_name) as entry:
        for source, content_hash, n in _documents(db, found["id"], report):
            if sources[source] == n:
                line = {"source": source, "content_hash": content_hash, "chunks": n}
                entry.write(orjson.dumps(line, option=_LINE))
                documents += 1
    report.collections.append({"name": found["name"], "chunks": chunks, "documents": documents})
    return CollectionEntry(
        name=found["name"],
        model=found["model"],
        dimension=found["dimension"],
        space=found["space"],
        chunks=chunks,
        documents=documents,
        chunks_file=chunks_file,
        documents_file=entry.written(),
    )


def _lines(
    rows: SortedRows, found: dict[str, Any], report: Salvaged
) -> Iterator[tuple[bytes, str | None]]:
    """The lines of a collection's chunks, each with the source of the chunk."""
    seen: set[Any] = set()
    for values in rows.of(found["id"]):
        try:
            line = _line(values, found)
        except (ValueError, TypeError, AttributeError):
            report.garbled += 1
            continue
        id = values[0]
        if id in seen:
            report.garbled += 1
            continue
        seen.add(id)
        yield line


def _line(values: tuple[Any, ...], found: dict[str, Any]) -> tuple[bytes, str | None]:
    """A chunk as a line; an error if it cannot be as it was written."""
    id, computed, digest, metadata, text, vector = values
    numbers = np.frombuffer(vector, "<f4")
    if len(numbers) != found["dimension"] or not np.isfinite(numbers).all() or not numbers.any():
        raise ValueError("no vector")
    words = None if text is None else text.decode()
    if words is not None and digest is not None and text_hash(words) != digest.decode():
        raise ValueError("another text")
    parsed = None if metadata is None else json.loads(metadata)
    if computed not in (0, 1) or not (parsed is None or isinstance(parsed, dict)):
        raise ValueError("no row")
    name = id.decode()
    if not name:
        raise ValueError("no id")
    source = (parsed or {}).get("source")
    line = orjson.dumps(
        {
            "id": name,
            "text": words,
            "metadata": parsed,
            "computed": bool(computed) and found["model"] is not None,
            "vector": numbers,
        },
        option=_LINE,
    )
    return line, source if isinstance(source, str) else None


def _documents(
    db: sqlite3.Connection, collection: int, report: Salvaged
) -> Iterator[tuple[str, str, int]]:
    """Documents as far as they can be read. One that is lost is ingested again, and finds its
    vectors."""
    try:
        for source, digest, n in db.execute(
            "SELECT source, content_hash, chunks FROM documents"
            " WHERE collection = ? AND content_hash IS NOT NULL",
            (collection,),
        ):
            with contextlib.suppress(ValueError, AttributeError):
                yield source.decode(), digest.decode(), int(n)
    except sqlite3.DatabaseError:
        report.gaps += 1


def _missing(db: sqlite3.Connection, collections: list[int], read: int) -> int | None:
    """How many more chunks than ``read`` the list of ids has; it is a part of the file of its own
    and need not be damaged where the rows are."""
    try:
        listed = 0
        for collection in collections:
            listed += db.execute(
                "SELECT count(*) FROM chunks INDEXED BY chunks_order WHERE collection = ?",
                (collection,),
            ).fetchone()[0]
    except sqlite3.DatabaseError:
        return None
    return max(0, int(listed) - read)
