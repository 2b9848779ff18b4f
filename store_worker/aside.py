"""What becomes of the folder of a damaged index."""

from __future__ import annotations

import contextlib
import logging
import shutil
from pathlib import Path

from store_worker.index_files import size
from thoth_core.disk_room import RESERVE_BYTES
from thoth_core.errors import StorageError


class Aside:
    """``chroma`` is the folder of the index. At most one damaged one is kept beside it, until the
    next is known to be good; with ``keep``, until a person removes it."""

    def __init__(self, chroma: Path, log: logging.Logger, *, keep: bool) -> None:
        self._chroma = chroma
        self._log = log
        self._keep = keep

    def take(self, generation: int) -> None:
        """Move the folder away, or delete it where there is no room for another beside it.
        :class:`StorageError`."""
        try:
            self._take(generation)
        except OSError as problem:
            raise StorageError(
                f"the damaged index cannot be moved aside: {self._chroma}",
                cause=problem.strerror or str(problem),
                fix=f"ls -ld {self._chroma} {self._chroma.parent}",
                path=str(self._chroma),
            ) from problem

    def _take(self, generation: int) -> None:
        if not self._chroma.exists():
            return
        self._delete(self._there())
        free = shutil.disk_usage(self._chroma.parent).free
        if free < size(self._chroma) + RESERVE_BYTES:
            self._log.warning("no room to keep the damaged index: it is deleted")
            # Under another name first: half of a folder must not be taken for an index.
            gone = self._named(generation)
            self._chroma.rename(gone)
            self._delete([gone])
            return
        self._chroma.rename(self._named(generation))
        self._log.info("the damaged index is kept as %s", self._named(generation))

    def forget(self) -> None:
        """The index is good again."""
        if not self._keep:
            self._delete(self._there())

    def _named(self, generation: int) -> Path:
        return self._chroma.with_name(f"{self._chroma.name}-damaged-{generation}")

    def _there(self) -> list[Path]:
        return sorted(self._chroma.parent.glob(f"{self._chroma.name}-damaged-*"))

    def _delete(self, folders: list[Path]) -> None:
        for folder in folders:
            # One that cannot be removed costs room and nothing else.
            with contextlib.suppress(OSError):
                shutil.rmtree(folder)
