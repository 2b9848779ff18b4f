r"""Chroma's ``where`` and ``where_document``, over the ledger. Pure.

This answers when Chroma cannot, and gives the same answers, which were found by asking Chroma 1.5.9
(``tests/integration/test_where_agrees_with_chroma.py``). What is not obvious there:

- Numbers are compared with numbers, whole or not. But a whole number in the metadata is compared
  with the operand without its fraction: ``{"n": 1.5}`` finds ``n = 1`` as well as ``n = 1.5``, and
  ``{"n": {"$gte": 1.5}}`` finds ``n = 1``. ``True`` is no number.
- ``$ne``, ``$nin``, ``$not_contains`` and ``$not_regex`` find all that the opposite does not: also
  what lacks the key, or has no metadata or no text at all.
- ``$contains`` over metadata looks into lists only, and there 1 is not 1.0. A list equals nothing.
- Texts are compared as they are, without regard to language: case, accents and widths all count.
- ``$contains`` over a text reads it up to its first NUL character.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from store_worker.ledger import Ledger
from store_worker.ledger_errors import translated
from store_worker.ledger_queries import padded_parts
from store_worker.nearness import Rows
from store_worker.regex_match import compile_regex
from thoth_core.plain_values import INT64_MAX, INT64_MIN

Filter = Mapping[str, Any] | None
Metadata = Mapping[str, Any]
#: Whether metadata and text (either may be missing) are let through.
Matches = Callable[[Metadata | None, str | None], bool]

_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "$eq": operator.eq,
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}
_OPPOSITES = {
    "$ne": "$eq",
    "$nin": "$in",
    "$not_contains": "$contains",
    "$not_regex": "$regex",
}
_DOCUMENT = "#document"


def compile_where(where: Filter, where_document: Filter) -> Matches:
    """What lets through that both filters let through; they are checked, or None."""
    tests = []
    if where is not None:
        tests.append(_where(where))
    if where_document is not None:
        tests.append(_where_document(where_document))
    return tests[0] if len(tests) == 1 else _all(tests)


def matching_rows(
    ledger: Ledger,
    collection: int,
    where: Filter,
    where_document: Filter,
    among: Rows | None = None,
) -> tuple[Rows, list[str]]:
    """The rows of a collection (out of ``among``, in order, if given) that the filters let through,
    and their ids, in the order in which they were first written. No more than some rows are in
    memory besides."""
    matches = compile_where(where, where_document)
    # A long text is only read where it is asked for.
    metadata = "metadata" if where is not None else "NULL"
    text = "text" if where_document is not None or _asks_for_text(where) else "NULL"
    rows: list[int] = []
    ids: list[str] = []
    with translated(ledger.path):
        for row, id, packed, document in _read(
            ledger, collection, f"row, id, {metadata}, {text}", among
        ):
            if matches(json.loads(packed) if packed else None, document):
                rows.append(row)
                ids.append(id)
    return np.array(rows, np.int64), ids


def _read(ledger: Ledger, collection: int, columns: str, among: Rows | None) -> Iterator[Any]:
    sql = f"SELECT {columns} FROM chunks WHERE"
    if among is None:
        yield from ledger.db.execute(f"{sql} collection = ? ORDER BY row", (collection,))
        return
    for part in padded_parts(among.tolist()):
        marks = ",".join("?" * len(part))
        yield from ledger.db.execute(
            f"{sql} row IN ({marks}) AND +collection = ? ORDER BY row", (*part, collection)
        )


def _asks_for_text(where: object) -> bool:
    if isinstance(where, Mapping):
        return any(key == _DOCUMENT or _asks_for_text(value) for key, value in where.items())
    return isinstance(where, list) and any(map(_asks_for_text, where))


def _all(tests: Iterable[Matches]) -> Matches:
    every = tuple(tests)
    return lambda metadata, text: all(test(metadata, text) for test in every)


def _any(tests: Iterable[Matches]) -> Matches:
    every = tuple(tests)
    return lambda metadata, text: any(test(metadata, text) for test in every)


def _not(test: Matches) -> Matches:
    return lambda metadata, text: not test(metadata, text)


def _where(where: Mapping[str, Any]) -> Matches:
    ((key, value),) = where.items()
    if key == "$and":
        return _all(map(_where, value))
    if key == "$or":
        return _any(map(_where, value))
    name, operand = next(iter(value.items())) if isinstance(value, Mapping) else ("$eq", value)
    if key == _DOCUMENT:
        return _where_document({name: operand})
    if name in _OPPOSITES:
        return _not(_where({key: {_OPPOSITES[name]: operand}}))
    test = _value_test(name, operand)
    return lambda metadata, text: metadata is not None and test(metadata.get(key))


def _value_test(name: str, operand: Any) -> Callable[[Any], bool]:
    """Whether a value of metadata, None if there is none, passes."""
    if name == "$in":
        return _member(operand)
    kind = type(operand)
    if name == "$contains":
        return lambda value: (
            isinstance(value, list)
            and any(type(each) is kind and each == operand for each in value)
        )
    compare = _COMPARISONS[name]
    if kind not in (int, float):
        return lambda value: type(value) is kind and compare(value, operand)
    # As Chroma turns one into the other.
    whole, fraction = max(INT64_MIN, min(INT64_MAX, int(operand))), float(operand)

    def number(value: Any) -> bool:
        if type(value) is int:
            return compare(value, whole)
        return type(value) is float and compare(value, fraction)

    return number


def _member(values: list[Any]) -> Callable[[Any], bool]:
    """Whether a value equals one of ``values``, which are all of one kind. By look-up: a filter may
    name 50,000, and one by one the store would be at it for minutes."""
    kind = type(values[0])
    if kind not in (int, float):
        every = frozenset(values)
        return lambda value: type(value) is kind and value in every
    whole = frozenset(max(INT64_MIN, min(INT64_MAX, int(each))) for each in values)
    fraction = frozenset(map(float, values))
    return lambda value: (
        value in whole if type(value) is int else type(value) is float and value in fraction
    )


def _where_document(where: Mapping[str, Any]) -> Matches:
    ((name, operand),) = where.items()
    if name == "$and":
        return _all(map(_where_document, operand))
    if name == "$or":
        return _any(map(_where_document, operand))
    if name in _OPPOSITES:
        return _not(_where_document({_OPPOSITES[name]: operand}))
    if name == "$regex":
        found = compile_regex(operand)
        return lambda metadata, text: text is not None and found(text)
    return lambda metadata, text: text is not None and operand in text.partition("\0")[0]
