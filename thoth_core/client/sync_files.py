"""Files into a collection, in ordinary code."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from os import PathLike
from typing import TYPE_CHECKING, Literal, overload

from thoth_core.client.base import checked_deadline
from thoth_core.client.ingest_results import DryRunReport, FileOutcome, IngestProgress, IngestReport
from thoth_core.client.sync_house import House

if TYPE_CHECKING:
    from thoth_core.client.watching import Synced


OnProgress = Callable[[IngestProgress], None]
OnFile = Callable[[FileOutcome], None]


class Files(House):
    """The calls that read files."""

    @overload
    def ingest(
        self,
        paths: Iterable[str | PathLike[str]] | str | PathLike[str],
        collection: str | None = ...,
        on_progress: OnProgress | None = ...,
        *,
        on_file: OnFile | None = ...,
        prune: bool = ...,
        ignore: bool = ...,
        dry_run: Literal[False] = ...,
        deadline: float | None = ...,
    ) -> IngestReport: ...

    @overload
    def ingest(
        self,
        paths: Iterable[str | PathLike[str]] | str | PathLike[str],
        collection: str | None = ...,
        on_progress: OnProgress | None = ...,
        *,
        on_file: OnFile | None = ...,
        prune: bool = ...,
        ignore: bool = ...,
        dry_run: Literal[True],
        deadline: float | None = ...,
    ) -> DryRunReport: ...

    @overload
    def ingest(
        self,
        paths: Iterable[str | PathLike[str]] | str | PathLike[str],
        collection: str | None = ...,
        on_progress: OnProgress | None = ...,
        *,
        on_file: OnFile | None = ...,
        prune: bool = ...,
        ignore: bool = ...,
        dry_run: bool,
        deadline: float | None = ...,
    ) -> IngestReport | DryRunReport: ...

    def ingest(
        self,
        paths: Iterable[str | PathLike[str]] | str | PathLike[str],
        collection: str | None = None,
        on_progress: OnProgress | None = None,
        *,
        on_file: OnFile | None = None,
        prune: bool = False,
        ignore: bool = True,
        dry_run: bool = False,
        deadline: float | None = None,
    ) -> IngestReport | DryRunReport:
        """Read, chunk and store files and folders; what has not changed is skipped.

        The ``source`` of a file is its absolute path, so that it is the same file from whatever
        folder it is named. Files that fail are named in the report, and the others are done.
        ``on_progress`` is called in this thread, and so is ``on_file``, once for each file, as soon
        as it is certain what became of it. A file that was moved within ``paths`` keeps its
        vectors. With ``prune`` the documents below ``paths`` go whose files are gone, or ignored
        now; without ``ignore`` no ``.gitignore`` or ``.thothignore`` counts. With ``dry_run``
        nothing is embedded or written: the report says what would be, and what it would cost.
        """
        end = checked_deadline(deadline)
        if dry_run:
            return self._dry_run(
                collection, on_progress, on_file, prune=prune, ignore=ignore
            ).dry_files(paths, end)
        return self._ingest(collection, on_progress, on_file, prune=prune, ignore=ignore).files(
            paths, end
        )

    def watch(
        self,
        paths: Iterable[str | PathLike[str]] | str | PathLike[str],
        collection: str | None = None,
        on_progress: OnProgress | None = None,
        *,
        on_file: OnFile | None = None,
        ignore: bool = True,
        on_event: Callable[[str], None] | None = None,
    ) -> Iterator[Synced]:
        """Keep the collection in step with folders: an ingest that prunes, and then one after the
        other for what changes, each given when it is over. It ends when no more are asked for.
        ``on_file`` is told of files that were not as they are stored; ``on_event`` in words of a
        folder that is gone and of a service that cannot be used, which is waited for."""
        from thoth_core.client.watching import Watching

        tell = on_event or self._note
        watching = Watching(self, paths, collection, on_progress, on_file, ignore, tell)
        return watching.runs()

    @overload
    def ingest_text(
        self,
        text: str,
        source: str = ...,
        collection: str | None = ...,
        on_progress: OnProgress | None = ...,
        *,
        dry_run: Literal[False] = ...,
        deadline: float | None = ...,
    ) -> IngestReport: ...

    @overload
    def ingest_text(
        self,
        text: str,
        source: str = ...,
        collection: str | None = ...,
        on_progress: OnProgress | None = ...,
        *,
        dry_run: Literal[True],
        deadline: float | None = ...,
    ) -> DryRunReport: ...

    def ingest_text(
        self,
        text: str,
        source: str = "-",
        collection: str | None = None,
        on_progress: OnProgress | None = None,
        *,
        dry_run: bool = False,
        deadline: float | None = None,
    ) -> IngestReport | DryRunReport:
        """As :meth:`ingest` for a text at hand that is to be known as ``source``."""
        end = checked_deadline(deadline)
        if dry_run:
            return self._dry_run(collection, on_progress).dry_text(text, source, end)
        return self._ingest(collection, on_progress).text(text, source, end)
