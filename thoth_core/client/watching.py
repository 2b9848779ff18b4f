"""Folders and a collection kept alike for as long as somebody wants it.

It begins with a whole ingest that prunes. After that what changes is taken by the same code, a
moment after it has come to rest. The whole is looked at again when a folder is there anew, when so
much changed that the system may have lost a part, after the service was away, and every ten
minutes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thoth_core.client.ingest import StrPath, checked_paths
from thoth_core.client.ingest_results import FileOutcome, IngestProgress, IngestReport
from thoth_core.client.moves import topmost
from thoth_core.client.watch_plan import Batch, batch, pause
from thoth_core.documents.discover import is_below
from thoth_core.errors import (
    DeadlineExceeded,
    InvalidInput,
    MissingDependency,
    StorageError,
    ThothError,
    WorkerFailed,
)

if TYPE_CHECKING:
    from thoth_core.client.sync_files import Files

#: Milliseconds: changes that follow each other so soon are taken together, for so long at most.
_REST, _TOGETHER = 200, 2000
#: Milliseconds after which it is looked whether the folders are still the same.
_LOOK = 500
#: Seconds between two whole looks while nothing asks for one.
_WHOLE = 600.0

#: What watchfiles calls the end of a file or folder.
_DELETED = 3

_WHOLE_BATCH = Batch(True, [])
#: Errors that another try may not meet, beside those that say so.
_PASSING = (DeadlineExceeded, StorageError, WorkerFailed)


@dataclass(frozen=True, slots=True)
class Synced:
    """A run of a watch. ``whole``: all files were looked at, and not only what had changed."""

    report: IngestReport
    whole: bool


class Watching:
    """``on_file`` is told what became of each file (not of those that had not changed), ``tell``
    is told in words what goes on."""

    def __init__(
        self,
        thoth: Files,
        paths: Iterable[StrPath] | StrPath,
        collection: str | None,
        on_progress: Callable[[IngestProgress], None] | None,
        on_file: Callable[[FileOutcome], None] | None,
        ignore: bool,
        tell: Callable[[str], None],
    ) -> None:
        given = [os.path.abspath(path) for path in checked_paths(paths)]  # noqa: PTH100
        for path in given:
            if not Path(path).is_dir():
                raise InvalidInput(
                    f"{path} is no folder",
                    cause="what is watched are folders",
                    fix="check the path",
                )
        # All of them: what is given is taken though it is hidden or ignored above.
        self._roots = list(dict.fromkeys(given))
        self._thoth = thoth
        self._collection = collection
        self._on_progress = on_progress
        self._on_file = on_file
        self._ignore = ignore
        self._tell = tell
        settings = thoth.settings
        places = (settings.data_dir, settings.service_dir)
        self._own = [os.path.realpath(place) for place in places]
        self._failures = 0
        #: What is to be done; the whole at first.
        self._todo = _WHOLE_BATCH
        self._looked = 0.0

    def runs(self) -> Iterator[Synced]:
        """Each run as soon as it is over, without end."""
        rust = _notify()
        there: dict[str, tuple[int, int]] = {}
        while True:
            before, there = there, self._there()
            for root in _lost(before, there):
                self._tell(f"{root} is gone; what is stored of it stays until it is there again")
            if not there:
                time.sleep(_LOOK / 1000)
                continue
            try:
                # Before the whole look, so that nothing falls between the two.
                notify = rust(topmost(there), False, False, 300, True, True)
            except FileNotFoundError:
                continue
            except OSError as problem:
                raise _no_watches(problem) from problem
            with notify:
                self._todo = _WHOLE_BATCH
                yield from self._while_same(notify, there)

    def _while_same(self, notify: Any, there: dict[str, tuple[int, int]]) -> Iterator[Synced]:
        """Until one of the folders is another one."""
        roots, wait = list(there), 0.0
        while self._there() == there:
            if self._todo and wait <= time.monotonic():
                done = self._run(self._todo, roots)
                if done is None:
                    self._todo = _WHOLE_BATCH
                    wait = time.monotonic() + pause(self._failures)
                else:
                    self._todo = Batch(False, [])
                    yield done
                    continue
            changed = notify.watch(_TOGETHER, _REST, _LOOK, None)
            if changed == "signal":
                raise KeyboardInterrupt
            if not isinstance(changed, str) and any((_DELETED, root) in changed for root in there):
                # What is there in its place may have the very number that it had.
                return
            if not isinstance(changed, str) and not self._todo:
                paths = (path for _, path in changed)
                self._todo = batch(paths, roots, self._own, os.path.realpath)
            elif time.monotonic() - self._looked >= _WHOLE:
                self._todo = _WHOLE_BATCH

    def _run(self, todo: Batch, roots: list[str]) -> Synced | None:
        """None if the service cannot be used now."""
        ingest = self._thoth._ingest(
            self._collection, self._on_progress, self._told, prune=True, ignore=self._ignore
        )
        try:
            if todo.whole:
                report = ingest.files(roots, None)
                self._looked = time.monotonic()
            else:
                report = ingest.changes(todo.changed, None)
        except ThothError as problem:
            if not (problem.retryable or isinstance(problem, _PASSING)):
                raise
            self._failures += 1
            again = pause(self._failures)
            self._tell(f"{problem.message}; it is tried again in {again:.0f} s")
            return None
        self._failures = 0
        return Synced(report, todo.whole)

    def _told(self, outcome: FileOutcome) -> None:
        if self._on_file is not None and outcome.outcome != "unchanged":
            self._on_file(outcome)

    def _there(self) -> dict[str, tuple[int, int]]:
        """The folders that are there, and which ones they are: another one in the same place (a
        disk that was mounted, a folder that was made again) is not the one that is watched."""
        found: dict[str, tuple[int, int]] = {}
        for root in self._roots:
            try:
                status = os.stat(root)  # noqa: PTH116
            except OSError:
                continue
            found[root] = (status.st_dev, status.st_ino)
        return found


def _lost(before: Iterable[str], there: Iterable[str]) -> list[str]:
    """Those that are gone, but for what lies in one that is there: with it they are pruned."""
    seen = list(there)
    return [path for path in before if not any(is_below(path, root) for root in seen)]


def _notify() -> Any:
    try:
        from watchfiles._rust_notify import RustNotify
    except ImportError as problem:
        raise MissingDependency(
            "folders cannot be watched here",
            cause="watchfiles, which tells of changes, is not installed",
            fix='pip install "thoth-core[documents]"',
        ) from problem
    return RustNotify


def _no_watches(problem: OSError) -> ThothError:
    return StorageError(
        "the system watches no more folders",
        cause=str(problem),
        fix="sudo sysctl fs.inotify.max_user_watches=524288",
    )
