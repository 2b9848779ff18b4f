"""Which files ``.gitignore`` and ``.thothignore`` leave out, as git reads them.

Deeper files go before those above them, and in one folder ``.thothignore`` before ``.gitignore``;
within a file the last line that matches counts. Of a git repository its ``.git/info/exclude``
counts too, and the files above the folder that was named, up to the repository's own. If these
leave out that folder itself they do not count: whoever names it wants what is in it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from thoth_core.documents.base import read_file
from thoth_core.errors import ThothError

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

#: In the order in which they count, the last one most.
NAMES = (".gitignore", ".thothignore")
#: Folders whose files nobody means: what others wrote, or a program.
NEVER = frozenset({".git", "node_modules", "__pycache__", ".venv"})


class Patterns:
    """The patterns of one file, as regular expressions for paths relative to its folder."""

    def __init__(self, spec: GitIgnoreSpec) -> None:
        # pathspec would let a folder's pattern speak for all that is in it, over the heads of later
        # ones. git asks about each folder on the way, and so does the walk: here a pattern counts
        # only for the path that it names, up to whose end its mark (ps_d) reaches.
        self._patterns: list[tuple[bool, re.Pattern[str], bool]] = [
            (bool(each.include), _bounded(each.regex.pattern), "ps_d" in each.regex.groupindex)
            for each in reversed(list(spec.patterns))
            if each.include is not None and each.regex is not None
        ]

    def told(self, inner: str, *, folder: bool) -> bool | None:
        """Whether ``inner`` is left out (True) or brought back (False); None: nothing is said."""
        path = inner + "/" if folder else inner
        for include, regex, marked in self._patterns:
            if not marked:
                if regex.search(inner):
                    return include
                continue
            for match in regex.finditer(path):
                if match.start("ps_d") in (-1, len(inner)):
                    return include
        return None


#: What pathspec writes for a "**" at the beginning and for one between folders, and for a "*" with
#: what follows up to the next one. All have a "/", which no part of a pattern can bring in itself.
_LEADING, _BETWEEN = "^(?:.+/)?", "(?:/.+)?"
_BELOW = re.compile(r"/\*\*/ *$")
_STAR = re.compile(r"\[\^/\]\*((?:\[\^/\](?![*+])|[^/])*?)(?=\[\^/\]\*)")


def _bounded(regex: str) -> re.Pattern[str]:
    """The same with all stars atomic but the last, of a name and of a path: what one of them has
    taken is never tried again. The first match is as good as any later one, for what is behind it
    finds the most room there; with each tried, one line could take years."""
    first, *rest = _STAR.sub(r"(?>[^/]*?\1)", regex).split(_BETWEEN)
    if not rest:
        return re.compile(first)
    if first.startswith(_LEADING):
        first = f"^(?>(?:[^/]+/)*?{first.removeprefix(_LEADING)}(?=/))"
    middle = "".join(f"(?>(?:/[^/]+)*?{run}(?=/))" for run in rest[:-1])
    return re.compile(f"{first}{middle}{_BETWEEN}{rest[-1]}")


@dataclass(frozen=True, slots=True)
class Rules:
    """What counts in a folder: (folder, patterns), the outermost first. Folders are absolute."""

    files: tuple[tuple[str, Patterns], ...] = ()

    def ignore(self, path: str, *, folder: bool) -> bool:
        """Whether ``path``, which is in that folder, is left out."""
        for base, patterns in reversed(self.files):
            told = patterns.told(path[len(base) :].lstrip("/"), folder=folder)
            if told is not None:
                return told
        return False


class IgnoreFiles:
    """The ignore files met in one walk. ``failed`` has those that cannot be read. With ``enabled``
    false there are none."""

    def __init__(self, *, enabled: bool = True) -> None:
        self.failed: list[tuple[str, ThothError]] = []
        self._enabled = enabled
        self._inside: dict[str, Rules] = {}

    def above(self, root: str) -> Rules:
        """What counts for the folder ``root`` as such."""
        if not self._enabled:
            return Rules()
        folders: list[str] = []
        folder = root
        while not os.path.lexists(os.path.join(folder, ".git")):  # noqa: PTH118
            parent = os.path.dirname(folder)  # noqa: PTH120
            if parent == folder:
                return Rules()
            folders.append(folder)
            folder = parent
        rules = Rules()
        for inner in reversed(folders):
            rules = self.inside(os.path.dirname(inner), rules)  # noqa: PTH120
            if rules.ignore(inner, folder=True):
                return Rules()
        return rules

    def inside(self, folder: str, outer: Rules, names: Collection[str] | None = None) -> Rules:
        """What counts for the entries of ``folder``, where ``outer`` counts for itself; ``names``
        are its entries, if they are known."""
        if not self._enabled:
            return outer
        known = self._inside.get(folder)
        if known is not None:
            return known
        files = list(outer.files)
        exclude = [".git/info/exclude"] if names is None or ".git" in names else []
        for name in (*exclude, *NAMES):
            if names is None or name in names or name in exclude:
                patterns = self._read(os.path.join(folder, name))  # noqa: PTH118
                if patterns is not None:
                    files.append((folder, patterns))
        found = outer if len(files) == len(outer.files) else Rules(tuple(files))
        self._inside[folder] = found
        return found

    def _read(self, path: str) -> Patterns | None:
        if not os.path.lexists(path):
            return None
        try:
            data = read_file(path).data
        except ThothError as problem:
            self.failed.append((path, problem))
            return None
        return compiled(data)


def compiled(data: bytes) -> Patterns | None:
    """The patterns of an ignore file; None if it has none. A line that is no pattern is none."""
    from pathspec import GitIgnoreSpec

    lines = [os.fsdecode(line).removesuffix("\r") for line in data.split(b"\n")]
    # pathspec takes "a/**/" for "a/", git for all folders below it.
    lines = [_BELOW.sub("/**/*/", line) for line in lines]
    kept = [line for line in lines if line.strip() and not line.startswith("#")]
    if not kept:
        return None
    try:
        return Patterns(GitIgnoreSpec.from_lines(kept, backend="simple"))
    except (ValueError, re.error):
        good = [line for line in kept if _is_pattern(line)]
        return Patterns(GitIgnoreSpec.from_lines(good, backend="simple"))


def _is_pattern(line: str) -> bool:
    from pathspec import GitIgnoreSpec

    try:
        GitIgnoreSpec.from_lines([line], backend="simple")
    except (ValueError, re.error):
        return False
    return True
