"""The library client for ordinary code: every call waits for its answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from thoth_core.client.arguments import Where
from thoth_core.client.base import checked_deadline, ping
from thoth_core.client.greeting import model_of
from thoth_core.client.looking import listed_sources, show
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
from thoth_core.client.sync_files import Files
from thoth_core.client.used import Used, put_cost
from thoth_core.prices import Cost
from thoth_core.since import Since

if TYPE_CHECKING:
    import numpy.typing as npt

    from thoth_core.asking.results import Answer
    from thoth_core.vectors import Vectors


class Thoth(Files):
    """A client of the service. May be used from any thread, and after a fork in parent and child;
    a context manager. Every call takes ``deadline=``, in seconds: the whole call ends in
    :class:`DeadlineExceeded` after it. Without one, a call ends when the service made no progress
    with it for a minute, and no embed worker is at work for it that may be within its limit,
    ``THOTH_UNIT_TIMEOUT``. ``collection`` defaults to the setting.

    Every call raises :class:`ServiceUnavailable` when no service answers, and never hangs: a
    service that dies under a call is started (or waited for) and asked again.
    """

    @property
    def model(self) -> str:
        """The name of the model that the service runs."""
        if self._connection.greeting is None:
            self._do(ping(), None)
        return model_of(self._settings, self._connection.greeting)

    @property
    def dimension(self) -> int:
        """The length of the model's vectors."""
        return self._do(self._calls.dimension(), None)

    def embed(
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
            return self._do(self._calls.embed(texts, used=used), deadline)
        except BaseException as problem:
            put_cost(problem, self._cost(used))
            raise
        finally:
            if on_cost is not None:
                on_cost(self._cost(used))

    def embed_documents(
        self, texts: Iterable[str], *, deadline: float | None = None
    ) -> list[list[float]]:
        """As :meth:`embed`, as plain lists."""
        vectors = self._do(self._calls.embed(texts), deadline)
        return [[float(x) for x in row] for row in vectors]

    def embed_query(self, text: str, *, deadline: float | None = None) -> list[float]:
        """The vector of one question, as a plain list."""
        vectors = self._do(self._calls.embed([text], "query"), deadline)
        return [float(x) for x in vectors[0]]

    def add(
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
        return self._do(self._calls.add(texts, metadatas, ids, collection), deadline)

    def upsert(
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
        return self._do(self._calls.upsert(ids, vectors, texts, metadatas, collection), deadline)

    def query(
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
        """The ``k`` chunks nearest to ``text``, best first. ``include=["vectors"]`` adds theirs.

        ``where`` and ``where_document`` are Chroma's filters over metadata and text. ``source``:
        only chunks of sources that a pattern matches (``"*.pdf"``, ``"notes/**"``, or several of
        them); ``since``: only of documents that were stored then or later (a date or time, or
        ``"7d"`` ago); ``docs/search.md`` has the rules of both.
        """
        plan = self._calls.query(
            [text], k, where, where_document, include, collection, narrowed(source, since)
        )
        return self._do(plan, deadline)[0]

    def query_many(
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
        return self._do(plan, deadline)

    def ask(
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
        """An answer that a chat model (``model``, or ``RAG_QA_MODEL`` at ``OPENAI_BASE_URL``)
        writes from the ``k`` chunks nearest to ``question``, with citations resolved. ``on_token``
        is called in this thread with each piece as it comes.

        No model is asked when nothing is near enough, unless ``always_ask``: see
        :class:`Answer`. Raises what :meth:`query` does, and :class:`AuthenticationFailed`,
        :class:`QuotaExceeded`, :class:`ModelNotFound`, :class:`MissingDependency`, and
        :class:`ServiceUnavailable` where no chat server answers.
        """
        from thoth_core.client.asking import Ask

        work = Ask(self._connection, self._calls, self._settings, on_token, self._note)
        return work.run(
            question,
            k,
            where,
            collection,
            model,
            always_ask,
            checked_deadline(deadline),
            narrowed(source, since),
        )

    def search(
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
        return self._do(plan, deadline)

    def sources(
        self,
        source: Sources = None,
        since: Since | None = None,
        collection: str | None = None,
        *,
        deadline: float | None = None,
    ) -> Iterator[Source]:
        """What the chunks of the collection come from, in order, read a page at a time: all
        sources, or those that ``source`` and ``since`` leave, as for :meth:`query`."""
        name = self._calls.collection_name(collection)
        return listed_sources(self._do, name, narrowed(source, since), checked_deadline(deadline))

    def show(
        self,
        id: str,
        context: int = 0,
        collection: str | None = None,
        *,
        deadline: float | None = None,
    ) -> Shown:
        """The chunk with this ``id``, of which its beginning will do, and ``context`` (100 at most)
        chunks before and after it in its document. Raises :class:`ChunkNotFound`, and
        :class:`InvalidInput` with ``details["ids"]`` where several ids begin so."""
        name = self._calls.collection_name(collection)
        return self._do(show(name, id, context), deadline)

    def get(
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
        return self._do(plan, deadline)

    def delete(
        self,
        ids: Iterable[str] | None = None,
        where: Where = None,
        where_document: Where = None,
        collection: str | None = None,
        *,
        deadline: float | None = None,
    ) -> int:
        """Delete chunks by id, by filter, or by both; how many there were."""
        return self._do(self._calls.delete(ids, where, where_document, collection), deadline)

    def count(self, collection: str | None = None, *, deadline: float | None = None) -> int:
        """Chunks in the collection."""
        return self._do(self._calls.count(collection), deadline)

    def status(self) -> dict[str, Any]:
        """What the supervisor says of itself, its workers and its queue. Starts nothing:
        :class:`ServiceUnavailable` when no service runs."""
        return self._status()

    def close(self) -> None:
        """Cancel what is under way and close the connection."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
