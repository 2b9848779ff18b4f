"""Makes a healthy database of what can be read of a damaged ``chroma.sqlite3``.

A garbled page holds some rows of one table; they are stepped over by their row numbers, and
counted.
"""

from __future__ import annotations

import shutil
import sqlite3
import struct
from dataclasses import dataclass
from pathlib import Path

from thoth_core.chroma_dir.row_reader import Reader

#: The tables that are read, and their columns.
_TABLES = {
    "databases": ("id", "name", "tenant_id"),
    "collections": ("id", "name", "dimension", "database_id", "config_json_str", "schema_str"),
    "collection_metadata": (
        "collection_id",
        "key",
        "str_value",
        "int_value",
        "float_value",
        "bool_value",
    ),
    "segments": ("id", "type", "scope", "collection"),
    "segment_metadata": (
        "segment_id",
        "key",
        "str_value",
        "int_value",
        "float_value",
        "bool_value",
    ),
    "max_seq_id": ("segment_id", "seq_id"),
    "embeddings": ("id", "segment_id", "embedding_id", "seq_id"),
    "embedding_metadata": (
        "id",
        "key",
        "string_value",
        "int_value",
        "float_value",
        "bool_value",
    ),
    "embedding_metadata_array": (
        "id",
        "key",
        "string_value",
        "int_value",
        "float_value",
        "bool_value",
    ),
    "embedding_fulltext_search_content": ("id", "c0"),
    "embeddings_queue": (
        "seq_id",
        "topic",
        "id",
        "operation",
        "vector",
        "encoding",
        "metadata",
    ),
}
_INDEXES = (
    "CREATE INDEX s1 ON segments (collection)",
    "CREATE INDEX s2 ON collection_metadata (collection_id)",
    "CREATE INDEX s3 ON segment_metadata (segment_id)",
    "CREATE INDEX s4 ON embeddings (segment_id, id)",
    "CREATE INDEX s5 ON embedding_metadata (id)",
    "CREATE INDEX s6 ON embedding_metadata_array (id)",
    "CREATE INDEX s7 ON embedding_fulltext_search_content (id)",
    "CREATE INDEX s8 ON embeddings_queue (topic, seq_id)",
    "CREATE INDEX s9 ON embeddings_queue (seq_id)",
)
_BATCH = 1000
#: Places in the header of SQLite's file: the size of a page, and the number of pages.
_PAGE_SIZE_AT, _PAGE_COUNT_AT = 16, 28
_HEADER_BYTES = 100
_MAGIC = b"SQLite format 3\0"
#: A file is filled up to this many times its size.
_FILLED = 8


@dataclass(frozen=True, slots=True)
class Loss:
    """Of ``table``: how many gaps there are in what was read, and how many row numbers they span:
    at most so many rows are lost. ``at_most`` is None if its end, or all of it, could not be read.
    """

    table: str
    gaps: int
    at_most: int | None


def salvage(db: sqlite3.Connection, target: Path) -> list[Loss]:
    """Copy what ``db`` has into a new database ``target``; what could not be read.

    A table that cannot be found at all is empty in ``target``. ``sqlite3.DatabaseError`` when not
    even the list of tables can be read.
    """
    # Otherwise SQLite reads nothing of a file with fewer pages than its header says.
    db.execute("PRAGMA writable_schema = ON")
    # A text that is none is junk, and so is the row that it is in.
    db.text_factory = str
    names = {
        str(name)
        for (name,) in db.execute(
            # Not a view nor what a module makes: those would have to be run.
            "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'"
        )
    }
    losses = []
    out = sqlite3.connect(target, isolation_level=None)
    try:
        out.execute("PRAGMA journal_mode = OFF")
        out.execute("PRAGMA synchronous = OFF")
        out.execute("BEGIN")
        for table, columns in _TABLES.items():
            # No types, so that each value stays what it is.
            out.execute(f"CREATE TABLE {table} ({', '.join(columns)})")
            loss = _copy(db, out, table, columns) if table in names else None
            if loss:
                losses.append(loss)
        for statement in _INDEXES:
            out.execute(statement)
        out.execute("COMMIT")
    finally:
        out.close()
    return losses


def missing_pages(path: Path) -> int:
    """How many bytes a file that was cut short lacks, by its header; 0 if nothing can be said."""
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    size = path.stat().st_size
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        return 0
    page = _page_size(header)
    pages = int(struct.unpack_from(">I", header, _PAGE_COUNT_AT)[0])
    return min(max(pages * page, -(-size // page) * page) - size, _FILLED * size)


def filled_copy(path: Path, target: Path) -> None:
    """Copy a database with its journal and log. What a file that was cut short lacks is filled in
    so that nobody takes it for content: SQLite gives zeros for it, which would be vectors and texts
    that nobody wrote. ``OSError``."""
    lacking = missing_pages(path)
    # Not copy2: the copy of a read-only file must be writable.
    shutil.copyfile(path, target)
    for suffix in ("-journal", "-wal"):
        beside = path.with_name(path.name + suffix)
        if beside.is_file():
            shutil.copyfile(beside, target.with_name(target.name + suffix))
    with target.open("r+b") as file:
        page = _page_size(file.read(_HEADER_BYTES))
        size = file.seek(0, 2)
        # No page begins so, and no text, and as a number it is none.
        junk, left = b"\xff" * page, lacking + size % page
        file.seek(size - size % page)
        while left > 0:
            left -= file.write(junk[:left])


def _page_size(header: bytes) -> int:
    size = int(struct.unpack_from(">H", header, _PAGE_SIZE_AT)[0])
    return size if size >= 512 and size & (size - 1) == 0 else 65536 if size == 1 else 4096


def _copy(
    db: sqlite3.Connection, out: sqlite3.Connection, table: str, columns: tuple[str, ...]
) -> Loss | None:
    try:
        there = {str(row[1]) for row in db.execute(f"PRAGMA table_info({table})")}
    except sqlite3.DatabaseError:
        return Loss(table, 1, None)
    chosen = ", ".join(each if each in there else "NULL" for each in columns)
    insert = f"INSERT INTO {table} VALUES ({', '.join('?' * len(columns))})"
    reader = Reader(db, table, chosen)
    batch = []
    for row in reader.rows():
        batch.append(row)
        if len(batch) >= _BATCH:
            out.executemany(insert, batch)
            batch.clear()
    out.executemany(insert, batch)
    if not reader.gaps:
        return None
    return Loss(table, reader.gaps, None if reader.open_end else reader.span)
