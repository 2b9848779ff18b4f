"""What calls hand back. Plain data; numpy is only named for types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from thoth_core.errors import ThothError
from thoth_core.prices import NOTHING, Cost

if TYPE_CHECKING:
    from thoth_core.vectors import Vectors

Metadata = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Hit:
    """One chunk that was found. ``score`` is the cosine similarity, higher is nearer; ``source``
    is what the metadata names so, or empty; ``vector`` has shape (dimension,) if it was asked
    for with ``include=["vectors"]``."""

    id: str
    score: float
    source: str
    text: str | None
    metadata: Metadata
    vector: Vectors | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Row:
    """One stored chunk."""

    id: str
    text: str | None
    metadata: Metadata | None
    vector: Vectors | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Rows(Sequence[Row]):
    """What ``get`` found: parallel lists, and a sequence of :class:`Row`. ``vectors`` has shape
    (n, dimension), or is None if they were not asked for."""

    ids: list[str]
    texts: list[str | None]
    metadatas: list[Metadata | None]
    vectors: Vectors | None = field(default=None, compare=False)

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[Row]:
        return (self._row(i) for i in range(len(self.ids)))

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self._row(i) for i in range(*index.indices(len(self.ids)))]
        return self._row(range(len(self.ids))[index])

    def _row(self, i: int) -> Row:
        vector = None if self.vectors is None else self.vectors[i]
        return Row(self.ids[i], self.texts[i], self.metadatas[i], vector)


@dataclass(frozen=True, slots=True)
class Source:
    """What chunks come from: a document, or what the metadata of added texts names so. ``stored``
    is when an ingest last wrote it (UTC), None if none did. ``complete``: all its chunks are as
    that ingest recorded them."""

    source: str
    chunks: int
    stored: datetime | None
    complete: bool

    def to_dict(self) -> dict[str, Any]:
        """The documented JSON form."""
        return {
            "source": self.source,
            "chunks": self.chunks,
            "stored": None if self.stored is None else self.stored.isoformat(timespec="seconds"),
            "complete": self.complete,
        }


@dataclass(frozen=True, slots=True)
class Shown:
    """One chunk, and its neighbours ``before`` and ``after`` in its document, in order. ``stored``
    is of its document, as in :class:`Source`."""

    chunk: Row
    stored: datetime | None
    before: list[Row]
    after: list[Row]


class AddReport(list[str]):
    """The ids of the texts of an ``add``, one for each in their order, and what was done.

    ``failed`` names the texts that were refused while the others were stored; where no id was
    given for such a text its place holds an empty string. ``superseded`` lists the indexes that a
    newer write to the same id had overtaken.
    """

    def __init__(self, ids: Sequence[str] = ()) -> None:
        super().__init__(ids)
        self.embedded = 0
        self.reused = 0
        self.unchanged = 0
        self.superseded: list[int] = []
        self.windowed = 0
        self.tokens = 0
        #: What embedded them; empty if there was nothing to ask the service.
        self.model = ""
        self.failed: list[tuple[int, ThothError]] = []


@dataclass(frozen=True, slots=True)
class UpsertReport:
    """Rows written, found unchanged, and (by index) overtaken by a newer write."""

    written: int
    unchanged: int
    superseded: list[int]


@dataclass(frozen=True, slots=True)
class Collection:
    """``model`` is a name. It is None, and so is ``dimension``, for a collection that nothing was
    written to yet; it alone is None for one that has only the caller's own vectors."""

    name: str
    model: str | None
    dimension: int | None
    count: int


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export wrote: ``collections`` has name, chunks and documents of each. ``begun_anew``
    is how often it had to begin again because the store died under it."""

    path: str
    bytes: int
    collections: list[dict[str, Any]]
    begun_anew: int = 0

    @property
    def chunks(self) -> int:
        return sum(each["chunks"] for each in self.collections)


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import stored, under the names that it has now. ``resumed`` of the chunks were there
    already from an import of the same file that was ended."""

    path: str
    collections: list[dict[str, Any]]
    resumed: int = 0

    @property
    def chunks(self) -> int:
        return sum(each["chunks"] for each in self.collections)


@dataclass(slots=True)
class ReembedReport:
    """What became of a collection that was embedded with another model. ``already``: it was of that
    model, and nothing was done. ``embedded`` and ``reused`` count what this call brought in, so
    that they are fewer than ``chunks`` after one that had ended before; ``removed`` counts chunks
    that were deleted from the collection meanwhile; ``cost`` is what the tokens cost."""

    collection: str
    chunks: int = 0
    embedded: int = 0
    reused: int = 0
    removed: int = 0
    windowed: int = 0
    tokens: int = 0
    already: bool = False
    cost: Cost = NOTHING

    def to_dict(self) -> dict[str, Any]:
        """The documented JSON form, without its ``schema_version``."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        return plain | {"cost": self.cost.to_dict()}


def when(stored: float | None) -> datetime | None:
    """The moment that a number of seconds since 1970 is."""
    return None if stored is None else datetime.fromtimestamp(stored, UTC)


def hit_of(raw: Mapping[str, Any], vector: Vectors | None) -> Hit:
    """The hit in an answer's ``{id, score, text, metadata}``."""
    metadata = dict(raw.get("metadata") or {})
    return Hit(
        id=str(raw["id"]),
        score=float(raw["score"]),
        source=str(metadata.get("source", "")),
        text=raw.get("text"),
        metadata=metadata,
        vector=vector,
    )
