"""One value in the text of a ``thoth.toml``, changed in its line: comments and all else stay as
they are. Pure. What comes out is read again, and is only taken if nothing but that value is
different.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from typing import Any

from thoth_core.plain_values import lone_surrogate
from thoth_core.settings_files import TABLE, setting_name

#: Lines of one value at most.
_LONGEST = 200


class CannotChange(Exception):
    """The text is written in a way that this cannot change; the message says how it is."""


def with_value(source: str, name: str, text: str) -> str:
    """``source`` with the setting ``name`` at ``text``. Raises :class:`CannotChange`, and
    ``tomllib.TOMLDecodeError`` for a source that is no TOML."""
    if lone_surrogate(text) is not None:
        raise CannotChange("the value cannot be written as UTF-8")
    old = tomllib.loads(source)
    value = to_toml(text)
    inner = old.get(TABLE)
    place = _place(old, name)
    if place is not None:
        (table, key) = place
        wanted = _changed(old, table, key, tomllib.loads(f"x = {value}")["x"])
        candidates = _replaced(source, key, value)
    else:
        table, key = "", name
        wanted = _changed(old, "", name, tomllib.loads(f"x = {value}")["x"])
        candidates = _added(source, f"{name} = {value}")
        if isinstance(inner, dict):
            within = _changed(old, TABLE, name, tomllib.loads(f"x = {value}")["x"])
            for each in _added(source, f"{name} = {value}"):
                if _reads_as(each, within):
                    return each
    for each in candidates:
        if _reads_as(each, wanted):
            return each
    raise CannotChange(f"no line of it is that of {name} alone")


def without_value(source: str, name: str) -> str | None:
    """``source`` without the setting ``name`` and what else stands in its line; None if it is not
    in it. Raises as :func:`with_value`."""
    old = tomllib.loads(source)
    place = _place(old, name)
    if place is None:
        return None
    table, key = place
    left = {k: v for k, v in (old[table] if table else old).items() if k != key}
    for each in _replaced(source, key, None):
        if _reads_as(each, {**old, table: left} if table else left):
            return each
    raise CannotChange(f"no line of it is that of {name} alone")


def _place(old: dict[str, Any], name: str) -> tuple[str, str] | None:
    """The table of the setting, "" for none, and the key under which it is there."""
    inner = old.get(TABLE)
    tables: list[tuple[str, dict[str, Any]]] = [("", old)]
    if isinstance(inner, dict):
        tables.append((TABLE, inner))
    there = [(t, key) for t, table in tables for key in table if setting_name(key) == name]
    if len(there) > 1:
        raise CannotChange(f"{name} is in it twice")
    return there[0] if there else None


def to_toml(text: str) -> str:
    """A value of a setting as TOML: a number as one, all else as a string."""
    if re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?", text, re.ASCII):
        return text
    # JSON's strings are TOML's, but for one character.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _changed(old: dict[str, Any], table: str, key: str, value: Any) -> dict[str, Any]:
    if table:
        return {**old, table: {**old[table], key: value}}
    return {**old, key: value}


def _reads_as(source: str, wanted: dict[str, Any]) -> bool:
    try:
        return tomllib.loads(source) == wanted
    except tomllib.TOMLDecodeError:
        return False


def _replaced(source: str, key: str, value: str | None) -> Iterator[str]:
    """With ``value`` in the place of that of ``key``, or without the line if it is None."""
    lines = source.splitlines(keepends=True)
    begins = re.compile(rf"([ \t]*[\"']?{re.escape(key)}[\"']?[ \t]*=[ \t]*)")
    for first, line in enumerate(lines):
        begun = begins.match(line)
        if not begun:
            continue
        for last in range(first, min(len(lines), first + _LONGEST)):
            end = lines[last].rstrip("\r\n")
            new = f"{begun[1]}{value}{_comment(end)}{lines[last][len(end) :]}"
            kept = [] if value is None else [new]
            yield "".join([*lines[:first], *kept, *lines[last + 1 :]])


def _comment(line: str) -> str:
    """What follows the value in its last line."""
    for found in re.finditer(r"[ \t]*#", line):
        before = line[: found.start()]
        # A # in a string is none: then what is before it has a quote that is open.
        if before.count('"') % 2 == 0 and before.count("'") % 2 == 0:
            return line[found.start() :]
    return ""


def _added(source: str, line: str) -> Iterator[str]:
    end = "\r\n" if "\r\n" in source else "\n"
    ended = source if not source or source.endswith("\n") else source + end
    yield f"{ended}{line}{end}"
    # Where the last table is another's, before the first one.
    lines = ended.splitlines(keepends=True)
    for place, each in enumerate(lines):
        if each.lstrip().startswith("["):
            yield "".join([*lines[:place], f"{line}{end}", *lines[place:]])
            return
