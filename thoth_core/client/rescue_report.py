"""What a rescue found, and what became of it. Plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

#: Rows that are named in a report; all of them are counted.
NAMED = 100


@dataclass(slots=True)
class RescuedCollection:
    """``name`` in the Chroma directory, and ``to``, what it is called here. ``rows`` are all that
    were found, ``texts`` those of them that have one. ``from_index``, ``from_log`` and
    ``from_chroma`` count vectors by where they were found: in the files of the index, in Chroma's
    log, and by a child process that opened a copy with Chroma itself. ``embedded`` rows had none
    and got one by the model; ``without_vector`` have none and were not brought in. ``refused``
    cannot be kept, with the reason of each of the first of them; ``values_left_out`` counts values
    of metadata that cannot. ``model`` is the one that made the vectors, if that is known."""

    name: str
    to: str
    space: str = "cosine"
    dimension: int | None = None
    model: str | None = None
    rows: int = 0
    texts: int = 0
    from_index: int = 0
    from_log: int = 0
    from_chroma: int = 0
    embedded: int = 0
    without_vector: int = 0
    refused: int = 0
    reasons: list[tuple[str, str]] = field(default_factory=list)
    values_left_out: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def vectors(self) -> int:
        return self.from_index + self.from_log + self.from_chroma

    @property
    def stored(self) -> int:
        return self.vectors + self.embedded

    def refuse(self, id: str, reason: str) -> None:
        self.refused += 1
        if len(self.reasons) < NAMED:
            self.reasons.append((id, reason))

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "to": self.to,
            "space": self.space,
            "dimension": self.dimension,
            "model": self.model,
            "rows": self.rows,
            "texts": self.texts,
            "vectors": {
                "index": self.from_index,
                "log": self.from_log,
                "chroma": self.from_chroma,
            },
            "embedded": self.embedded,
            "without_vector": self.without_vector,
            "refused": self.refused,
            "reasons": [{"id": id, "reason": reason} for id, reason in self.reasons],
            "values_left_out": self.values_left_out,
            "notes": self.notes,
        }


@dataclass(slots=True)
class RescueReport:
    """``findings`` are what is damaged in the directory, and ``losses`` what could not be read of
    its database, in words."""

    path: str
    findings: list[str] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    collections: list[RescuedCollection] = field(default_factory=list)

    @property
    def stored(self) -> int:
        return sum(each.stored for each in self.collections)

    @property
    def whole(self) -> bool:
        """Whether every row was brought in as it was."""
        left_out = any(
            each.without_vector or each.refused or each.values_left_out for each in self.collections
        )
        return not (self.losses or left_out)

    def to_dict(self) -> dict[str, Any]:
        """The documented JSON form, without its ``schema_version``."""
        return {
            "path": self.path,
            "damaged": bool(self.findings),
            "findings": self.findings,
            "losses": self.losses,
            "collections": [each.to_dict() for each in self.collections],
        }
