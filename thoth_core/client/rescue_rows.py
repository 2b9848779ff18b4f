"""Rows of a Chroma directory as rows that the store takes. Pure.

Chroma takes a little more than Thoth does, and of a damaged directory anything may come: what
cannot be kept is left out and counted, and nothing else with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from thoth_core import validation
from thoth_core.chroma_dir.gather import INDEX, LOG, Found
from thoth_core.client.import_rows import BATCH_BYTES, BATCH_ROWS
from thoth_core.client.rescue_report import RescuedCollection
from thoth_core.client.splitting import row_sizes
from thoth_core.errors import InvalidInput
from thoth_core.plain_values import lone_surrogate
from thoth_core.vector_checks import check_vectors
from thoth_core.vectors import Vectors

#: Of one row, so that it fits in a message.
MAX_ROW_BYTES = 16 * 1024 * 1024
#: A vector that a child process found.
CHROMA = "chroma"


@dataclass(slots=True)
class Rows:
    """Rows that go in one message, all computed by the model or none."""

    computed: bool = False
    ids: list[str] = field(default_factory=list)
    texts: list[str | None] = field(default_factory=list)
    metadatas: list[dict[str, Any] | None] = field(default_factory=list)
    vectors: list[Vectors] = field(default_factory=list)
    bytes: int = 0

    @property
    def full(self) -> bool:
        return len(self.ids) >= BATCH_ROWS or self.bytes >= BATCH_BYTES

    def put(self, row: Found) -> None:
        self.ids.append(row.id)
        self.texts.append(row.text)
        self.metadatas.append(row.metadata or None)
        if row.vector is not None:
            self.vectors.append(row.vector)
        self.bytes += size_of(row)

    def array(self) -> Vectors:
        return np.array(self.vectors, np.float32)


def size_of(row: Found) -> int:
    """Bytes of the row in a message, about."""
    words = next(iter(row_sizes([row.id], [row.text or ""], [row.metadata or None])))
    return words + (0 if row.vector is None else row.vector.nbytes)


def tidied(row: Found, report: RescuedCollection) -> Found | None:
    """The row as it can be kept, or None; what is left out is counted in ``report``."""
    row.metadata = _tidied(row.metadata, report)
    try:
        validation.check_ids([row.id])
        if row.text is not None and lone_surrogate(row.text) is not None:
            raise InvalidInput("its text cannot be written as UTF-8")
        if size_of(row) > MAX_ROW_BYTES:
            raise InvalidInput(f"it has over {MAX_ROW_BYTES:,} bytes")
    except InvalidInput as problem:
        report.refuse(row.id, problem.message)
        return None
    if row.vector is not None and not usable(row.vector, report.dimension):
        row.vector, row.origin = None, ""
    return row


def count(row: Found, report: RescuedCollection) -> None:
    """Count a row that is stored with the vector that was found for it."""
    if row.origin == INDEX:
        report.from_index += 1
    elif row.origin == LOG:
        report.from_log += 1
    elif row.origin == CHROMA:
        report.from_chroma += 1


def usable(vector: Vectors, dimension: int | None) -> bool:
    """Whether the store takes it: of this dimension, finite, and with a direction."""
    try:
        check_vectors(vector[None, :], dimension)
    except InvalidInput:
        return False
    return True


def _tidied(metadata: dict[str, Any], report: RescuedCollection) -> dict[str, Any]:
    if not metadata:
        return metadata
    try:
        validation.check_metadata(metadata, 0)
    except InvalidInput:
        kept = {key: value for key, value in metadata.items() if _can_be_kept(key, value)}
        report.values_left_out += len(metadata) - len(kept)
        return kept
    return metadata


def _can_be_kept(key: Any, value: Any) -> bool:
    try:
        validation.check_metadata({key: value}, 0)
    except InvalidInput:
        return False
    return True
