"""The lines of an export as rows that can be sent, each checked. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from thoth_core import validation
from thoth_core.client.archive_format import CollectionEntry
from thoth_core.errors import ExportDamaged, InvalidInput
from thoth_core.plain_values import shown
from thoth_core.vector_checks import check_vectors
from thoth_core.vectors import Vectors

#: Bounds of one message: rows, and bytes of their lines.
BATCH_ROWS = 500
BATCH_BYTES = 8 * 1024 * 1024

Numbered = tuple[int, bytes]


@dataclass(slots=True)
class Batch:
    """Consecutive rows whose vectors are all computed or all the caller's own. ``first`` is the
    line of the first, counted from 1."""

    first: int
    computed: bool
    ids: list[str] = field(default_factory=list)
    texts: list[str | None] = field(default_factory=list)
    metadatas: list[dict[str, Any] | None] = field(default_factory=list)
    vectors: list[Any] = field(default_factory=list)
    bytes: int = 0

    @property
    def full(self) -> bool:
        return len(self.ids) >= BATCH_ROWS or self.bytes >= BATCH_BYTES

    def put(self, row: dict[str, Any], size: int) -> None:
        self.ids.append(row["id"])
        self.texts.append(row["text"])
        self.metadatas.append(row["metadata"])
        self.vectors.append(row["vector"])
        self.bytes += size


def batches(entry: CollectionEntry, lines: Iterable[Numbered]) -> Iterator[Batch]:
    """The rows of numbered lines in batches. :class:`ExportDamaged` names the line."""
    batch: Batch | None = None
    for number, line in lines:
        row = _row(entry, number, line)
        if batch is not None and (batch.full or batch.computed is not row["computed"]):
            yield batch
            batch = None
        if batch is None:
            batch = Batch(number, row["computed"])
        batch.put(row, len(line))
    if batch is not None:
        yield batch


def array(entry: CollectionEntry, batch: Batch) -> Vectors:
    """The vectors of a batch: float32 (n, dimension). :class:`ExportDamaged` names the line."""
    try:
        vectors = check_vectors(np.array(batch.vectors), entry.dimension)
    except (ValueError, InvalidInput) as problem:
        # One by one, to find the line.
        for place, row in enumerate(batch.vectors):
            try:
                check_vectors(np.array([row]), entry.dimension)
            except (ValueError, InvalidInput) as worse:
                what = f"has a bad vector: {_words(worse)}"
                raise _bad(entry, batch.first + place, what) from problem
        what = f"and those after it have bad vectors: {_words(problem)}"
        raise _bad(entry, batch.first, what) from None
    return vectors


def id_of(entry: CollectionEntry, number: int, line: bytes) -> str:
    """The id in a line."""
    return str(_row(entry, number, line)["id"])


def source_of(entry: CollectionEntry, number: int, line: bytes) -> str:
    """The source in a line of a documents file."""
    return str(document(entry, number, line)[0])


def repeated(name: str, number: int, what: str, value: str, earlier: int) -> ExportDamaged:
    """The error of a line with the id or the source of an earlier one."""
    return _damaged(name, number, f"has the {what} {shown(value)}, as line {earlier} has")


def document(entry: CollectionEntry, number: int, line: bytes) -> list[Any]:
    """A line of a documents file as ``[source, content_hash, chunks]``."""
    name = entry.documents_file.name
    value = _parsed(name, number, line)
    source, digest, n = (value.get(key) for key in ("source", "content_hash", "chunks"))
    if not (isinstance(source, str) and source and isinstance(digest, str) and digest):
        raise _damaged(name, number, "names no source with its content_hash")
    if isinstance(n, bool) or not isinstance(n, int) or not 0 <= n < 2**63:
        raise _damaged(name, number, f"has {shown(n)} chunks")
    return [source, digest, n]


def _row(entry: CollectionEntry, number: int, line: bytes) -> dict[str, Any]:
    row = _parsed(entry.chunks_file.name, number, line)
    row.setdefault("text", None)
    row.setdefault("metadata", None)
    if not isinstance(row.get("id"), str) or not row["id"]:
        raise _bad(entry, number, f"has the id {shown(row.get('id'))}")
    if row["text"] is not None and not isinstance(row["text"], str):
        raise _bad(entry, number, f"has the text {shown(row['text'])}")
    if not isinstance(row.get("computed"), bool) or (row["computed"] and entry.model is None):
        raise _bad(entry, number, f"has {shown(row.get('computed'))} for computed")
    if not isinstance(row.get("vector"), list):
        raise _bad(entry, number, f"has the vector {shown(row.get('vector'))}")
    # An empty dict says as little as none.
    row["metadata"] = row["metadata"] or None
    try:
        validation.check_metadata(row["metadata"], 0)
    except InvalidInput as problem:
        raise _bad(entry, number, f"has metadata that cannot be kept: {problem.cause}") from problem
    return row


def _parsed(name: str, number: int, line: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as problem:
        raise _damaged(name, number, f"is not JSON: {problem}") from problem
    if not isinstance(value, dict):
        raise _damaged(name, number, "is no JSON object")
    return value


def _words(problem: ValueError | InvalidInput) -> str:
    # An error of ours as a string has its cause and its fix with it.
    return problem.message if isinstance(problem, InvalidInput) else str(problem)


def _bad(entry: CollectionEntry, number: int, what: str) -> ExportDamaged:
    return _damaged(entry.chunks_file.name, number, what)


def _damaged(name: str, number: int, what: str) -> ExportDamaged:
    return ExportDamaged(
        f"line {number} of {name} {what}",
        cause="its hash is as the manifest says, so it was written so",
        fix="mend what wrote the file; docs/export.md describes the form",
        file=name,
        line=number,
    )
