"""What a package's description asks of others, as far as ours does. Pure.

Not all of what Python's packaging knows: names, extras, and comparisons of release numbers.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

_LINE = re.compile(r"([\w.-]+)\s*(?:\[[^\]]*\])?\s*\(?([^;)]*)\)?\s*(?:;\s*(.*))?")
_EXTRA = re.compile(r"extra\s*==\s*['\"]([\w-]+)['\"]")
_PART = re.compile(r"(>=|<=|==|!=|~=|>|<)\s*([\w.*+!-]+)")
_RELEASE = re.compile(r"v?(\d+(?:\.\d+)*)")
_COMPARED: Mapping[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}


@dataclass(frozen=True, slots=True)
class Requirement:
    """``parts`` are comparisons that must all hold; ``extra`` is "" for what is always needed."""

    name: str
    parts: tuple[tuple[str, str], ...]
    extra: str = ""

    def __str__(self) -> str:
        return self.name + ",".join(how + version for how, version in self.parts)


def parse(line: str) -> Requirement | None:
    """A line of ``Requires-Dist``; None if it is none."""
    found = _LINE.fullmatch(line.strip())
    if found is None:
        return None
    extra = _EXTRA.search(found[3] or "")
    parts = sorted(
        ((m[1], m[2]) for m in _PART.finditer(found[2])), key=lambda p: p[0], reverse=True
    )
    return Requirement(found[1], tuple(parts), extra[1] if extra else "")


def satisfies(version: str | None, wanted: Requirement) -> bool:
    """Whether that version, None for none, is one of those."""
    return version is not None and all(_holds(version, *part) for part in wanted.parts)


def _holds(version: str, how: str, wanted: str) -> bool:
    if how == "~=":
        least, most = _numbers(wanted), _numbers(wanted)[:-1]
        return _numbers(version) >= least and _numbers(version)[: len(most)] == most
    if wanted.endswith(".*"):
        start = _numbers(wanted.removesuffix(".*"))
        return (_numbers(version)[: len(start)] == start) == (how == "==")
    one, other = _padded(_numbers(version), _numbers(wanted))
    return _COMPARED[how](one, other)


def _numbers(version: str) -> tuple[int, ...]:
    found = _RELEASE.match(version)
    return tuple(int(part) for part in found[1].split(".")) if found else ()


def _padded(
    one: tuple[int, ...], other: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    size = max(len(one), len(other))
    return one + (0,) * (size - len(one)), other + (0,) * (size - len(other))
