"""Chunks of several files packed into one call, and what each answer means for its files. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from thoth_core.chunking import Chunk
from thoth_core.client.results import AddReport, Metadata
from thoth_core.client.splitting import text_size
from thoth_core.client.used import Used
from thoth_core.errors import ThothError
from thoth_core.ids import chunk_id

#: Bounds of one call: enough that texts of near-equal length are found for each batch, and small
#: enough that several calls are under way and little is repeated when one is.
PACK_TEXTS = 512
PACK_BYTES = 2 * 1024 * 1024


@dataclass(slots=True, eq=False)
class File:
    """One document on its way. ``known``: the collection holds an older state of it. ``bad`` are
    the ids of chunks that were refused; ``refused`` says that whole calls were, so that it is not
    known what of it could be stored. ``bytes`` is the size of its file, ``moved_from`` the source
    whose place it takes, ``note`` what to know of how it was read."""

    source: str
    content_hash: str
    known: bool
    ids: list[str]
    left: int
    failed: ThothError | None = None
    bad: set[str] = field(default_factory=set)
    refused: bool = False
    bytes: int = 0
    moved_from: str | None = None
    note: str = ""

    @property
    def chunk_bytes(self) -> float:
        """What a chunk stands for of the file."""
        return self.bytes / len(self.ids) if self.ids else 0.0

    def stored(self) -> list[str]:
        """The ids that the document can consist of."""
        return [] if self.refused else [id for id in self.ids if id not in self.bad]


class Item(NamedTuple):
    """A chunk of a file, with the file's title."""

    file: File
    id: str
    chunk: Chunk
    title: str


@dataclass(slots=True)
class Pack:
    """The arguments of one ``add``, and which file each row belongs to."""

    ids: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    metadatas: list[Metadata | None] = field(default_factory=list)
    files: list[File] = field(default_factory=list)
    bytes: int = 0
    #: Rows that the service says are done, for the progress.
    done: int = 0
    #: What its rows stand for of their files, in bytes.
    file_bytes: float = 0.0
    used: Used = field(default_factory=Used)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def bytes_done(self) -> float:
        """As ``done``, in bytes of the files."""
        return self.file_bytes * self.done / len(self) if len(self) else 0.0

    def full(self, texts: int) -> bool:
        """Whether it has so many texts, or as much as one call may have."""
        return len(self.ids) >= min(texts, PACK_TEXTS) or self.bytes >= PACK_BYTES

    def put(self, file: File, id: str, chunk: Chunk, title: str) -> None:
        self.ids.append(id)
        self.texts.append(chunk.text)
        self.metadatas.append(metadata_of(file.source, chunk, title))
        self.files.append(file)
        self.bytes += text_size(chunk.text)
        self.file_bytes += file.chunk_bytes

    def accepted(self, report: AddReport) -> list[File]:
        """Book the answer; the files of which nothing is left to be answered."""
        for index, error in report.failed:
            file = self.files[index]
            file.failed = file.failed or error
            file.bad.add(self.ids[index])
        return self._answered()

    def refused(self, error: ThothError) -> list[File]:
        """Book that the whole call was refused."""
        for file in self.files:
            file.failed = file.failed or error
            file.refused = True
        return self._answered()

    def _answered(self) -> list[File]:
        finished = []
        for file in self.files:
            file.left -= 1
            if file.left == 0:
                finished.append(file)
        return finished


def file_of(
    collection: str, source: str, content_hash: str, known: bool, chunks: Sequence[Chunk]
) -> File:
    """The file with the ids of its chunks, which depend on nothing but what is named here."""
    ids = [chunk_id(collection, source, c.ordinal, c.text) for c in chunks]
    return File(source, content_hash, known, ids, left=len(ids))


def metadata_of(source: str, chunk: Chunk, title: str) -> Metadata:
    """What is stored beside a chunk: where it stands. Lines and pages count from 1, where the file
    has them; ``start`` and ``end`` are characters of the document's text."""
    metadata: Metadata = {
        "source": source,
        "ordinal": chunk.ordinal,
        "start": chunk.start,
        "end": chunk.end,
    }
    for name in ("line_start", "line_end", "page", "page_end"):
        place = getattr(chunk, name)
        if place is not None:
            metadata[name] = place
    if title:
        metadata["title"] = title
    if chunk.heading_path:
        metadata["heading"] = " > ".join(chunk.heading_path)
    return metadata


def state_hash(
    content_hash: str, size: int, overlap: int, encoding: str, read_by: str = "text 1"
) -> str:
    """What a document is compared by: its content and how it is read and cut. Chunks made with
    other settings are other chunks, so a change of those makes every file a changed one;
    ``read_by`` is the format and its version."""
    recipe = f"thoth document 2\0{content_hash}\0{size}\0{overlap}\0{encoding}\0{read_by}"
    return hashlib.sha256(recipe.encode()).hexdigest()
