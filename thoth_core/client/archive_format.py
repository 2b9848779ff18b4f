"""The form of an export: what its manifest says, and how it is read without trusting it. Pure.

An export is a ZIP file with ``manifest.json`` and two JSON Lines files for each collection, one of
chunks and one of documents. ``docs/export.md`` describes it for others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from thoth_core.errors import ExportDamaged, VersionMismatch
from thoth_core.plain_values import shown

MANIFEST = "manifest.json"
FORMAT = "thoth-export"
#: Raised when a reader of the one before would misread a file of this one.
FORMAT_VERSION = 1
#: Begins the names of collections that are being imported.
IMPORT_PREFIX = "thoth-import-"
#: A manifest has about 600 bytes a collection.
MAX_MANIFEST_BYTES = 64 * 1024 * 1024
#: As in Chroma's own files. Arrays are made by it.
MAX_DIMENSION = 1_000_000
SPACES = ("cosine", "l2", "ip")

_NAME = re.compile(r"\d{3,6}(\.documents)?\.jsonl")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file of the export; ``bytes`` as it is when unpacked."""

    name: str
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class CollectionEntry:
    """A collection of the export. ``model`` is the identity of its model, or None if it has only
    the caller's own vectors."""

    name: str
    model: Mapping[str, Any] | None
    dimension: int | None
    space: str
    chunks: int
    documents: int
    chunks_file: FileEntry
    documents_file: FileEntry


@dataclass(frozen=True, slots=True)
class Manifest:
    """``created`` is a time in UTC, ISO 8601."""

    thoth_version: str
    created: str
    collections: Sequence[CollectionEntry]


def to_json(manifest: Manifest) -> bytes:
    """What stands in ``manifest.json``."""
    content = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "thoth_version": manifest.thoth_version,
        "created": manifest.created,
        "collections": [
            {
                "name": each.name,
                "model": None if each.model is None else dict(each.model),
                "dimension": each.dimension,
                "space": each.space,
                "chunks": each.chunks,
                "documents": each.documents,
                "files": {
                    "chunks": _file(each.chunks_file),
                    "documents": _file(each.documents_file),
                },
            }
            for each in manifest.collections
        ],
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def from_json(raw: bytes) -> Manifest:
    """The manifest in ``raw``. :class:`ExportDamaged`; :class:`VersionMismatch` when it is of a
    later form than this."""
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError) as problem:
        raise _bad(f"is not JSON: {problem}") from problem
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise _bad(f"does not say that this is a {FORMAT}")
    version = content.get("format_version")
    if version != FORMAT_VERSION:
        raise VersionMismatch(
            f"the export has the format version {shown(version)}, this Thoth knows "
            f"{FORMAT_VERSION}",
            cause="it was written by a newer Thoth",
            fix="pip install --upgrade thoth-core",
        )
    listed = content.get("collections")
    if not isinstance(listed, list):
        raise _bad("lists no collections")
    collections = [_collection(each, f"collection {i}") for i, each in enumerate(listed)]
    _once("collection", [each.name for each in collections])
    files = [f.name for each in collections for f in (each.chunks_file, each.documents_file)]
    _once("file", files)
    return Manifest(
        thoth_version=str(content.get("thoth_version")),
        created=str(content.get("created")),
        collections=collections,
    )


def file_names(position: int) -> tuple[str, str]:
    """The names of the files of the collection at ``position``: its chunks, its documents."""
    return f"{position:03}.jsonl", f"{position:03}.documents.jsonl"


def _file(entry: FileEntry) -> dict[str, Any]:
    return {"name": entry.name, "sha256": entry.sha256, "bytes": entry.bytes}


def _collection(value: Any, where: str) -> CollectionEntry:
    if not isinstance(value, dict):
        raise _bad(f"{where} is {shown(value)}")
    name, model, space = value.get("name"), value.get("model"), value.get("space")
    dimension, files = value.get("dimension"), value.get("files")
    if not isinstance(name, str) or not name:
        raise _bad(f"{where} has the name {shown(name)}")
    if not (model is None or isinstance(model, dict)):
        raise _bad(f"{where} has the model {shown(model)}")
    if space not in SPACES:
        raise _bad(f"{where} has the space {shown(space)}")
    if dimension is not None:
        dimension = _whole(value, "dimension", where)
        if not 1 <= dimension <= MAX_DIMENSION:
            raise _bad(f"{where} has the dimension {dimension:,}, not 1 to {MAX_DIMENSION:,}")
    if model is not None:
        # True equals 1 and is none.
        if type(model.get("dimension")) is not int:
            raise _bad(f"{where} has a model without its dimension")
        if model["dimension"] != dimension:
            raise _bad(f"{where} has another dimension than its model")
    chunks = _whole(value, "chunks", where)
    if chunks and not dimension:
        raise _bad(f"{where} has chunks and no dimension")
    if not isinstance(files, dict):
        raise _bad(f"{where} names no files")
    return CollectionEntry(
        name=name,
        model=model,
        dimension=dimension,
        space=space,
        chunks=chunks,
        documents=_whole(value, "documents", where),
        chunks_file=_file_entry(files.get("chunks"), where),
        documents_file=_file_entry(files.get("documents"), where),
    )


def _file_entry(value: Any, where: str) -> FileEntry:
    if not isinstance(value, dict):
        raise _bad(f"{where} names no files")
    name, sha256 = value.get("name"), value.get("sha256")
    # Nothing is ever unpacked to a disk; a name that could lead out of a folder is still no name.
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise _bad(f"{where} names the file {shown(name)}")
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        raise _bad(f"{where} has {shown(sha256)} for a sha256")
    return FileEntry(name, sha256, _whole(value, "bytes", where))


def _whole(value: Mapping[str, Any], key: str, where: str) -> int:
    number = value.get(key)
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 2**63:
        raise _bad(f"{where} has {shown(number)} {key}")
    return number


def _once(what: str, names: Sequence[str]) -> None:
    if len(set(names)) != len(names):
        raise _bad(f"names a {what} twice")


def _bad(what: str) -> ExportDamaged:
    return ExportDamaged(
        f"{MANIFEST} {what}",
        fix="export again, or import another copy of the file",
        file=MANIFEST,
    )
