"""What the calls of both kinds share: reading a body."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from store_worker.ledger_sources import Narrow
from thoth_core.errors import InvalidInput, ProtocolError
from thoth_core.plain_values import lone_surrogate
from thoth_core.source_globs import check_globs, compile_globs
from thoth_core.validation import check_metadata, check_where, check_where_document
from thoth_core.vectors import Vectors, from_buffer
from thoth_core.wire import Buffer

Body = Mapping[str, Any]
Buffers = tuple[Buffer, ...]


def text_of(body: Body, name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value or lone_surrogate(value) is not None:
        raise InvalidInput(f"{name} is a non-empty string, not {value!r}")
    return value


def whole(body: Body, name: str, default: int | None = None) -> int | None:
    """A whole number from 0, or ``default``."""
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise InvalidInput(f"{name} is a whole number from 0 and below 2^63, not {value!r}")
    return value


def strings(body: Body, name: str) -> list[str] | None:
    """A list of valid strings, or None if it is not there."""
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, list):
        raise InvalidInput(f"{name} is a list of strings")
    bad = [
        i for i, x in enumerate(value) if not isinstance(x, str) or lone_surrogate(x) is not None
    ]
    if bad:
        raise InvalidInput(f"{name} {bad[0]} is no string that can be kept", indices=bad)
    return value


def number_of(body: Body) -> int:
    """The number of a write."""
    number = body.get("number")
    if isinstance(number, bool) or not isinstance(number, int) or not 0 < number < 2**63:
        raise ProtocolError("a write without its number")
    return number


def parallel(body: Body, name: str, length: int) -> list[Any]:
    """A list with one element for each id; Nones if it is not there."""
    value = body.get(name)
    if value is None:
        return [None] * length
    if not isinstance(value, list) or len(value) != length:
        raise ProtocolError(f"{name} has not one element for each id")
    return value


def texts_of(body: Body, length: int) -> list[str | None]:
    texts = parallel(body, "texts", length)
    for index, text in enumerate(texts):
        if text is not None and (not isinstance(text, str) or lone_surrogate(text) is not None):
            raise InvalidInput(f"text {index} is no string that can be kept", indices=[index])
    return texts


def metadata_of(value: Any, index: int) -> tuple[str | None, str | None]:
    """Metadata as JSON that equals for equal metadata, and the source that it names."""
    if not value:
        return None, None
    check_metadata(value, index)
    source = value.get("source")
    packed = json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return packed, source if isinstance(source, str) else None


def filters_of(body: Body) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """``where`` and ``where_document``, checked; an empty one is none."""
    where, where_document = body.get("where") or None, body.get("where_document") or None
    check_where(where)
    check_where_document(where_document)
    return where, where_document


def narrow_of(body: Body) -> Narrow | None:
    """Which documents ``source`` and ``since`` leave; None if they say nothing."""
    source, since = body.get("source"), body.get("since")
    if source is None and since is None:
        return None
    if since is not None and (
        isinstance(since, bool) or not isinstance(since, int | float) or not math.isfinite(since)
    ):
        raise InvalidInput(f"since is seconds since 1970, not {since!r}")
    return Narrow(None if source is None else compile_globs(check_globs(source)), since)


def array_of(buffers: Buffers, rows: int | None = None) -> Vectors:
    """The one array (n, dimension) that came along."""
    if len(buffers) != 1 or len(buffers[0].shape) != 2:
        raise ProtocolError("the call needs one buffer of shape (n, dimension)")
    if rows is not None and buffers[0].shape[0] != rows:
        raise ProtocolError(f"{buffers[0].shape[0]} vectors came for {rows} rows")
    return from_buffer(buffers[0])


def includes_vectors(body: Body) -> bool:
    include = body.get("include")
    return isinstance(include, Sequence) and "vectors" in include
