"""Patterns for the sources of chunks, as ``--source`` takes them. Pure.

A glob is matched against a whole source. ``*`` and ``?`` match within a folder, ``**`` as a part of
its own any number of folders, ``[ab]`` and ``[!a-c]`` one character, and all else stands for
itself. No pattern can make matching slow: what a wildcard has taken is never tried again.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from thoth_core.errors import InvalidInput
from thoth_core.plain_values import lone_surrogate, shown

#: Patterns of one call, and characters of one.
MAX_PATTERNS, MAX_LENGTH = 64, 4096
#: Globs of one call: a pattern may mean several.
MAX_GLOBS = 10 * MAX_PATTERNS

_MAGIC = re.compile(r"[*?\[]")
_LITERAL = re.compile(r"([*?\[])")


def globs_of(patterns: Sequence[str], folder: str) -> list[str]:
    """The globs over whole sources that ``patterns`` mean in the current ``folder`` ("" if there is
    none). Raises :class:`InvalidInput`.

    A pattern with a ``/`` is one of the whole source, or of a path from ``folder``; one without is
    of the last part of a source, in whatever folder. One that ends with ``/``, or has no wildcard,
    also stands for all that is below it. Brackets also stand for themselves.
    """
    if len(patterns) > MAX_PATTERNS:
        raise InvalidInput(
            f"{len(patterns)} patterns for sources", cause=f"{MAX_PATTERNS} at most in one call"
        )
    found: dict[str, None] = {}
    for pattern in patterns:
        _check(pattern)
        found |= dict.fromkeys(_meant(pattern, folder))
        if "[" in pattern:
            found |= dict.fromkeys(_meant(escape(pattern), folder))
    return list(found)


def _meant(pattern: str, folder: str) -> Iterator[str]:
    below = pattern.endswith("/") and pattern.rstrip("/") != ""
    name = pattern.rstrip("/") if below else pattern
    here = None
    if folder and not name.startswith("/"):
        # What stands in a name of the folder is no wildcard.
        here = posixpath.join(escape(folder), posixpath.normpath(name))
        here = _up(folder, name) if name.startswith(("./", "../")) or name in (".", "..") else here
    literal = not _MAGIC.search(_LITERAL_CLASS.sub("x", name))
    if "/" in name or name in (".", ".."):
        whole = [name]
        if name.startswith("/"):
            whole.append(posixpath.normpath(name))
        elif here is not None:
            whole.append(here)
    else:
        whole = [f"**/{name}"]
        if here is not None and (below or literal):
            # A folder here, by its name alone.
            yield f"{here}/**"
            if below:
                return
    for each in whole:
        if not below:
            yield each
        if below or (literal and "**" not in each.split("/")):
            yield f"{each}/**" if each != "/" else "/**"


def _up(folder: str, name: str) -> str:
    parts = name.split("/")
    while parts and parts[0] in (".", ".."):
        if parts.pop(0) == "..":
            folder = posixpath.dirname(folder)
    rest = posixpath.normpath("/".join(parts)) if any(parts) else ""
    return posixpath.join(escape(folder), rest) if rest else escape(folder)


def escape(text: str) -> str:
    """``text`` as a glob that matches nothing else."""
    return _LITERAL.sub(r"[\1]", text)


#: What :func:`escape` makes of a wildcard.
_LITERAL_CLASS = re.compile(r"\[[*?\[]\]")


def check_globs(globs: object) -> list[str]:
    """A list of globs as it came over the wire. Raises :class:`InvalidInput`."""
    if not isinstance(globs, list) or not 0 < len(globs) <= MAX_GLOBS:
        raise InvalidInput(f"source is a list of 1 to {MAX_GLOBS} patterns, not {shown(globs)}")
    for each in globs:
        # A relative one has come to stand behind a folder.
        _check(each, 2 * MAX_LENGTH)
    return globs


def _check(pattern: object, most: int = MAX_LENGTH) -> None:
    if not isinstance(pattern, str) or not 0 < len(pattern) <= most:
        raise InvalidInput(
            f"source is {shown(pattern)}", cause=f"it is a pattern of 1 to {most:,} characters"
        )
    if lone_surrogate(pattern) is not None:
        raise InvalidInput(f"source is {shown(pattern)}", cause="it can be written as UTF-8")


@dataclass(slots=True)
class Globs:
    """Whether a source is one that some of these globs match."""

    #: What each source begins with that matches.
    prefix: str
    _exact: frozenset[str]
    _below: tuple[str, ...]
    _regex: re.Pattern[str] | None = field(default=None)

    def match(self, source: str) -> bool:
        if source in self._exact or source.startswith(self._below):
            return True
        return self._regex is not None and self._regex.fullmatch(source) is not None


def compile_globs(globs: Iterable[str]) -> Globs:
    exact, below, others, prefixes = set(), [], [], []
    for glob in globs:
        plain = _LITERAL_CLASS.sub(lambda found: found[0][1], glob)
        folder = plain.removesuffix("/**")
        literal = _LITERAL_CLASS.sub("", glob)
        if not _MAGIC.search(literal):
            exact.add(plain)
            prefixes.append(plain)
        elif literal.endswith("/**") and not _MAGIC.search(literal.removesuffix("/**")):
            below.append(f"{folder}/")
            prefixes.append(f"{folder}/")
        else:
            others.append(f"(?:{_regex_of(glob)})")
            prefixes.append(_begins_with(glob))
    return Globs(
        _common(prefixes),
        frozenset(exact),
        tuple(below),
        re.compile("|".join(others), re.DOTALL) if others else None,
    )


def _common(texts: Sequence[str]) -> str:
    """The longest text that all begin with."""
    if not texts:
        return ""
    low, high = min(texts), max(texts)
    for place, letter in enumerate(low):
        if high[place : place + 1] != letter:
            return low[:place]
    return low


def _begins_with(glob: str) -> str:
    out, at = "", 0
    while at < len(glob):
        literal = _LITERAL_CLASS.match(glob, at)
        if literal:
            out, at = out + literal[0][1], literal.end()
        elif glob[at] in "*?[":
            break
        else:
            out, at = out + glob[at], at + 1
    return out


def _regex_of(glob: str) -> str:
    """In it every group that repeats is atomic, or has one way only to match what it matches."""
    # Runs of parts between the "**": the first from the beginning, the last up to the end.
    runs: list[list[str]] = [[]]
    for part in glob.split("/"):
        if part == "**":
            runs.append([])
        else:
            runs[-1].append(_part(part))
    first, rest = runs[0], runs[1:]
    if not rest:
        return "/".join(first)
    out = "".join(f"{part}/" for part in first)
    for run in rest[:-1]:
        if run:
            parts = "".join(f"{part}/" for part in run)
            out += f"(?>(?:[^/]*/)*?{parts})"
    if rest[-1]:
        return out + "(?:.*/)?" + "/".join(rest[-1])
    return out + ".+"


def _part(part: str) -> str:
    """A part of a path without ``/``."""
    chunks, at = [""], 0
    while at < len(part):
        letter = part[at]
        at += 1
        if letter == "*":
            chunks.append("")
        elif letter == "?":
            chunks[-1] += "[^/]"
        elif letter == "[" and (end := part.find("]", at + 1 + (part[at : at + 1] in "!^"))) > 0:
            chunks[-1] += _class(part[at:end])
            at = end + 1
        else:
            chunks[-1] += re.escape(letter)
    first, rest = chunks[0], chunks[1:]
    if not rest:
        return first
    middle = "".join(f"(?>[^/]*?{chunk})" for chunk in rest[:-1] if chunk)
    return f"{first}{middle}[^/]*{rest[-1]}"


def _class(body: str) -> str:
    negated = body[:1] in ("!", "^")
    letters = body[1:] if negated else body
    items, at = "", 0
    while at < len(letters):
        if letters[at + 1 : at + 2] == "-" and at + 2 < len(letters):
            if letters[at] <= letters[at + 2]:
                items += f"{re.escape(letters[at])}-{re.escape(letters[at + 2])}"
            at += 3
        else:
            items += re.escape(letters[at])
            at += 1
    if not items:
        return "[^/]" if negated else "(?!)"
    return f"(?!/)[{'^' if negated else ''}{items}]"
