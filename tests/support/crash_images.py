"""What a disk may hold after a loss of power, worked out from what was done to its files. Pure.

Certain is what was synced. Of everything since, each sector of each write may have reached the disk
or not, in any order; files may have any of the lengths that they had; and names that were made
or deleted may have got as far as they like, in order. A sector is never half written: SQLite relies
on that too (``SQLITE_IOCAP_POWERSAFE_OVERWRITE``).
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

SECTORS = (512, 4096)


class Create(NamedTuple):
    """A new, empty file of this name."""

    name: str


class Delete(NamedTuple):
    """``with_folder``: and the folder was synced after."""

    name: str
    with_folder: bool


class Write(NamedTuple):
    name: str
    offset: int
    data: bytes


class Truncate(NamedTuple):
    name: str
    size: int


class Sync(NamedTuple):
    """``with_folder``: and, if the file was new, its folder too."""

    name: str
    with_folder: bool


Event = Create | Delete | Write | Truncate | Sync


@dataclass
class _File:
    """``done`` is what is certain, ``since`` what may be."""

    done: bytearray = field(default_factory=bytearray)
    since: list[Write | Truncate] = field(default_factory=list)


class Disk:
    """Fed with events in order; :meth:`image` may be asked at any moment."""

    def __init__(self) -> None:
        self._now: dict[str, _File] = {}
        self._certain: dict[str, _File] = {}
        self._names: list[tuple[str, _File | None]] = []

    def feed(self, event: Event) -> None:
        if isinstance(event, Create):
            made = _File()
            self._now[event.name] = made
            self._names.append((event.name, made))
        elif isinstance(event, Delete):
            self._now.pop(event.name, None)
            self._names.append((event.name, None))
            if event.with_folder:
                self._sync_names()
        elif isinstance(event, Sync):
            file = self._now[event.name]
            for each in file.since:
                _apply(file.done, each)
            file.since.clear()
            if event.with_folder and self._certain.get(event.name) is not file:
                self._sync_names()
        else:
            self._now[event.name].since.append(event)

    def image(self, choose: random.Random) -> dict[str, bytes]:
        """One of the states in which the disk may be found, as {name: content}."""
        files = dict(self._certain)
        for name, file in self._names[: choose.randint(0, len(self._names))]:
            if file is None:
                files.pop(name, None)
            else:
                files[name] = file
        sector = choose.choice(SECTORS)
        # From "almost nothing of it arrived" to "almost all".
        share = choose.choice((0.0, 0.1, 0.5, 0.9, 1.0))
        blank = choose.choice((b"\0", b"\xa5"))
        return {name: _found(file, choose, sector, share, blank) for name, file in files.items()}

    def _sync_names(self) -> None:
        for name, file in self._names:
            if file is None:
                self._certain.pop(name, None)
            else:
                self._certain[name] = file
        self._names.clear()


def images(
    events: Sequence[Event], moments: Iterable[int], choose: random.Random
) -> Iterator[tuple[int, dict[str, bytes]]]:
    """An image for each of ``moments`` (how many of the events had begun), in rising order."""
    disk, fed = Disk(), 0
    for moment in sorted(moments):
        for event in events[fed:moment]:
            disk.feed(event)
        fed = max(fed, moment)
        yield moment, disk.image(choose)


def _found(file: _File, choose: random.Random, sector: int, share: float, blank: bytes) -> bytes:
    """``blank`` fills what a file's length covers but nothing was written to."""
    content = bytearray(file.done)
    for event in file.since:
        if isinstance(event, Truncate):
            if choose.random() < share:
                _apply(content, event, blank)
            continue
        for piece in pieces(event, sector):
            if choose.random() < share:
                _apply(content, piece, blank)
    return bytes(content)


def pieces(write: Write, sector: int) -> Iterator[Write]:
    """``write``, cut where sectors end."""
    start, end = write.offset, write.offset + len(write.data)
    while start < end:
        stop = min(end, (start // sector + 1) * sector)
        data = write.data[start - write.offset : stop - write.offset]
        yield Write(write.name, start, data)
        start = stop


def _apply(content: bytearray, event: Write | Truncate, blank: bytes = b"\0") -> None:
    if isinstance(event, Truncate):
        if event.size <= len(content):
            del content[event.size :]
        else:
            content.extend(blank * (event.size - len(content)))
        return
    if event.offset > len(content):
        content.extend(blank * (event.offset - len(content)))
    content[event.offset : event.offset + len(event.data)] = event.data
