"""What an ingest hands back, and what it tells on its way. Plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from thoth_core.errors import ThothError
from thoth_core.prices import NOTHING, Cost


@dataclass(frozen=True, slots=True)
class IngestProgress:
    """How far an ingest is. ``source`` is the file that was read last, ``chunks`` those that were
    read so far, ``bytes`` the size of all files. ``seconds_left`` is None until it can be told.
    ``reconnects`` counts how often the connection to the service was lost and its open requests
    were sent again."""

    files_done: int
    files: int
    chunks_done: int
    chunks: int
    source: str
    bytes_done: int = 0
    bytes: int = 0
    chunks_per_second: float = 0.0
    seconds_left: float | None = None
    reconnects: int = 0


@dataclass(frozen=True, slots=True)
class FileOutcome:
    """What became of one file, told as soon as it is certain. ``outcome`` is ``new``, ``changed``,
    ``unchanged``, ``moved`` (from ``moved_from``), ``removed`` or ``failed`` (for ``reason``);
    ``chunks`` are those that were stored of it, ``note`` what to know of how it was read."""

    source: str
    outcome: str
    chunks: int = 0
    moved_from: str = ""
    reason: str = ""
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The documented JSON form of the event, without its ``schema_version``."""
        more = {"from": self.moved_from, "reason": self.reason, "note": self.note}
        if self.outcome in ("new", "changed", "moved"):
            more["chunks"] = self.chunks  # type: ignore[assignment]
        told = {name: value for name, value in more.items() if value != ""}
        return {"event": "file", "source": self.source, "outcome": self.outcome} | told


@dataclass(slots=True)
class IngestReport:
    """What became of the files of an ingest. Each is counted once: ``failed`` has (source, error)
    for each that was not taken in whole; ``unchanged`` counts besides what had not changed what
    another ingest, which began later, stored meanwhile; ``moves`` has (from, to) of the ``moved``
    ones, ``removals`` the sources of the ``removed`` documents, and ``skipped`` how many files and
    folders were passed over, by reason; ``endings`` how many of the ``unsupported`` ones end so
    (``".xlsx"``; ``""`` is a name without an ending); ``gone`` counts documents below the given
    paths whose files are no more and that were left, because nothing was to be pruned. ``chunks``
    counts those of new, changed and moved files.
    ``notes`` has (source, what to know of it) for files that were taken and may not be as meant.
    ``cost`` is what the tokens cost."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    moved: int = 0
    removed: int = 0
    failed: list[tuple[str, ThothError]] = field(default_factory=list)
    chunks: int = 0
    embedded: int = 0
    reused: int = 0
    windowed: int = 0
    tokens: int = 0
    cost: Cost = NOTHING
    notes: list[tuple[str, str]] = field(default_factory=list)
    moves: list[tuple[str, str]] = field(default_factory=list)
    removals: list[str] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)
    endings: dict[str, int] = field(default_factory=dict)
    gone: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The documented JSON form, without its ``schema_version``."""
        return {
            "files": _files(self),
            "chunks": self.chunks,
            "embedded": self.embedded,
            "reused": self.reused,
            "windowed": self.windowed,
            "tokens": self.tokens,
            "cost": self.cost.to_dict(),
            **_lists(self),
        }


@dataclass(frozen=True, slots=True)
class DryRunReport:
    """What an ingest would do. ``new``, ``changed``, ``unchanged``, ``moved``, ``removed``,
    ``failed``, ``notes``, ``moves``, ``removals``, ``skipped``, ``endings`` and ``chunks`` as in
    :class:`IngestReport`.

    ``stored`` chunks have a vector of ``model`` in the store already, under whatever id, the
    ``unchanged_chunks`` of unchanged files among them; ``repeated`` have the text of another one,
    with which it is embedded once; and ``to_embed`` are left. ``tokens`` is the sum over new and
    changed files, ``tokens_to_embed`` over what is to be embedded. ``encoding`` counted them: for a
    model of OpenAI's its own, for others that of ``RAG_CHUNK_ENCODING``, which is near. ``cost`` is
    what they would cost."""

    collection: str
    model: str
    new: int
    changed: int
    unchanged: int
    moved: int
    removed: int
    failed: list[tuple[str, ThothError]]
    notes: list[tuple[str, str]]
    moves: list[tuple[str, str]]
    removals: list[str]
    skipped: dict[str, int]
    chunks: int
    unchanged_chunks: int
    stored: int
    repeated: int
    to_embed: int
    tokens: int
    tokens_to_embed: int
    encoding: str
    cost: Cost
    endings: dict[str, int] = field(default_factory=dict)
    gone: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The documented JSON form, without its ``schema_version``."""
        return {
            "dry_run": True,
            "collection": self.collection,
            "model": self.model,
            "files": _files(self),
            "chunks": self.chunks,
            "unchanged_chunks": self.unchanged_chunks,
            "stored": self.stored,
            "repeated": self.repeated,
            "to_embed": self.to_embed,
            "tokens": self.tokens,
            "tokens_to_embed": self.tokens_to_embed,
            "encoding": self.encoding,
            "cost": self.cost.to_dict(),
            **_lists(self),
        }


def reason_of(error: ThothError) -> str:
    """Why a file failed, in one line."""
    reason = error.details.get("reason") or error.cause
    if isinstance(error.details.get("source"), str) and reason:
        return str(reason)  # the message would only name the file once more
    return f"{error.message} ({error.cause})" if error.cause else error.message


def _files(report: IngestReport | DryRunReport) -> dict[str, Any]:
    return {
        "new": report.new,
        "changed": report.changed,
        "unchanged": report.unchanged,
        "moved": report.moved,
        "removed": report.removed,
        "gone": report.gone,
        "failed": [{"source": s, "reason": reason_of(e)} for s, e in report.failed],
        "skipped": dict(sorted(report.skipped.items())),
        "endings": dict(sorted(report.endings.items())),
    }


def _lists(report: IngestReport | DryRunReport) -> dict[str, Any]:
    return {
        "notes": [{"source": source, "note": note} for source, note in report.notes],
        "moves": [{"from": old, "to": new} for old, new in report.moves],
        "removals": list(report.removals),
    }
