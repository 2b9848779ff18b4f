"""Documents that lose their place in a run: their file has moved, or is gone.

Only what lies below the given paths is looked at. A document whose file has moved goes in one step
with the storing of the new one. Those whose files are gone go last, so that their vectors serve
whatever has the same text.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from thoth_core.client.ingest_storing import RECORDS, Storing
from thoth_core.client.moves import Moves, lost, topmost
from thoth_core.documents.base import file_error
from thoth_core.documents.discover import (
    Discovery,
    Failed,
    Found,
    Why,
    is_gone,
    printable,
)
from thoth_core.errors import StorageError


class Leaving(Storing):
    """The part of an ingest that looks for what is no more."""

    #: Absolute paths, none of them below another; none if nothing is to be looked for.
    _given: list[str] = []  # noqa: RUF012 - replaced as a whole
    _discovery: Discovery
    _prune = False

    def _look(self, items: Sequence[Found | Failed], given: list[str]) -> list[Found]:
        """The files of ``items``; what failed is put down."""
        self._given = topmost(given)
        found = [item for item in items if isinstance(item, Found)]
        #: Sources that stay; and folders of which it is not known what is in them.
        self._found = {item.source for item in found}
        self._unseen: list[str] = []
        #: Sources that were found to be no text.
        self._binary: set[str] = set()
        self._stored: dict[str, str | None] | None = None
        self._moves: Moves | None = None
        #: The documents that files have taken, by the files' sources.
        self._taken: dict[str, str] = {}
        gone = self._named_and_gone(items)
        for item in items:
            if isinstance(item, Failed):
                source = printable(item.path)
                if source in gone:
                    continue
                self._unseen.append(source)
                self._account.files += 1
                self._account.failed(source, item.error)
        # An empty folder may be the place of a disk that is not mounted.
        self._unseen += [*self._discovery.shut, *self._discovery.empty]
        self._account.files += len(found)
        self._account.bytes += sum(item.size for item in found)
        return found

    def _named_and_gone(self, items: Sequence[Found | Failed]) -> set[str]:
        """Named paths that are not there, but documents: to prune them is what is asked for. What
        was a folder may be a disk that is not mounted."""
        missing = [
            printable(item.path) for item in items if isinstance(item, Failed) and item.missing
        ]
        if not self._prune or not missing:
            return set()
        there = self._stored_below()
        parents = {path: os.path.dirname(path) for path in missing}  # noqa: PTH120
        return {p for p in missing if p in there and os.path.isdir(parents[p])}  # noqa: PTH112

    def _stored_below(self) -> dict[str, str | None]:
        """The documents below the given paths, as they were when this was first asked."""
        if self._stored is None:
            plan = self._calls.documents_below(self._given, self._collection)
            self._stored = self._ask("documents", plan)
        return self._stored

    def _moved_from(self, source: str, state: str) -> str | None:
        """The document that the file ``source``, which is to be stored, was before."""
        if not self._given:
            return None
        if self._moves is None:
            candidates = lost(self._stored_below(), self._found, self._unseen)
            self._moves = Moves({s: state for s, state in candidates.items() if is_gone(s)})
        while (old := self._moves.take(source, state)) is not None:
            # It may have come back since the run began.
            if is_gone(old):
                self._taken[source] = old
                return old
        return None

    def _passed_over(self, item: Found, why: Why) -> None:
        """The file is none of those that stay, as it turned out."""
        self._found.discard(item.source)
        if why is Why.BINARY:
            self._binary.add(item.source)
        self._account.passed_over(why.value, item.size)

    def _remove_lost(self) -> None:
        """Remove the documents whose files are gone or left out. All else is stored by now."""
        if not self._prune:
            self._count_gone()
            return
        stored = self._stored_below()
        self._keep_empty(stored)
        keep = self._found | {old for old, _ in self._report.moves}
        # Of a file that moved and could not be stored the old document is all that there is.
        keep |= {self._taken[new] for new, _ in self._report.failed if new in self._taken}
        for source in sorted(lost(stored, keep, self._unseen)):
            if self._is_lost(source):
                self._remove(source)

    def _count_gone(self) -> None:
        """What is still found although its file is no more is worth a word."""
        if self._given and self._found:
            keep = self._found | set(self._taken.values())
            candidates = lost(self._stored_below(), keep, self._unseen)
            self._report.gone = sum(map(is_gone, candidates))

    def _is_lost(self, source: str) -> bool:
        if is_gone(source) or source in self._binary:
            return True
        return self._discovery.why_left_out(self._given, source) is not None

    def _keep_empty(self, stored: dict[str, str | None]) -> None:
        """A folder with nothing in it may be the place of a disk that is not mounted."""
        for folder in self._discovery.empty:
            inside = folder.rstrip("/") + "/"
            if any(source.startswith(inside) for source in stored):
                shown = printable(Path(folder))
                error = file_error(
                    StorageError,
                    shown,
                    "the folder is empty, as that of a disk which is not mounted: "
                    "nothing was removed",
                    fix=f"if all of it is to go: touch {shown}/.keep, and again",
                )
                self._account.files += 1
                self._account.failed(shown, error)

    def _remove(self, source: str) -> None:
        self._make_room("record", RECORDS)
        plan = self._calls.replace_document(source, None, [], self._collection, self._begun())
        self._submit(
            "record",
            plan,
            # Where a run that began later has stored it, it is there, and not ours to speak of.
            lambda done: self._account.removed(source) if done.taken else None,
            lambda error: self._account.failed(source, error),
        )
