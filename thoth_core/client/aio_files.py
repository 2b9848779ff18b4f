"""Files into a collection, in asynchronous code."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from os import PathLike
from typing import TYPE_CHECKING, Literal, overload

from thoth_core.client.aio_house import AsyncHouse
from thoth_core.client.base import checked_deadline
from thoth_core.client.in_loop import in_loop
from thoth_core.client.ingest_results import DryRunReport, FileOutcome, IngestProgress, IngestReport

if TYPE_CHECKING:
    pass


OnProgress = Callable[[IngestProgress], None]
OnFile = Callable[[FileOutcome], None]


class AsyncFiles(AsyncHouse):
    """The calls that read files."""

    @overload
    async def ingest(
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
    async def ingest(
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

    async def ingest(
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
        """As :meth:`Thoth.ingest`; reading and chunking happen in a thread. ``on_progress``
        and ``on_file`` are called in the event loop."""
        end, told = checked_deadline(deadline), in_loop(on_progress)
        if dry_run:
            dry = self._dry_run(collection, told, in_loop(on_file), prune=prune, ignore=ignore)
            return await self._aside(dry, lambda: dry.dry_files(paths, end))
        work = self._ingest(collection, told, in_loop(on_file), prune=prune, ignore=ignore)
        return await self._aside(work, lambda: work.files(paths, end))

    @overload
    async def ingest_text(
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
    async def ingest_text(
        self,
        text: str,
        source: str = ...,
        collection: str | None = ...,
        on_progress: OnProgress | None = ...,
        *,
        dry_run: Literal[True],
        deadline: float | None = ...,
    ) -> DryRunReport: ...

    async def ingest_text(
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
        end, told = checked_deadline(deadline), in_loop(on_progress)
        if dry_run:
            dry = self._dry_run(collection, told)
            return await self._aside(dry, lambda: dry.dry_text(text, source, end))
        work = self._ingest(collection, told)
        return await self._aside(work, lambda: work.text(text, source, end))
