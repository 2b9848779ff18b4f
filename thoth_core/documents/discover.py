"""Which files a list of files and folders means.

In a folder: sorted; hidden ones, those with a suffix that no format reads and those that an ignore
file leaves out are passed over; links are followed but no folder is entered and no file given
twice. What was named is always tried.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from thoth_core.documents.base import file_error, is_supported, open_error, source_of
from thoth_core.documents.ignore_files import NEVER, IgnoreFiles, Rules
from thoth_core.errors import InvalidInput, ThothError


class Why(Enum):
    """Why a file or folder was passed over. None of these is a failure."""

    HIDDEN = "hidden"
    UNSUPPORTED = "unsupported"
    #: By an ignore file, or as a folder that nobody means.
    IGNORED = "ignored"
    #: No file and no folder: a socket, a pipe, a device.
    SPECIAL = "special"
    #: A link to nothing.
    DANGLING = "dangling"
    #: There already, through a link or another name.
    REPEATED = "repeated"
    #: The data directory of the service.
    OWN = "own"
    #: What is in it is no text.
    BINARY = "binary"
    #: It was there when the folder was listed.
    VANISHED = "vanished"


@dataclass(frozen=True, slots=True)
class Found:
    """A file to read. ``source`` is its absolute path; ``named``: the caller named it itself;
    ``size`` was its size in bytes when it was seen."""

    path: Path
    source: str
    named: bool
    size: int = 0


@dataclass(frozen=True, slots=True)
class Skipped:
    path: Path
    why: Why


@dataclass(frozen=True, slots=True)
class Failed:
    """A named path that is not there (``missing``), a folder that cannot be listed, a name that is
    no UTF-8. Nothing is known of what is below ``path``."""

    path: Path
    error: ThothError
    missing: bool = False


Item = Found | Skipped | Failed
_Todo = list[tuple[Path, bool, Rules]]


class Discovery:
    """One look at files and folders. Nothing is raised for what it meets, and folders are listed
    only when it is their turn. ``empty`` are the named folders with nothing in them, ``shut`` those
    with an ignore file that cannot be read: what it hides is not known, so nothing in them is
    looked at."""

    def __init__(self, *, ignore: bool = True, own: Iterable[Path] = ()) -> None:
        self.empty: list[str] = []
        self.shut: list[str] = []
        self._ignores = IgnoreFiles(enabled=ignore)
        self._told = 0
        self._seen: set[tuple[int, int]] = set()
        self._own = {key for path in own if (key := _key(path)) is not None}

    def walk(self, paths: Iterable[Path | str]) -> Iterator[Item]:
        """One item for each file, in the order of ``paths`` and sorted in each folder."""
        given = [Path(os.path.abspath(path)) for path in paths]  # noqa: PTH100 - not its links
        # Before any of it is walked, because one may be come to from another.
        self.empty = [str(path) for path in given if _is_empty(path)]
        for named in given:
            yield from self._walk([(named, True, Rules())])

    def within(self, root: str, path: str) -> Iterator[Item]:
        """As if ``path`` had been come to from the folder ``root``; nothing for one that is not
        there (any more)."""
        rules = self._rules(root, path)
        yield from self._unread()
        if isinstance(rules, Why):
            yield Skipped(Path(path), rules)
        elif not is_gone(path) and not self._is_shut(path):
            yield from self._walk([(Path(path), False, rules)])

    def why_left_out(self, roots: Iterable[str], source: str) -> Why | None:
        """Why the file ``source``, which is there and was not found below ``roots``, is none of
        theirs any more; None if it may be, or cannot be told."""
        try:
            status = os.stat(source)  # noqa: PTH116
        except OSError:
            # Also a link to nothing: what it leads to may be on a disk that is not mounted.
            return None
        if not stat.S_ISREG(status.st_mode):
            return Why.SPECIAL
        if (status.st_dev, status.st_ino) in self._seen:
            return Why.REPEATED
        inside = [root for root in roots if root != source and is_below(source, root)]
        rules = [self._rules(root, source) for root in inside]
        return Why.IGNORED if rules and all(each is Why.IGNORED for each in rules) else None

    def _rules(self, root: str, path: str) -> Rules | Why:
        """What counts for ``path`` below ``root``, or why it is not come to."""
        folder, rules = root, self._ignores.above(root)
        parts = [part for part in path[len(root) :].split("/") if part]
        for at, part in enumerate(parts):
            rules = self._ignores.inside(folder, rules)
            here = os.path.join(folder, part)  # noqa: PTH118
            if part in NEVER:
                return Why.IGNORED
            if part.startswith("."):
                return Why.HIDDEN
            if self._own and _key(Path(here)) in self._own:
                return Why.OWN
            last = at == len(parts) - 1
            if rules.ignore(here, folder=not last or os.path.isdir(here)):  # noqa: PTH112
                return Why.IGNORED
            folder = here
        return rules

    def _walk(self, todo: _Todo) -> Iterator[Item]:
        # A list of what is still to do and no recursion: folders can be nested thousands deep.
        while todo:
            path, named, rules = todo.pop()
            if path.name.startswith(".") and not named:
                yield Skipped(path, Why.IGNORED if path.name in NEVER else Why.HIDDEN)
                continue
            try:
                status = path.stat()
            except (OSError, ValueError) as problem:
                yield _unknown(path, named, problem)
                continue
            if not stat.S_ISDIR(status.st_mode):
                yield self._file(path, named, status, rules)
                continue
            why = self._why_not(path, named, status, rules)
            if why is not None:
                yield why
                continue
            try:
                inside = sorted(path.iterdir(), key=lambda entry: entry.name, reverse=True)
            except OSError as problem:
                yield Failed(path, open_error(problem, printable(path)))
                continue
            if named:
                rules = self._ignores.above(str(path))
            within = self._ignores.inside(str(path), rules, {entry.name for entry in inside})
            yield from self._unread()
            if not self._is_shut(str(path)):
                todo.extend((entry, False, within) for entry in inside)

    def _why_not(
        self, path: Path, named: bool, status: os.stat_result, rules: Rules
    ) -> Skipped | Failed | None:
        """Why a folder is not entered."""
        if (status.st_dev, status.st_ino) in self._own:
            if not named:
                return Skipped(path, Why.OWN)
            reason = "it is the data directory of the service"
            return Failed(path, file_error(InvalidInput, printable(path), reason))
        if not named and (path.name in NEVER or rules.ignore(str(path), folder=True)):
            return Skipped(path, Why.IGNORED)
        return None if self._first(status) else Skipped(path, Why.REPEATED)

    def _file(self, path: Path, named: bool, status: os.stat_result, rules: Rules) -> Item:
        if not stat.S_ISREG(status.st_mode):
            if named:
                reason = "it is no regular file"
                return Failed(path, file_error(InvalidInput, printable(path), reason))
            return Skipped(path, Why.SPECIAL)
        if not named:
            if not is_supported(path):
                return Skipped(path, Why.UNSUPPORTED)
            if rules.ignore(str(path), folder=False):
                return Skipped(path, Why.IGNORED)
        try:
            source = source_of(path)
        except InvalidInput as problem:
            return Failed(path, problem)
        if not self._first(status):
            return Skipped(path, Why.REPEATED)
        return Found(path, source, named, status.st_size)

    def _unread(self) -> Iterator[Failed]:
        for path, error in self._ignores.failed[self._told :]:
            self.shut.append(_folder_of(path))
            yield Failed(Path(path), error)
        self._told = len(self._ignores.failed)

    def _is_shut(self, path: str) -> bool:
        return any(is_below(path, folder) for folder in self.shut)

    def _first(self, status: os.stat_result) -> bool:
        """Whether this file or folder was not met before, under whatever name."""
        if not status.st_ino:
            # Some network and user-space file systems number nothing.
            return True
        key = (status.st_dev, status.st_ino)
        if key in self._seen:
            return False
        self._seen.add(key)
        return True


def discover(paths: Iterable[Path | str], *, ignore: bool = True) -> Iterator[Item]:
    """A walk of its own."""
    return Discovery(ignore=ignore).walk(paths)


def is_gone(path: str) -> bool:
    """Whether there certainly is no such file or folder; False if that cannot be seen, as behind a
    link that leads nowhere: what it leads to may be on a disk that is not mounted."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        above = os.path.dirname(path)  # noqa: PTH120
        while not os.path.lexists(above):
            above = os.path.dirname(above)  # noqa: PTH120
        return os.path.exists(above)  # noqa: PTH110
    except (OSError, ValueError):
        return False
    return False


def is_below(source: str, folder: str) -> bool:
    """Whether ``source`` is ``folder`` or lies below it; both absolute."""
    return source == folder or source.startswith(folder.rstrip("/") + "/")


def _unknown(path: Path, named: bool, problem: OSError | ValueError) -> Skipped | Failed:
    """What cannot even be looked at."""
    if not isinstance(problem, OSError):
        return Failed(path, file_error(InvalidInput, printable(path), str(problem)))
    missing = isinstance(problem, FileNotFoundError | NotADirectoryError)
    if not named:
        # ELOOP is a link to itself, which leads nowhere either.
        if path.is_symlink():
            return Skipped(path, Why.DANGLING)
        if missing:
            return Skipped(path, Why.VANISHED)
    return Failed(path, open_error(problem, printable(path)), missing)


def _folder_of(ignore_file: str) -> str:
    """The folder that an ignore file is about."""
    whole = ignore_file.removesuffix("/.git/info/exclude")
    return whole if whole != ignore_file else os.path.dirname(ignore_file)  # noqa: PTH120


def _is_empty(path: Path) -> bool:
    try:
        with os.scandir(path) as entries:
            return next(entries, None) is None
    except (OSError, ValueError):
        return False


def _key(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def printable(path: Path) -> str:
    """The path as a text that can be shown and sent, whatever its bytes are."""
    return str(path).encode("utf-8", "backslashreplace").decode()
