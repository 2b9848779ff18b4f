"""What a caller hands over, checked and brought into the form of the wire. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Sized
from typing import Any, TypeVar

from thoth_core import validation
from thoth_core.client.results import Metadata
from thoth_core.errors import InvalidInput
from thoth_core.ids import chunk_id
from thoth_core.plain_values import INT64_MAX, shown
from thoth_core.where_checks import check_where, check_where_document

Where = Mapping[str, Any] | None
Item = TypeVar("Item")


def listed(what: str, values: Iterable[Item]) -> list[Item]:
    """``values`` (``what`` names them, in the plural) as a list of our own, so that what the
    caller does with theirs during the call changes nothing."""
    if isinstance(values, str | bytes):
        kind = type(values).__name__
        raise InvalidInput(
            f"a list of {what} is wanted, not one {kind}", fix=f"write [{what.removesuffix('s')}]"
        )
    try:
        each = iter(values)
    except TypeError as problem:
        raise InvalidInput(f"a list of {what} is wanted, not {shown(values)}") from problem
    return list(each)


def check_whole(name: str, value: object) -> None:
    """A whole number from 0 on that a message can hold. Raises :class:`InvalidInput`."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= INT64_MAX:
        raise InvalidInput(f"{name} is {shown(value)}", cause="it is a whole number from 0 on")


def filters(where: Where, where_document: Where, include: Sequence[str] | None) -> dict[str, Any]:
    check_where(where)
    check_where_document(where_document)
    out: dict[str, Any] = {}
    if where is not None:
        out["where"] = where
    if where_document is not None:
        out["where_document"] = where_document
    if include is not None:
        wanted = [] if isinstance(include, str) else listed("include", include)
        if isinstance(include, str) or any(name != "vectors" for name in wanted):
            raise InvalidInput(
                f"include is {shown(include)}",
                cause="texts and metadata always come; what can be added is vectors",
                fix='include=["vectors"]',
            )
        if wanted:
            out["include"] = ["vectors"]
    return out


def same_length(what: str, column: Sized, wanted: int) -> None:
    if len(column) != wanted:
        raise InvalidInput(
            f"{len(column)} {what} for {wanted} items", cause="the lists of a call are parallel"
        )


def metadata_column(
    metadatas: Iterable[Metadata | None] | None, length: int
) -> Sequence[Metadata | None]:
    if metadatas is None:
        return [None] * length
    # An empty dict says as little as None.
    column = [None if isinstance(m, dict) and not m else m for m in listed("metadatas", metadatas)]
    same_length("metadatas", column, length)
    for index, metadata in enumerate(column):
        validation.check_metadata(metadata, index)
    return column


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
