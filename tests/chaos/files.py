"""Real text in files that change, the client that ingests them, and what must be stored of them.

Each file is a topic of Python's own documentation. Its version stands in its text, so the text of
every version can be made again, and with it the chunks that the service must hold of it.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np

from embed_worker.engines.fake import hashed_vector
from tests.chaos.book import Book, Call, Chunk
from tests.chaos.journal import Record, in_order
from thoth_core import Settings
from thoth_core.chunking import chunk
from thoth_core.client.packs import file_of
from thoth_core.encoding import load_encoding

COLLECTION = "files"
#: Files that one round changes at most.
CHANGED = 12

Key = frozenset[tuple[str, str]]


def text_of(topic: str, version: int) -> str:
    """Every second version changes every paragraph, the others the first line alone."""
    text: str = topics[topic]
    mark = f"\n\n({topic}, {version // 2}) "
    return f"Version {version} of {topic}.\n\n" + text.replace("\n\n", mark)


class Folder:
    """The files of one client. ``versions`` is what is on the disk now."""

    def __init__(self, path: Path, versions: Mapping[str, int] | None = None) -> None:
        self.path = path
        self.versions = dict(versions or {})
        path.mkdir(exist_ok=True)
        for topic in sorted(topics):
            self._write(topic, self.versions.get(topic, 0))

    def change(self, chance: random.Random) -> None:
        """Write the next version of some."""
        for topic in chance.sample(sorted(topics), chance.randint(1, CHANGED)):
            self._write(topic, self.versions[topic] + 1)

    def _write(self, topic: str, version: int) -> None:
        (self.path / f"{topic}.txt").write_text(text_of(topic, version))
        self.versions[topic] = version


# -- what must be there -------------------------------------------------------------------------


@dataclass
class Found:
    """Sources, by what is wrong with their chunks in the store."""

    lost: list[str] = field(default_factory=list)
    #: Not the chunks of any version that it may have.
    mixed: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    #: Of chunks whose vector is not that of their text.
    vectors: list[str] = field(default_factory=list)
    sources: int = 0
    uncertain: int = 0
    chunks: int = 0

    def problems(self) -> list[str]:
        return [
            f"files, {name}: {len(ids)} ({', '.join(ids[:3])})"
            for name, ids in vars(self).items()
            if isinstance(ids, list) and ids
        ]


def book_of(journals: Mapping[str, list[Record]]) -> Book:
    """A book in which a source is an id, and its version a text."""
    book = Book()
    calls: dict[tuple[str, int, int], Call] = {}
    for name, record in in_order(journals):
        key = (name, record["life"], record.get("n", 0))
        match record["kind"]:
            case "ingest":
                folder = Path(record["folder"])
                states = {
                    str(folder / f"{topic}.txt"): Chunk(str(version), {}, None)
                    for topic, version in record["versions"].items()
                }
                calls[key] = book.begin(states)
            case "ingested":
                # A file that failed is as it was: for this call, as if overtaken.
                call = calls[key]
                book.acknowledged(call, record["failed"])
            case "ingest failed":
                book.unknown(calls[key])
            case "settled":
                for other, call in calls.items():
                    if other[0] == name and other[1] < record["life"] and call.ended is None:
                        book.unknown(call)
    return book


def check(book: Book, rows: Iterable[Any], settings: Settings, *, known: bool) -> Found:
    """Compare the rows of the collection with the book. ``known`` is whether the vectors are those
    of a fake model."""
    found = Found()
    there: dict[str, list[Any]] = defaultdict(list)
    ids: set[str] = set()
    for row in rows:
        found.chunks += 1
        if row.id in ids:
            found.twice.append(row.id)
        ids.add(row.id)
        source = str((row.metadata or {}).get("source"))
        there[source].append(row)
        if known and not np.allclose(
            row.vector, hashed_vector(row.text, len(row.vector)), atol=1e-6
        ):
            found.vectors.append(row.id)
    found.unknown += [source for source in there if source not in set(book.ids())]
    for source in book.ids():
        possible = book.possible(source)
        found.sources += 1
        found.uncertain += len(possible) > 1
        has = frozenset((row.id, row.text) for row in there.get(source, []))
        if not has:
            if None not in possible:
                found.lost.append(source)
        elif not any(
            has == _chunks(source, int(each.text or 0), settings)
            for each in possible
            if each is not None
        ):
            found.mixed.append(source)
    return found


def _chunks(source: str, version: int, settings: Settings) -> Key:
    text = text_of(Path(source).stem, version)
    pieces = chunk(
        text,
        size=settings.chunk_size,
        overlap=settings.chunk_overlap,
        tokenizer=load_encoding(settings.chunk_encoding),
    )
    file = file_of(COLLECTION, source, "", False, pieces)
    return frozenset(zip(file.ids, (piece.text for piece in pieces), strict=True))
