"""What a caller may hand over: the checks that client, dispatch and store share. Pure.

They are stricter than Chroma in a few places, each of which loses or breaks something there:

- a NaN or an infinity inside a list is taken into Chroma's log and cannot be read back: every later
  write to that collection fails. As a value of its own it vanishes;
- an integer beyond 64 bits comes back as a float;
- keys that begin with ``chroma:`` are written and never given back.

Every error names the item, the key, the rule and the value. Filters are in ``where_checks``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from thoth_core.errors import InvalidInput
from thoth_core.plain_values import lone_surrogate, scalar_rule, shown
from thoth_core.where_checks import check_where, check_where_document

__all__ = [
    "check_collection_name",
    "check_ids",
    "check_k",
    "check_metadata",
    "check_texts",
    "check_where",
    "check_where_document",
]

#: The most hits that one search can be asked for.
MAX_K = 1_000_000

_COLLECTION = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{1,510}[a-zA-Z0-9]")


def check_texts(texts: Sequence[object], max_chars: int) -> list[tuple[int, InvalidInput]]:
    """The items of ``texts`` that cannot be embedded, as (index, error), in order.

    Refused: what is no string, blank text, a lone surrogate, and more than ``max_chars``
    characters. The others are fine, whatever becomes of these.
    """
    if isinstance(texts, str | bytes):
        raise InvalidInput(
            f"a list of texts is wanted, not one {type(texts).__name__}", fix="write [text]"
        )
    refused = []
    for index, text in enumerate(texts):
        error = _text_error(index, text, max_chars)
        if error is not None:
            refused.append((index, error))
    return refused


def _text_error(index: int, text: object, max_chars: int) -> InvalidInput | None:
    if not isinstance(text, str):
        return InvalidInput(
            f"text {index} is no string but {type(text).__name__}: {shown(text)}",
            indices=[index],
            rule="a text is a str",
        )
    if not text or text.isspace():
        return InvalidInput(
            f"text {index} is blank: {shown(text)}", indices=[index], rule="a text is not blank"
        )
    if len(text) > max_chars:
        return InvalidInput(
            f"text {index} has {len(text):,} characters, {max_chars:,} at most",
            fix="cut it into chunks, or raise THOTH_MAX_TEXT_CHARS",
            indices=[index],
            rule="a text has at most THOTH_MAX_TEXT_CHARS characters",
        )
    place = lone_surrogate(text)
    if place is not None:
        return InvalidInput(
            f"text {index} has a lone surrogate at character {place}: {shown(text[place])}",
            cause="a surrogate without its pair is no character and cannot be written as UTF-8",
            fix='text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")',
            indices=[index],
            rule="a text can be written as UTF-8",
        )
    return None


def check_ids(ids: Sequence[object]) -> None:
    """Non-empty strings, none twice. Raises :class:`InvalidInput` that names the indexes."""
    if isinstance(ids, str | bytes):
        raise InvalidInput(f"a list of ids is wanted, not one {type(ids).__name__}", fix="[id]")
    first: dict[str, int] = {}
    for index, value in enumerate(ids):
        if not isinstance(value, str) or not value:
            raise InvalidInput(
                f"id {index} is {shown(value)}",
                cause="an id is a str of one character at least",
                indices=[index],
                rule="an id is a non-empty str",
            )
        if lone_surrogate(value) is not None:
            raise InvalidInput(
                f"id {index} has a lone surrogate: {shown(value)}",
                indices=[index],
                rule="an id can be written as UTF-8",
            )
        other = first.setdefault(value, index)
        if other != index:
            raise InvalidInput(
                f"the id {shown(value)} is there twice, at {other} and {index}",
                cause="each id may be there once in a call",
                indices=[other, index],
                rule="an id is there once",
            )


def check_metadata(metadata: object, index: int) -> None:
    """``metadata`` of item ``index``: None, or a non-empty dict of str to str, int, float, bool,
    None, or a non-empty list of one of the first four. Raises :class:`InvalidInput`."""
    if metadata is None:
        return
    if not isinstance(metadata, dict):
        raise _metadata_error(index, "", metadata, "metadata is a dict or None")
    if not metadata:
        raise _metadata_error(
            index, "", metadata, "a metadata dict has one key at least", fix="use None"
        )
    for key, value in metadata.items():
        _check_metadata_key(index, key)
        _check_metadata_value(index, key, value)


def _check_metadata_key(index: int, key: object) -> None:
    if not isinstance(key, str) or not key:
        raise _metadata_error(index, key, key, "a key is a non-empty str")
    if key.startswith(("#", "$")):
        raise _metadata_error(index, key, key, "a key does not begin with # or $")
    if key.startswith("chroma:"):
        raise _metadata_error(index, key, key, "keys that begin with chroma: are Chroma's own")
    if lone_surrogate(key) is not None:
        raise _metadata_error(index, key, key, "a key can be written as UTF-8")


def _check_metadata_value(index: int, key: str, value: object) -> None:
    if value is None:
        return
    if isinstance(value, list):
        if not value:
            raise _metadata_error(index, key, value, "a list has one element at least")
        kind = type(value[0])
        if kind not in (str, int, float, bool) or any(type(item) is not kind for item in value):
            raise _metadata_error(
                index,
                key,
                value,
                "the elements of a list are all str, all int, all float or all bool",
            )
        for item in value:
            _check_scalar(index, key, item)
        return
    if not isinstance(value, str | int | float | bool):
        raise _metadata_error(
            index,
            key,
            value,
            "a value is a str, int, float, bool, None or a list of one of these",
            fix=_conversion(value),
        )
    _check_scalar(index, key, value)


def _check_scalar(index: int, key: str, value: object) -> None:
    rule = scalar_rule(value)
    if rule:
        raise _metadata_error(index, key, value, rule)


def _conversion(value: object) -> str:
    if isinstance(value, tuple | set | frozenset):
        return "make it a list"
    if hasattr(value, "item"):
        return "make it a plain number with .item()"
    if isinstance(value, Mapping):
        return "flatten it, or keep it as a str with json.dumps"
    if hasattr(value, "isoformat"):
        return "use .isoformat() or .timestamp()"
    return "make it a str"


def _metadata_error(
    index: int, key: object, value: object, rule: str, fix: str = ""
) -> InvalidInput:
    where = f"metadata {index}" + (f", key {shown(key)}" if key != "" or key is value else "")
    kind = type(value).__name__
    return InvalidInput(
        f"{where}: {shown(value)} ({kind}) cannot be kept",
        cause=rule,
        fix=fix,
        indices=[index],
        key=shown(key),
        rule=rule,
        value=shown(value),
    )


def check_collection_name(name: object) -> None:
    """Chroma's rule: 3 to 512 of ``a-z A-Z 0-9 . _ -``, a letter or digit at both ends, no two dots
    in a row, no IPv4 address. Raises :class:`InvalidInput`."""
    if not isinstance(name, str):
        rule = "a collection name is a str"
    elif not _COLLECTION.fullmatch(name):
        rule = (
            "a collection name has 3 to 512 characters out of a-z, A-Z, 0-9, dot, _ and -, "
            "with a letter or a digit at both ends"
        )
    elif ".." in name:
        rule = "a collection name has no two dots in a row"
    elif _is_ipv4(name):
        rule = "a collection name is no IP address"
    else:
        return
    raise InvalidInput(
        f"the collection name {shown(name)} cannot be used",
        cause=rule,
        fix="choose another name, such as notes or team-notes",
        rule=rule,
        value=shown(name),
    )


def _is_ipv4(name: str) -> bool:
    parts = name.split(".")
    return len(parts) == 4 and all(
        part.isdigit() and len(part) <= 3 and int(part) <= 255 and str(int(part)) == part
        for part in parts
    )


def check_k(k: object) -> None:
    """A whole number from 1 to :data:`MAX_K`. Raises :class:`InvalidInput`."""
    if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= MAX_K:
        raise InvalidInput(
            f"k is {shown(k)}",
            cause=f"k is a whole number from 1 to {MAX_K:,}",
            rule="k is a positive whole number",
            value=shown(k),
        )
