"""What a caller hands over, checked and brought into the form of the wire. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Sized
from typing import Any

from thoth_core import validation
from thoth_core.client.results import Metadata
from thoth_core.errors import InvalidInput
from thoth_core.ids import chunk_id
from thoth_core.where_checks import check_where, check_where_document

Where = Mapping[str, Any] | None


def filters(where: Where, where_document: Where, include: Sequence[str] | None) -> dict[str, Any]:
    check_where(where)
    check_where_document(where_document)
    out: dict[str, Any] = {}
    if where is not None:
        out["where"] = where
    if where_document is not None:
        out["where_document"] = where_document
    if include:
        unknown = sorted(set(include) - {"vectors"})
        if isinstance(include, str) or unknown:
            raise InvalidInput(
                f"include is {include!r}",
                cause="texts and metadata always come; what can be added is vectors",
                fix='include=["vectors"]',
            )
        out["include"] = list(include)
    return out


def same_length(what: str, column: Sized, wanted: int) -> None:
    if len(column) != wanted:
        raise InvalidInput(
            f"{len(column)} {what} for {wanted} items", cause="the lists of a call are parallel"
        )


def metadata_column(
    metadatas: Sequence[Metadata | None] | None, length: int
) -> Sequence[Metadata | None]:
    if metadatas is None:
        return [None] * length
    same_length("metadatas", metadatas, length)
    for index, metadata in enumerate(metadatas):
        # An empty dict says as little as None.
        validation.check_metadata(metadata or None, index)
    return [metadata or None for metadata in metadatas]


def made_ids(
    collection: str, texts: Sequence[str], metadatas: Sequence[Metadata | None], good: set[int]
) -> list[str]:
    """Ids that a repeated call makes again. Equal texts of one source are told apart by which
    occurrence in the call they are, not by their place: that would change with what is around."""
    seen: Counter[tuple[str, str]] = Counter()
    ids = []
    for index, (text, metadata) in enumerate(zip(texts, metadatas, strict=True)):
        if index not in good:
            ids.append("")
            continue
        source = str((metadata or {}).get("source", ""))
        ids.append(chunk_id(collection, source, seen[source, text], text))
        seen[source, text] += 1
    return ids


def picked(
    places: Sequence[int],
    ids: Sequence[str],
    texts: Sequence[str],
    metadatas: Sequence[Metadata | None],
) -> tuple[list[str], list[str], list[Metadata | None]]:
    return (
        [ids[i] for i in places],
        [texts[i] for i in places],
        [metadatas[i] for i in places],
    )
