"""Collections and the whole store, in asynchronous code."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from os import PathLike
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from thoth_core.client.base import Client, checked_deadline
from thoth_core.client.in_loop import in_loop
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


class _Work(Protocol):
    def cancel(self) -> None: ...


class AsyncHouse(Client):
    """The calls for collections, and for all that is stored."""

    async def _do(self, plan: Plan[T], deadline: float | None) -> T:
        future = self._connection.submit(plan, checked_deadline(deadline))
        # Cancelling the wrapper cancels the future, and that the call.
        return plan.combine(await asyncio.wrap_future(future))

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
