"""How a call that is too large for one message is cut. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from thoth_core.wire import MAX_TEXTS

#: Bytes that one message is kept below. Far under the limit of the wire, so that a large call
#: moves in pieces, and short ones of others go between.
MESSAGE_BYTES = 8 * 1024 * 1024
#: Hits in one answer: with their texts and vectors they must fit in one message.
HITS = 4096
#: msgpack's overhead of a value, rounded up.
_OVERHEAD = 9


def runs(
    sizes: Iterable[int], *, items: int = MAX_TEXTS, total: int = MESSAGE_BYTES
) -> list[slice]:
    """Consecutive slices with at most ``items`` items and ``total`` bytes each. An item that is
    larger than ``total`` is alone in its slice."""
    out: list[slice] = []
    start = used = count = 0
    for size in sizes:
        if count > start and (count - start >= items or used + size > total):
            out.append(slice(start, count))
            start, used = count, 0
        used += size
        count += 1
    if count > start:
        out.append(slice(start, count))
    return out


def text_size(text: str) -> int:
    """Bytes of ``text`` in a message, which is where most of a message's bytes are."""
    return (len(text) if text.isascii() else len(text.encode())) + _OVERHEAD


def value_size(value: Any) -> int:
    """An upper estimate of the bytes of a checked metadata value in a message."""
    if isinstance(value, str):
        return text_size(value)
    if isinstance(value, Mapping):
        return _OVERHEAD + sum(value_size(k) + value_size(v) for k, v in value.items())
    if isinstance(value, list):
        return _OVERHEAD + sum(map(value_size, value))
    return _OVERHEAD


def row_sizes(*columns: Iterable[Any]) -> Iterator[int]:
    """Bytes of each row over row-parallel columns of strings and metadata."""
    for row in zip(*columns, strict=True):
        yield sum(map(value_size, row))


def queries_at_once(k: int) -> int:
    """How many texts one ``query`` message may carry when each asks for ``k`` hits."""
    return max(1, min(MAX_TEXTS, HITS // k))
