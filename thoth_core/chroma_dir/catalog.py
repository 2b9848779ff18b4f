"""What ``chroma.sqlite3`` says: collections, their rows, and the writes in the log.

Everything is streamed. The database that is read here is healthy: of a damaged one,
``database_salvage`` makes a healthy one with what can be read of it.
"""

from __future__ import annotations

import functools
import json
import sqlite3
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from thoth_core.vectors import Vectors

Metadata = dict[str, Any]

#: Operations in the log.
ADD, UPDATE, UPSERT, DELETE = range(4)

_DOCUMENT = "chroma:document"
_URI = "chroma:uri"
#: Keys that are Chroma's own.
_RESERVED = "chroma:"
#: Rows looked up at a time.
_ROWS = 500
_SPACES = ("cosine", "l2", "ip")
_VECTOR, _METADATA = "VECTOR", "METADATA"


@dataclass(frozen=True, slots=True)
class Collection:
    """``flushed`` is the last entry of the log that the vector segment has on disk. ``embedder`` is
    the embedding function that was configured, ``{"name", "config"}``, as far as it is known.
    ``metadata`` is the user's."""

    id: str
    name: str
    database: str
    dimension: int | None
    space: str
    neighbours: int
    metadata: Metadata
    embedder: Mapping[str, Any] | None
    vector_segment: str | None
    metadata_segment: str | None
    flushed: int


@dataclass(slots=True)
class Row:
    id: str
    seq: int
    text: str | None = None
    metadata: Metadata = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """A write in the log. ``changes`` are metadata to merge, where None takes a key away; the text
    is among them under ``chroma:document``."""

    seq: int
    operation: int
    id: str
    vector: Vectors | None
    changes: Metadata


class Catalog:
    """Reads an open, healthy database. Any ``sqlite3.Error`` that comes all the same is raised."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        found = db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        self._tables = {str(name) for (name,) in found}

    # -- collections --------------------------------------------------------------------------

    def collections(self) -> list[Collection]:
        """All of them, of every tenant and database, by name."""
        columns = self._columns("collections")
        wanted = ["id", "name", "dimension", "database_id", "config_json_str", "schema_str"]
        chosen = ", ".join(each if each in columns else "NULL" for each in wanted)
        databases = self._pairs("databases", "id", "name")
        found = []
        for row in self._db.execute(f"SELECT {chosen} FROM collections ORDER BY name, id"):
            id, name, dimension, database, config, schema = row
            found.append(
                self._collection(
                    str(id),
                    str(name),
                    dimension if isinstance(dimension, int) else None,
                    str(databases.get(database, database)),
                    [_parsed(schema), _parsed(config)],
                )
            )
        return found

    def _collection(
        self, id: str, name: str, dimension: int | None, database: str, configs: list[Any]
    ) -> Collection:
        segments = dict(
            self._db.execute("SELECT scope, id FROM segments WHERE collection = ?", (id,))
        )
        metadata = self._values("collection_metadata", "collection_id", id)
        old = {**self._values("segment_metadata", "segment_id", segments.get(_VECTOR)), **metadata}
        index = _vector_index(configs)
        hnsw = index.get("hnsw")
        if not isinstance(hnsw, dict):
            hnsw = {}
        space = index.get("space") or hnsw.get("space") or old.get("hnsw:space")
        neighbours = hnsw.get("max_neighbors") or old.get("hnsw:M")
        embedder = index.get("embedding_function")
        return Collection(
            id=id,
            name=name,
            database=database,
            dimension=dimension,
            space=space if space in _SPACES else "l2",
            neighbours=neighbours if isinstance(neighbours, int) else 16,
            metadata={k: v for k, v in metadata.items() if not k.startswith(("hnsw:", _RESERVED))},
            embedder=embedder if isinstance(embedder, dict) else None,
            vector_segment=segments.get(_VECTOR),
            metadata_segment=segments.get(_METADATA),
            flushed=self._max_seq(segments.get(_VECTOR)),
        )

    def _max_seq(self, segment: str | None) -> int:
        row = self._db.execute(
            "SELECT seq_id FROM max_seq_id WHERE segment_id = ?", (segment,)
        ).fetchone()
        return _seq(row[0]) if row else 0

    # -- rows ---------------------------------------------------------------------------------

    def count(self, collection: Collection) -> int:
        segment = (collection.metadata_segment,)
        query = "SELECT count(*) FROM embeddings WHERE segment_id = ?"
        return int(self._db.execute(query, segment).fetchone()[0])

    def ids(self, collection: Collection) -> Iterator[str]:
        """The ids of all rows, in the order in which they were first written."""
        query = "SELECT embedding_id FROM embeddings WHERE segment_id = ? ORDER BY id"
        for (id,) in self._db.execute(query, (collection.metadata_segment,)):
            yield str(id)

    def written(self, collection: Collection) -> Iterator[tuple[str, int]]:
        """The ids of all rows as :meth:`ids`, each with the log entry that last wrote it."""
        query = "SELECT embedding_id, seq_id FROM embeddings WHERE segment_id = ? ORDER BY id"
        for id, seq in self._db.execute(query, (collection.metadata_segment,)):
            yield str(id), _seq(seq)

    def rows(self, collection: Collection) -> Iterator[Row]:
        """All rows, in the order in which they were first written."""
        # Only the numbers at once: nothing may stay open between two pages, or a program that uses
        # the database could not write, and to sort all rows anew for each page takes for ever.
        numbers = array("q")
        query = "SELECT id FROM embeddings WHERE segment_id = ? ORDER BY id"
        numbers.extend(
            number
            for (number,) in self._db.execute(query, (collection.metadata_segment,))
            if type(number) is int
        )
        for start in range(0, len(numbers), _ROWS):
            some = numbers[start : start + _ROWS]
            query = (
                "SELECT id, embedding_id, seq_id FROM embeddings"
                # The number may be another collection's by now.
                f" WHERE id IN ({','.join('?' * len(some))}) AND +segment_id = ? ORDER BY id"
            )
            found = self._db.execute(query, (*some, collection.metadata_segment)).fetchall()
            rows = {int(number): Row(str(id), _seq(seq)) for number, id, seq in found}
            self._fill(rows)
            yield from rows.values()

    def _fill(self, rows: dict[int, Row]) -> None:
        marks = ",".join("?" * len(rows))
        numbers = tuple(rows)
        columns = "id, key, string_value, int_value, float_value, bool_value"
        for number, key, *values in self._db.execute(
            f"SELECT {columns} FROM embedding_metadata WHERE id IN ({marks})", numbers
        ):
            row, value = rows[number], _value(values)
            if key == _DOCUMENT:
                row.text = value if isinstance(value, str) else None
            elif key == _URI:
                row.metadata.setdefault("uri", value)
            elif value is not None and not str(key).startswith(_RESERVED):
                row.metadata[str(key)] = value
        if "embedding_metadata_array" in self._tables:
            for number, key, *values in self._db.execute(
                f"SELECT {columns} FROM embedding_metadata_array WHERE id IN ({marks})"
                " ORDER BY rowid",
                numbers,
            ):
                held = rows[number].metadata.setdefault(str(key), [])
                if isinstance(held, list):
                    held.append(_value(values))
        lacking = [number for number in numbers if rows[number].text is None]
        if lacking and "embedding_fulltext_search_content" in self._tables:
            # The index of the texts has them too.
            marks = ",".join("?" * len(lacking))
            query = f"SELECT id, c0 FROM embedding_fulltext_search_content WHERE id IN ({marks})"
            for number, text in self._db.execute(query, lacking):
                rows[number].text = text if isinstance(text, str) else None

    # -- the log ------------------------------------------------------------------------------

    def log(self, collection: Collection, after: int = 0) -> Iterator[Entry]:
        """The writes to a collection that the log has after entry ``after``, in order."""
        places = [seq for seq in self._logged.get(collection.id, ()) if seq > after]
        for start in range(0, len(places), _ROWS):
            some = places[start : start + _ROWS]
            query = (
                "SELECT seq_id, operation, id, vector, encoding, metadata FROM embeddings_queue"
                f" WHERE seq_id IN ({','.join('?' * len(some))}) ORDER BY seq_id"
            )
            for seq, operation, id, vector, encoding, changes in self._db.execute(
                query, some
            ).fetchall():
                parsed = _parsed(changes)
                yield Entry(
                    _seq(seq),
                    int(operation),
                    str(id),
                    _decoded(vector, encoding),
                    parsed if isinstance(parsed, dict) else {},
                )

    @functools.cached_property
    def _logged(self) -> dict[str, list[int]]:
        """The entries of the log by collection, in order. The log has no index for that, and there
        may be thousands of collections."""
        found: dict[str, list[int]] = {}
        for seq, topic in self._db.execute("SELECT seq_id, topic FROM embeddings_queue"):
            scheme, _, collection = str(topic).rpartition("/")
            if isinstance(seq, int) and scheme.startswith("persistent://"):
                found.setdefault(collection, []).append(seq)
        for entries in found.values():
            entries.sort()
        return found

    def applied(self, collection: Collection) -> int:
        """The last entry of the log that the rows have."""
        return self._max_seq(collection.metadata_segment)

    def vectors_at(self, entries: Sequence[int]) -> dict[int, Vectors]:
        """The vectors of these entries of the log, those of them that have one."""
        found = {}
        for start in range(0, len(entries), _ROWS):
            some = entries[start : start + _ROWS]
            marks = ",".join("?" * len(some))
            query = (
                f"SELECT seq_id, vector, encoding FROM embeddings_queue WHERE seq_id IN ({marks})"
            )
            for seq, raw, encoding in self._db.execute(query, tuple(some)):
                vector = _decoded(raw, encoding)
                if vector is not None:
                    found[_seq(seq)] = vector
        return found

    # -- helpers ------------------------------------------------------------------------------

    def _columns(self, table: str) -> set[str]:
        return {str(row[1]) for row in self._db.execute(f"PRAGMA table_info({table})")}

    def _pairs(self, table: str, key: str, value: str) -> dict[Any, Any]:
        if table not in self._tables:
            return {}
        return dict(self._db.execute(f"SELECT {key}, {value} FROM {table}"))

    def _values(self, table: str, owner: str, id: str | None) -> Metadata:
        if table not in self._tables:
            return {}
        truth = "bool_value" if "bool_value" in self._columns(table) else "NULL"
        found = self._db.execute(
            f"SELECT key, str_value, int_value, float_value, {truth} FROM {table}"
            f" WHERE {owner} = ?",
            (id,),
        )
        values = {str(key): _value(values) for key, *values in found}
        return {key: value for key, value in values.items() if value is not None}


def merged(text: str | None, metadata: Metadata, changes: Metadata) -> tuple[str | None, Metadata]:
    """A row's text and metadata after ``changes`` of an entry of the log."""
    result = dict(metadata)
    for key, value in changes.items():
        if key == _DOCUMENT:
            text = value if isinstance(value, str) else text
        elif key == _URI:
            result["uri"] = value
        elif value is None:
            result.pop(key, None)
        elif not key.startswith(_RESERVED):
            result[key] = value
    return text, result


def _value(values: list[Any]) -> Any:
    text, whole, real, truth = values
    if isinstance(text, str):
        return text
    if isinstance(truth, int):
        return bool(truth)
    if isinstance(whole, int):
        return whole
    return real if isinstance(real, float) else None


def _seq(value: Any) -> int:
    # Chroma before 0.6 wrote some of these as big-endian bytes.
    if isinstance(value, bytes):
        return int.from_bytes(value, "big")
    return value if isinstance(value, int) else 0


def _parsed(value: Any) -> Any:
    if not isinstance(value, str) or not value:
        return None
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def _decoded(raw: Any, encoding: Any) -> Vectors | None:
    if not isinstance(raw, bytes) or not raw or len(raw) % 4:
        return None
    if encoding == "INT32":
        return np.frombuffer(raw, "<i4").astype(np.float32)
    return np.frombuffer(raw, "<f4")


def _vector_index(configs: list[Any]) -> dict[str, Any]:
    """The part about vectors of the first of ``configs`` (a schema, then the older configuration)
    that has one."""
    for config in configs:
        for path in (
            ("keys", "#embedding", "float_list", "vector_index", "config"),
            ("defaults", "float_list", "vector_index", "config"),
            ("hnsw_configuration",),
            (),
        ):
            place = config
            for key in path:
                place = place.get(key) if isinstance(place, dict) else None
            if isinstance(place, dict) and ("space" in place or "hnsw" in place):
                return place
    return {}
