"""Collections and the whole store, in ordinary code."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeVar

from thoth_core import interruptible
from thoth_core.client.base import Client, checked_deadline
from thoth_core.client.requests import Plan
from thoth_core.client.rescue_report import RescueReport
from thoth_core.client.results import (
    Collection,
    ExportReport,
    ImportReport,
    ReembedReport,
)

if TYPE_CHECKING:
    from thoth_core.client.transfer import OnChunks

T = TypeVar("T")


class House(Client):
    """The calls for collections, and for all that is stored."""

    def _do(self, plan: Plan[T], deadline: float | None) -> T:
        job = self._connection.job(plan, checked_deadline(deadline))
        try:
            answers = interruptible.result(self._connection.start(job))
        except BaseException:
            # Ctrl-C above all, which may come while it starts: the service need not go on for
            # nobody.
            job.future.cancel()
            raise
        return plan.combine(answers)

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
