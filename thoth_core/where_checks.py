"""What a filter may say: Chroma's language of ``where`` and ``where_document``, checked before
it is sent. Pure.

Chroma answers many of these with "Invalid where clause" and nothing else, a ``where`` nested
about a hundred deep among them.
"""

from __future__ import annotations

from typing import Any

from thoth_core.errors import InvalidInput
from thoth_core.plain_values import lone_surrogate, scalar_rule, shown
from thoth_core.regex_syntax import RegexRefused, parse

#: How deep ``$and`` and ``$or`` may be nested.
MAX_WHERE_DEPTH = 32

_COMPARISONS = frozenset({"$gt", "$gte", "$lt", "$lte"})
_EQUALITIES = frozenset({"$eq", "$ne"})
_MEMBERSHIPS = frozenset({"$in", "$nin"})
_CONTAINMENTS = frozenset({"$contains", "$not_contains"})
_OPERATORS = _COMPARISONS | _EQUALITIES | _MEMBERSHIPS | _CONTAINMENTS
_DOCUMENT_OPERATORS = frozenset({"$contains", "$not_contains", "$regex", "$not_regex"})
#: The field name that stands for the text itself in a ``where``.
_DOCUMENT = "#document"


def check_where(where: object) -> None:
    """A filter over metadata in Chroma's language, or None. Raises :class:`InvalidInput`."""
    if where is not None:
        _check_where(where, 1)


def _check_where(where: object, depth: int) -> None:
    key, value = _single(where, "where", depth)
    if key in ("$and", "$or"):
        for part in _parts(key, value, "where"):
            _check_where(part, depth + 1)
        return
    if key.startswith("$"):
        raise _where_error(key, value, "a where begins with a metadata key, $and or $or", "where")
    if not isinstance(value, dict):
        if key == _DOCUMENT:
            raise _where_error(key, value, "#document takes $contains or $not_contains", "where")
        if not isinstance(value, str | int | float):
            rule = "a value is a str, int, float, bool or one {operator: operand}"
            raise _where_error(key, value, rule, "where")
        _check_operand(key, value)
        return
    if len(value) != 1:
        raise _where_error(
            key,
            value,
            "one operator for each key",
            "where",
            fix='join two with {"$and": [..., ...]}',
        )
    operator, operand = next(iter(value.items()))
    _check_operation(key, operator, operand)


def _check_operation(key: str, operator: object, operand: object) -> None:
    if operator not in _OPERATORS:
        rule = f"an operator is one of {', '.join(sorted(_OPERATORS))}"
        raise _where_error(key, operator, rule, "where")
    if key == _DOCUMENT and (operator not in _CONTAINMENTS or not isinstance(operand, str)):
        rule = "#document takes $contains or $not_contains and a str"
        raise _where_error(key, {operator: operand}, rule, "where")
    if key == _DOCUMENT:
        _check_sought(key, operand, "where")
    if operator in _COMPARISONS:
        if isinstance(operand, bool) or not isinstance(operand, int | float):
            raise _where_error(key, operand, f"{operator} compares with an int or a float", "where")
    elif operator in _MEMBERSHIPS:
        if not isinstance(operand, list) or not operand:
            raise _where_error(key, operand, f"{operator} takes a non-empty list", "where")
        kind = type(operand[0])
        if kind not in (str, int, float, bool) or any(type(item) is not kind for item in operand):
            rule = f"the list of {operator} is all str, all int, all float or all bool"
            raise _where_error(key, operand, rule, "where")
        for item in operand:
            _check_operand(key, item)
        return
    elif not isinstance(operand, str | int | float):
        raise _where_error(key, operand, f"{operator} takes a str, int, float or bool", "where")
    _check_operand(key, operand)


def _check_operand(key: str, operand: object) -> None:
    if lone_surrogate(key) is not None:
        raise _where_error(key, operand, "a key can be written as UTF-8", "where")
    rule = scalar_rule(operand)
    if rule:
        raise _where_error(key, operand, rule, "where")


def check_where_document(where: object) -> None:
    """A filter over the text itself, or None. Raises :class:`InvalidInput`. What a ``$regex`` may
    be is in ``regex_syntax``."""
    if where is not None:
        _check_where_document(where, 1)


def _check_where_document(where: object, depth: int) -> None:
    name = "where_document"
    key, value = _single(where, name, depth)
    if key in ("$and", "$or"):
        for part in _parts(key, value, name):
            _check_where_document(part, depth + 1)
        return
    if key not in _DOCUMENT_OPERATORS:
        rule = f"an operator is one of {', '.join(sorted(_DOCUMENT_OPERATORS))}, $and, $or"
        raise _where_error(key, value, rule, name)
    if not isinstance(value, str) or not value:
        raise _where_error(key, value, f"{key} takes a non-empty str", name)
    if lone_surrogate(value) is not None:
        raise _where_error(key, value, "a str can be written as UTF-8", name)
    if key in _CONTAINMENTS:
        _check_sought(key, value, name)
        return
    try:
        parse(value)
    except RegexRefused as problem:
        raise _where_error(key, value, str(problem), name) from problem


def _check_sought(key: str, value: object, name: str) -> None:
    if isinstance(value, str) and "\0" in value:
        # Chroma 1.5.9 takes it for the end of a pattern: it finds texts that end with what is
        # before it.
        raise _where_error(key, value, "a text to look for has no NUL character", name)


def _single(where: object, name: str, depth: int) -> tuple[str, Any]:
    if depth > MAX_WHERE_DEPTH:
        raise _where_error("", "…", f"nested {MAX_WHERE_DEPTH} deep at most", name)
    if not isinstance(where, dict) or len(where) != 1:
        rule = f"a {name} is a dict with one key"
        fix = 'join two with {"$and": [..., ...]}' if isinstance(where, dict) and where else ""
        raise _where_error("", where, rule, name, fix=fix)
    key, value = next(iter(where.items()))
    if not isinstance(key, str):
        raise _where_error(key, value, "a key is a str", name)
    return key, value


def _parts(key: str, value: object, name: str) -> list[Any]:
    if not isinstance(value, list) or len(value) < 2:
        raise _where_error(key, value, f"{key} takes a list of two or more", name)
    return value


def _where_error(key: object, value: object, rule: str, name: str, fix: str = "") -> InvalidInput:
    place = f"{name}, key {shown(key)}" if key != "" else name
    return InvalidInput(
        f"{place}: {shown(value)} cannot be used",
        cause=rule,
        fix=fix,
        key=shown(key),
        rule=rule,
        value=shown(value),
    )
