"""The library client for asyncio: the same calls, awaited; cancelling one frees its work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeVar, overload

from thoth_core.client.arguments import Where
from thoth_core.client.base import Client, checked_deadline, ping
from thoth_core.client.greeting import model_of
from thoth_core.client.in_loop import in_loop
from thoth_core.client.ingest_results import DryRunReport, FileOutcome, IngestProgress, IngestReport
from thoth_core.client.looking import listed_sources_async, show
from thoth_core.client.narrowing import Sources, narrowed
from thoth_core.client.requests import Plan
from thoth_core.client.rescue_report import RescueReport
from thoth_core.client.results import (
    AddReport,
    Collection,
    ExportReport,
    Hit,
    ImportReport,
    Metadata,
    ReembedReport,
    Rows,
    Shown,
    Source,
    UpsertReport,
)
from thoth_core.client.used import Used, put_cost
from thoth_core.prices import Cost
from thoth_core.since import Since

if TYPE_CHECKING:
    import numpy.typing as npt

    from thoth_core.asking.results import Answer
    from thoth_core.client.transfer import OnChunks
    from thoth_core.vectors import Vectors

T = TypeVar("T")

OnProgress = Callable[[IngestProgress], None]
OnFile = Callable[[FileOutcome], None]


class _Work(Protocol):
    def cancel(self) -> None: ...


class AsyncThoth(Client):
    """:class:`Thoth` for asyncio. Cancelling a call tells the service to leave off. ``model`` and
    ``dimension`` are methods here, because they may have to ask."""

    async def _do(self, plan: Plan[T], deadline: float | None) -> T:
        future = self._connection.submit(plan, checked_deadline(deadline))
        # Cancelling the wrapper cancels the future, and that the call.
        return plan.combine(await asyncio.wrap_future(future))

    async def model(self) -> str:
        """The name of the model that the service runs."""
        if self._connection.greeting is None:
            await self._do(ping(), None)
        return model_of(self._settings, self._connection.greeting)

    async def dimension(self) -> int:
        """The length of the model's vectors."""
        return await self._do(self._calls.dimension(), None)

    async def embed(
        self,
        texts: Iterable[str],
        *,
        on_cost: Callable[[Cost], None] | None = None,
        deadline: float | None = None,
    ) -> Vectors:
        """Vectors of ``texts``: float32, shape (n, dimension), each of unit length.

        Raises :class:`InvalidInput` or :class:`PoisonInput` if some are refused, with ``.indices``
        and ``.partial``: the rows of all texts, NaN at those indices. ``on_cost`` is told what was
        used when the call ends; if that is by an error, its ``details["cost"]`` says it too.
        """
        used = Used()
        try:
            return await self._do(self._calls.embed(texts, used=used), deadline)
        except BaseException as problem:
            put_cost(problem, self._cost(used))
            raise
        finally:
            if on_cost is not None:
                on_cost(self._cost(used))

    async def embed_documents(
        self, texts: Iterable[str], *, deadline: float | None = None
    ) -> list[list[float]]:
        """As :meth:`embed`, as plain lists."""
        vectors = await self._do(self._calls.embed(texts), deadline)
        return [[float(x) for x in row] for row in vectors]

    async def embed_query(self, text: str, *, deadline: float | None = None) -> list[float]:
        """The vector of one question, as a plain list."""
        vectors = await self._do(self._calls.embed([text], "query"), deadline)
        return [float(x) for x in vectors[0]]

    async def add(
        self,
        texts: Iterable[str],
        metadatas: Iterable[Metadata | None] | None = None,
        ids: Iterable[str] | None = None,
        collection: str | None = None,
        *,
        deadline: float | None = None,
    ) -> AddReport:
        """Embed and store ``texts``; the ids, one for each, in a list that also says what was
        done.

        Without ``ids`` they are derived from collection, ``source`` in the metadata and text, so
        that a repeated call stores nothing twice. Texts that are refused are named in ``.failed``;
        the others are on disk and found by a search when this returns.
        """
        return await self._do(self._calls.add(texts, metadatas, ids, collection), deadline)

    async def upsert(
        self,
        ids: Iterable[str],
        vectors: npt.ArrayLike,
        texts: Iterable[str] | None = None,
        metadatas: Iterable[Metadata | None] | None = None,
        collection: str | None = None,
        *,
        deadline: float | None = None,
    ) -> UpsertReport:
        """Store the caller's own ``vectors``, shape (n, dimension). Nothing is written if one of
        them is NaN, infinite, zero or of another dimension (:class:`InvalidInput`)."""
        return await self._do(
            self._calls.upsert(ids, vectors, texts, metadatas, collection), deadline
        )

    async def query(
        self,
        text: str,
        k: int | None = None,
        where: Where = None,
        where_document: Where = None,
        include: Sequence[str] | None = None,
        collection: str | None = None,
        *,
        source: Sources = None,
        since: Since | None = None,
        deadline: float | None = None,
    ) -> list[Hit]:
        """The ``k`` chunks nearest to ``text``, best first, as :meth:`Thoth.query`."""
        plan = self._calls.query(
            [text], k, where, where_document, include, collection, narrowed(source, since)
        )
        return (await self._do(plan, deadline))[0]

    async def query_many(
        self,
        texts: Iterable[str],
        k: int | None = None,
        where: Where = None,
        where_document: Where = None,
        include: Sequence[str] | None = None,
        collection: str | None = None,
        *,
        source: Sources = None,
        since: Since | None = None,
        deadline: float | None = None,
    ) -> list[list[Hit]]:
        """As :meth:`query` for each of ``texts``. If some are refused, the error has ``.indices``
        and ``.partial``: the hits of all, none at those indices."""
        plan = self._calls.query(
            texts, k, where, where_document, include, collection, narrowed(source, since)
        )
        return await self._do(plan, deadline)

    async def ask(
        self,
        question: str,
        k: int | None = None,
        where: Where = None,
        collection: str | None = None,
        model: str | None = None,
        always_ask: bool = False,
        on_token: Callable[[str], None] | None = None,
        *,
        source: Sources = None,
        since: Since | None = None,
        deadline: float | None = None,
    ) -> Answer:
        """As :meth:`Thoth.ask`. ``on_token`` is called in the event loop; cancelling the call
        closes the connection to the chat server."""
        from thoth_core.client.asking import Ask

        work = Ask(
            self._connection, self._calls, self._settings, in_loop(on_token), in_loop(self._note)
        )
        end, narrow = checked_deadline(deadline), narrowed(source, since)
        return await self._aside(
            work,
            lambda: work.run(question, k, where, collection, model, always_ask, end, narrow),
        )

    async def search(
        self,
        vector: npt.ArrayLike,
        k: int | None = None,
        where: Where = None,
        where_document: Where = None,
        include: Sequence[str] | None = None,
        collection: str | None = None,
        *,
        source: Sources = None,
        since: Since | None = None,
        deadline: float | None = None,
    ) -> list[Hit]:
        """The ``k`` chunks nearest to ``vector``, of shape (dimension,), best first."""
        plan = self._calls.search(
            vector, k, where, where_document, include, collection, narrowed(source, since)
        )
        return await self._do(plan, deadline)

    def sources(
        self,
        source: Sources = None,
        since: Since | None = None,
        collection: str | None = None,
        *,
        deadline: float | None = None,
    ) -> AsyncIterator[Source]:
        """As :meth:`Thoth.sources`, for ``async for``."""
        name, narrow = self._calls.collection_name(collection), narrowed(source, since)
        return listed_sources_async(self._do, name, narrow, checked_deadline(deadline))

    async def show(
        self,
        id: str,
        context: int = 0,
        collection: str | None = None,
        *,
        deadline: float | None = None,
    ) -> Shown:
        """As :meth:`Thoth.show`."""
        name = self._calls.collection_name(collection)
        return await self._do(show(name, id, context), deadline)

    async def get(
        self,
        ids: Iterable[str] | None = None,
        where: Where = None,
        where_document: Where = None,
        limit: int | None = None,
        offset: int = 0,
        include: Sequence[str] | None = None,
        collection: str | None = None,
        *,
        deadline: float | None = None,
    ) -> Rows:
        """Stored chunks, by id, by filter, or all. Ids that are not there are left out."""
        plan = self._calls.get(ids, where, where_document, limit, offset, include, collection)
        return await self._do(plan, deadline)

    async def delete(
        self,
        ids: Iterable[str] | None = None,
        where: Where = None,
        where_document: Where = None,
        collection: str | None = None,
        *,
        deadline: float | None = None,
    ) -> int:
        """Delete chunks by id, by filter, or by both; how many there were."""
        return await self._do(self._calls.delete(ids, where, where_document, collection), deadline)

    async def count(self, collection: str | None = None, *, deadline: float | None = None) -> int:
        """Chunks in the collection."""
        return await self._do(self._calls.count(collection), deadline)

    async def collections(self, *, deadline: float | None = None) -> list[Collection]:
        """All collections of the data directory."""
        return await self._do(self._calls.collections(), deadline)

    async def create_collection(self, name: str, *, deadline: float | None = None) -> bool:
        """True if it was made, False if it was there."""
        return await self._do(self._calls.create_collection(name), deadline)

    async def rename_collection(self, name: str, to: str, *, deadline: float | None = None) -> None:
        """Raises :class:`CollectionNotFound` or :class:`CollectionExists`."""
        await self._do(self._calls.rename_collection(name, to), deadline)

    async def delete_collection(self, name: str, *, deadline: float | None = None) -> bool:
        """Delete the collection with all its chunks; True if there was one."""
        return await self._do(self._calls.delete_collection(name), deadline)

    async def reembed(
        self,
        collection: str | None = None,
        model: str | None = None,
        on_progress: OnChunks | None = None,
        *,
        deadline: float | None = None,
    ) -> ReembedReport:
        """As :meth:`Thoth.reembed`. ``on_progress`` is called in the event loop."""
        from thoth_core.client.reembed import Reembed

        own = self._settings
        work = Reembed(self._connection, self._calls_for(model), in_loop(on_progress), own.prices)
        return await self._aside(
            work, lambda: work.run(collection, model, checked_deadline(deadline))
        )

    async def abort_reembed(
        self, collection: str | None = None, *, deadline: float | None = None
    ) -> bool:
        """As :meth:`Thoth.abort_reembed`."""
        from thoth_core.client.reembed import abort

        return await self._do(abort(self._calls, collection), deadline)

    async def stats(
        self, collection: str | None = None, *, deadline: float | None = None
    ) -> dict[str, Any]:
        """Sizes: chunks and documents of each collection (or of one), bytes on disk."""
        return await self._do(self._calls.stats(collection), deadline)

    async def verify(self, *, deadline: float | None = None) -> dict[str, Any]:
        """As :meth:`Thoth.verify`."""
        return await self._do(self._calls.verify(), deadline)

    async def compact(self, *, deadline: float | None = None) -> dict[str, Any]:
        """As :meth:`Thoth.compact`."""
        return await self._do(self._calls.compact(), deadline)

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

    async def export(
        self,
        path: str | PathLike[str],
        collections: Iterable[str] | None = None,
        on_progress: OnChunks | None = None,
        *,
        deadline: float | None = None,
    ) -> ExportReport:
        """As :meth:`Thoth.export`. ``on_progress`` is called in the event loop."""
        from thoth_core.client.exporting import Export

        work = Export(self._connection, in_loop(on_progress))
        return await self._aside(
            work, lambda: work.run(path, collections, checked_deadline(deadline))
        )

    async def import_(
        self,
        path: str | PathLike[str],
        collections: Iterable[str] | None = None,
        as_name: str | None = None,
        on_progress: OnChunks | None = None,
        *,
        deadline: float | None = None,
    ) -> ImportReport:
        """As :meth:`Thoth.import_`. ``on_progress`` is called in the event loop."""
        from thoth_core.client.importing import Import

        work = Import(self._connection, self._calls, in_loop(on_progress))
        return await self._aside(
            work, lambda: work.run(path, collections, as_name, checked_deadline(deadline))
        )

    async def rescue(
        self,
        path: str | PathLike[str],
        collections: Iterable[str] | None = None,
        as_name: str | None = None,
        model: str | None = None,
        on_progress: OnChunks | None = None,
        *,
        deadline: float | None = None,
    ) -> RescueReport:
        """As :meth:`Thoth.rescue`. ``on_progress`` is called in the event loop."""
        from thoth_core.client.rescue import Rescue

        work = Rescue(self._connection, self._calls_for(model), in_loop(on_progress))
        return await self._aside(
            work, lambda: work.run(path, collections, as_name, model, checked_deadline(deadline))
        )

    async def _aside(self, work: _Work, run: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(run)
        except asyncio.CancelledError:
            work.cancel()
            raise

    async def status(self) -> dict[str, Any]:
        """As :meth:`Thoth.status`."""
        return await asyncio.to_thread(self._status)

    async def aclose(self) -> None:
        """Cancel what is under way and close the connection."""
        await asyncio.to_thread(self._connection.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()
