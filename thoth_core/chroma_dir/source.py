"""A Chroma directory that is read, healthy or not: what is damaged in it, and its collections."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from pathlib import Path
from types import TracebackType

from thoth_core.chroma_dir import database, database_salvage, flushed
from thoth_core.chroma_dir.catalog import Catalog, Collection
from thoth_core.chroma_dir.check import Finding, check
from thoth_core.chroma_dir.database_salvage import Loss
from thoth_core.chroma_dir.files import Damaged
from thoth_core.chroma_dir.gather import Gathered


class Source:
    """An open Chroma directory; a context manager. ``findings`` are what is damaged; ``losses``
    what could not be read of its database; ``salvaged``, whether that was damaged at all.

    ``OSError`` if the directory cannot be read, or a copy of its database is needed and cannot be
    made; ``TimeoutError`` if another program holds the database.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.findings: list[Finding] = []
        self.losses: list[Loss] = []
        self.salvaged = False
        self.collections: list[Collection] = []
        self._stack = contextlib.ExitStack()
        self._catalog: Catalog | None = None

    def __enter__(self) -> Source:
        try:
            self.findings = check(self.directory)
            if any(not each.collection for each in self.findings):
                self.salvage()
            else:
                self._open(self.directory)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def empty(self) -> bool:
        """Whether there is nothing of Chroma's here."""
        there = (self.directory / database.NAME).exists()
        return not there and not list(flushed.segments(self.directory))

    def salvage(self) -> None:
        """Go on with what can be read of a database that is damaged."""
        self._stack.close()
        self.salvaged, self._catalog, self.collections = True, None, []
        folder = Path(
            self._stack.enter_context(tempfile.TemporaryDirectory(prefix="thoth-chroma-"))
        )
        try:
            with database.opened(self._damaged(folder)) as damaged:
                self.losses = database_salvage.salvage(damaged, folder / database.NAME)
            self._open(folder)
        except (Damaged, sqlite3.DatabaseError):
            # Nothing at all: the indexes have ids and vectors still.
            pass
        known = {each.vector_segment for each in self.collections}
        for segment in flushed.segments(self.directory):
            if segment.name not in known:
                self.collections.append(_nameless(segment))

    def _damaged(self, folder: Path) -> Path:
        """The directory to read the damaged database in: a copy, if it was cut short."""
        path = self.directory / database.NAME
        if not path.is_file() or not database_salvage.missing_pages(path):
            return self.directory
        copy = folder / "copy"
        copy.mkdir()
        database_salvage.filled_copy(path, copy / path.name)
        return copy

    def _open(self, folder: Path) -> None:
        if (folder / database.NAME).exists():
            self._catalog = Catalog(self._stack.enter_context(database.opened(folder)))
            self.collections = self._catalog.collections()

    def count(self, collection: Collection) -> int:
        """About how many rows there are."""
        return 0 if self._catalog is None else self._catalog.count(collection)

    def gather(self, collection: Collection) -> Gathered:
        """What there is of a collection; close it."""
        return Gathered(self.directory, self._catalog, collection, lossy=self.salvaged)


def _nameless(segment: Path) -> Collection:
    """A collection of which only the index is left: it goes by the name of the folder."""
    return Collection(
        id=segment.name,
        name=segment.name,
        database="",
        dimension=None,
        # To be told by the vectors.
        space="",
        neighbours=16,
        metadata={},
        embedder=None,
        vector_segment=segment.name,
        metadata_segment=None,
        flushed=0,
    )
