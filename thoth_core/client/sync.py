"""The library client for ordinary code: every call waits for its answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, overload

from thoth_core.client.arguments import Where
from thoth_core.client.base import Client, checked_deadline, ping
from thoth_core.client.greeting import model_of
from thoth_core.client.ingest_results import DryRunReport, FileOutcome, IngestProgress, IngestReport
from thoth_core.client.looking import listed_sources, show
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
    from thoth_core.client.watching import Synced
    from thoth_core.vectors import Vectors

T = TypeVar("T")

OnProgress = Callable[[IngestProgress], None]
OnFile = Callable[[FileOutcome], None]


class Thoth(Client):
    """A client of the service. May be used from any thread, and after a fork in parent and child;
    a context manager. Every call takes ``deadline=``, in seconds: the whole call ends in
    :class:`DeadlineExceeded` after it. Without one, a call ends when the service made no progress
    with it for a minute, and no embed worker is at work for it that may be within its limit,
    ``THOTH_UNIT_TIMEOUT``. ``collection`` defaults to the setting.

    Every call raises :class:`ServiceUnavailable` when no service answers, and never hangs: a
    service that dies under a call is started (or waited for) and asked again.
    """

    def _do(self, plan: Plan[T], deadline: float | None) -> T:
        future = self._connection.submit(plan, checked_deadline(deadline))
        try:
            answers = future.result()
        except BaseException:
            # Ctrl-C above all: the service need not go on for nobody.
            future.cancel()
            raise
        return plan.combine(answers)

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

    def collections(self, *, deadline: float | None = None) -> list[Collection]:
        """All collections of the data directory."""
        return self._do(self._calls.collections(), deadline)

    def create_collection(self, name: str, *, deadline: float | None = None) -> bool:
        """True if it was made, False if it was there."""
        return self._do(self._calls.create_collection(name), deadline)

    def rename_collection(self, name: str, to: str, *, deadline: float | None = None) -> None:
        """Raises :class:`CollectionNotFound` or :class:`CollectionExists`."""
        self._do(self._calls.rename_collection(name, to), deadline)

    def delete_collection(self, name: str, *, deadline: float | None = None) -> bool:
        """Delete the collection with all its chunks; True if there was one."""
        return self._do(self._calls.delete_collection(name), deadline)

    def reembed(
        self,
        collection: str | None = None,
        model: str | None = None,
        on_progress: OnChunks | None = None,
        *,
        deadline: float | None = None,
    ) -> ReembedReport:
        """Embed the texts of a collection with ``model`` (None: the client's own, or the service's
        where it has none): ids, texts, metadata and documents stay.

        What is there serves until all is embedded, and is then replaced in one step. A call that
        ended is made again and goes on where it was. Raises :class:`ModelNotRunning`, and
        :class:`InvalidInput` for chunks without a text or with one that cannot be embedded.
        ``on_progress`` is called in this thread with the chunks that are done, and all.
        """
        from thoth_core.client.reembed import Reembed

        own = self._settings
        work = Reembed(self._connection, self._calls_for(model), on_progress, own.prices)
        return work.run(collection, model, checked_deadline(deadline))

    def abort_reembed(
        self, collection: str | None = None, *, deadline: float | None = None
    ) -> bool:
        """Give up what a :meth:`reembed` that ended has made; True if there was something."""
        from thoth_core.client.reembed import abort

        return self._do(abort(self._calls, collection), deadline)

    def stats(
        self, collection: str | None = None, *, deadline: float | None = None
    ) -> dict[str, Any]:
        """Sizes: chunks and documents of each collection (or of one); of the whole store also
        ``vectors``, ``staged`` and ``unindexed`` chunks, and bytes on disk of ledger and index."""
        return self._do(self._calls.stats(collection), deadline)

    def verify(self, *, deadline: float | None = None) -> dict[str, Any]:
        """Have the files of the index checked, every vector in them compared with the ledger, and a
        sample of them searched for. ``findings`` are what is damaged, in words, and ``differing``
        counts rows that are not as they were stored; either is mended by itself, and until then
        searches are answered from the ledger. Also ``rows``, ``asked`` and ``found`` (of the
        sample), ``seconds`` and ``index_state``."""
        return self._do(self._calls.verify(), deadline)

    def compact(self, *, deadline: float | None = None) -> dict[str, Any]:
        """Give back what ledger and index keep of the disk and do not use, while calls go on:
        ``ledger`` and ``index`` with bytes ``before`` and ``after``, or the ``problem`` of one."""
        return self._do(self._calls.compact(), deadline)

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

    def export(
        self,
        path: str | PathLike[str],
        collections: Iterable[str] | None = None,
        on_progress: OnChunks | None = None,
        *,
        deadline: float | None = None,
    ) -> ExportReport:
        """Write collections (all, if none are named) to the file ``path``: ids, texts, metadata,
        vectors and documents as they are at one moment, whatever is written meanwhile. A file that
        was there is replaced when the new one is whole. ``on_progress`` is called in this thread
        with the chunks that are done, and all."""
        from thoth_core.client.exporting import Export

        work = Export(self._connection, on_progress)
        return work.run(path, collections, checked_deadline(deadline))

    def import_(
        self,
        path: str | PathLike[str],
        collections: Iterable[str] | None = None,
        as_name: str | None = None,
        on_progress: OnChunks | None = None,
        *,
        deadline: float | None = None,
    ) -> ImportReport:
        """Bring the collections of an exported file in (or those that are named; a single one under
        the name ``as_name``), all of them or none. Nothing is embedded.

        Raises :class:`ExportDamaged` before anything is stored when the file is not as its manifest
        says, and :class:`CollectionExists` when a name is taken.
        """
        from thoth_core.client.importing import Import

        work = Import(self._connection, self._calls, on_progress)
        return work.run(path, collections, as_name, checked_deadline(deadline))

    def rescue(
        self,
        path: str | PathLike[str],
        collections: Iterable[str] | None = None,
        as_name: str | None = None,
        model: str | None = None,
        on_progress: OnChunks | None = None,
        *,
        deadline: float | None = None,
    ) -> RescueReport:
        """Bring the collections of a Chroma directory in (or those that are named; a single one
        under the name ``as_name``), whoever made it, healthy or damaged. It is read as plain files
        and never written to. Rows without a vector are embedded anew if ``model`` made the others,
        or, where none is named, if the service's own did, which is tried with some texts; otherwise
        they are counted in the report.

        Raises :class:`CollectionExists` when a name is taken, and :class:`ModelMismatch` when the
        vectors are not of ``model``.
        """
        from thoth_core.client.rescue import Rescue

        work = Rescue(self._connection, self._calls_for(model), on_progress)
        return work.run(path, collections, as_name, model, checked_deadline(deadline))

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
