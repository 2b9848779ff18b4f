"""The library client for asyncio: the same calls, awaited; cancelling one frees its work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from thoth_core.client.aio_files import AsyncFiles
from thoth_core.client.arguments import Where
from thoth_core.client.base import checked_deadline, ping
from thoth_core.client.greeting import model_of
from thoth_core.client.in_loop import in_loop
from thoth_core.client.looking import listed_sources_async, show
from thoth_core.client.narrowing import Sources, narrowed
from thoth_core.client.results import (
    AddReport,
    Hit,
    Metadata,
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
    from thoth_core.vectors import Vectors


class AsyncThoth(AsyncFiles):
    """:class:`Thoth` for asyncio. Cancelling a call tells the service to leave off. ``model`` and
    ``dimension`` are methods here, because they may have to ask."""

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
