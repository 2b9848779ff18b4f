"""A file that is to be imported, read through before anything of it is sent."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from thoth_core.client import import_rows
from thoth_core.client.archive_format import CollectionEntry, FileEntry
from thoth_core.client.archive_read import Archive

#: What a line is known by, which no other line of its file may have.
Name = Callable[[CollectionEntry, int, bytes], str]


@dataclass(frozen=True, slots=True)
class _File:
    entry: FileEntry
    lines: int
    what: str
    name: Name


def check(archive: Archive, entry: CollectionEntry, between: Callable[[], object]) -> None:
    """Read both files of a collection through: :class:`ExportDamaged` if one is not as the manifest
    says, or names the line that is no row, or has the id or the source of an earlier one.

    ``between`` is called after each piece and may raise. Takes 8 bytes a line.
    """
    for file in (
        _File(entry.chunks_file, entry.chunks, "id", import_rows.id_of),
        _File(entry.documents_file, entry.documents, "source", import_rows.source_of),
    ):
        hashes = array("Q")

        def note(number: int, line: bytes, file: _File = file, hashes: array[int] = hashes) -> None:
            hashes.append(_hash(file.name(entry, number, line)))

        archive.verify(file.entry, file.lines, between, note)
        suspects = _equal(hashes)
        if suspects:
            _refuse_repeated(archive, entry, file, suspects)


def _refuse_repeated(
    archive: Archive, entry: CollectionEntry, file: _File, suspects: set[int]
) -> None:
    """Look at the lines with equal hashes, which need not be equal."""
    first: dict[str, int] = {}
    for number, line in enumerate(archive.lines(file.entry), 1):
        if number in suspects:
            name = file.name(entry, number, line)
            earlier = first.setdefault(name, number)
            if earlier != number:
                raise import_rows.repeated(file.entry.name, number, file.what, name, earlier)


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")


def _equal(hashes: array[int]) -> set[int]:
    """The lines, counted from 1, whose hash another has too."""
    found = np.frombuffer(hashes, np.uint64) if hashes else np.zeros(0, np.uint64)
    order = np.argsort(found, kind="stable")
    same = found[order[1:]] == found[order[:-1]]
    return {int(i) + 1 for i in np.concatenate((order[1:][same], order[:-1][same]))}
