"""Chunks of files on their way into a collection, and each file in its place once it has them.

Files are stored in the order in which they are taken, as they go on: calls hold as many chunks as
are done in a second or two, and four of them are under way.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from thoth_core.client import packs
from thoth_core.client.calls import Calls
from thoth_core.client.connection import Connection
from thoth_core.client.house import Replaced
from thoth_core.client.ingest_account import Account
from thoth_core.client.ingest_results import FileOutcome, IngestProgress
from thoth_core.client.ingest_waiting import Waiting
from thoth_core.client.pack_sizes import PackSizes
from thoth_core.client.packs import File, Item, Pack
from thoth_core.client.repeats import Repeats
from thoth_core.client.results import AddReport
from thoth_core.errors import ThothError

if TYPE_CHECKING:
    from thoth_core.chunking import Chunk

#: Calls under way at once: with chunks, and with records of finished files.
ADDS, RECORDS = 4, 16
#: Seconds that chunks wait for others to fill their call while nothing else is under way.
PACK_SECONDS = 0.5


class Storing(Waiting):
    """The part of an ingest that stores what was cut."""

    def __init__(
        self,
        connection: Connection,
        calls: Calls,
        collection: str | None,
        on_progress: Callable[[IngestProgress], None] | None,
        on_file: Callable[[FileOutcome], None] | None,
    ) -> None:
        super().__init__(connection)
        self._calls = calls
        self._collection = calls.collection_name(collection)
        self._account = Account(on_progress, on_file)
        self._report = self._account.report
        self._pack = Pack()
        self._pack_since = 0.0
        self._packs: list[Pack] = []
        self._sizes = PackSizes(packs.PACK_TEXTS)
        self._repeats: Repeats[Item] = Repeats()
        self._stage: int | None = None
        #: What embeds, once it is known from an answer.
        self._model = ""
        self._reconnects = connection.reconnects

    def _store(self, file: File, chunks: list[Chunk], title: str) -> None:
        """Have all of ``file`` stored; what comes of it is put down when it is known."""
        self._begun()
        self._account.read += len(chunks)
        if not chunks:
            self._record(file)
        for id, piece in zip(file.ids, chunks, strict=True):
            item = Item(file, id, piece, title)
            if self._repeats.begins(piece.text, item):
                self._put(item)
            elif self._repeats.waiting >= packs.PACK_TEXTS:
                self._let_repeats_go()

    def _finish(self) -> None:
        """Wait until everything that was begun is over."""
        self._send_pack()
        while self._open:
            self._wait()
            # Repeated texts that nothing is under way of any more.
            self._send_pack()

    def _put(self, item: Item) -> None:
        if not len(self._pack):
            self._pack_since = time.monotonic()
        self._pack.put(*item)
        if self._pack.full(self._sizes.texts):
            self._send_pack()

    def _send_late(self) -> None:
        """Reading takes its time: what was read need not wait for it."""
        idle = len(self._pack) and not self._packs
        if idle and time.monotonic() - self._pack_since >= PACK_SECONDS:
            self._send_pack()

    def _let_repeats_go(self) -> None:
        # What they wait for may be in the pack that is being filled, and wait for them to fill it.
        self._send_pack()
        while self._repeats.waiting >= ADDS * packs.PACK_TEXTS:
            self._wait()

    def _begun(self) -> int:
        """The stage of this run, which begins with its first file that is to be stored."""
        if self._stage is None:
            self._stage = self._ask("begin", self._calls.begin_ingest(self._collection))
        return self._stage

    def _send_pack(self) -> None:
        pack, self._pack = self._pack, Pack()
        if not len(pack):
            return
        self._make_room("add", ADDS)

        def progress(done: int, total: int) -> None:
            del total
            self._events.put(lambda: self._progressed(pack, done))

        plan = self._calls.add(
            pack.texts,
            pack.metadatas,
            pack.ids,
            self._collection,
            on_progress=progress,
            stage=self._begun(),
            used=pack.used,
        )
        if not self._packs:
            self._sizes.begun(time.monotonic())
        self._packs.append(pack)
        self._submit(
            "add", plan, lambda report: self._added(pack, report), lambda e: self._refused(pack, e)
        )

    def _progressed(self, pack: Pack, done: int) -> None:
        pack.done = max(pack.done, min(done, len(pack)))

    def _added(self, pack: Pack, report: AddReport) -> None:
        self._model = report.model or self._model
        for name in ("embedded", "reused", "windowed", "tokens"):
            setattr(self._report, name, getattr(self._report, name) + getattr(report, name))
        self._close_pack(pack, pack.accepted(report))

    def _refused(self, pack: Pack, error: ThothError) -> None:
        self._report.tokens += pack.used.tokens
        self._close_pack(pack, pack.refused(error))

    def _close_pack(self, pack: Pack, finished: list[File]) -> None:
        self._packs.remove(pack)
        self._sizes.answered(len(pack), time.monotonic())
        self._account.stored_of_files(len(pack), pack.file_bytes)
        for item in self._repeats.over(pack.texts):
            self._put(item)
        for file in finished:
            if file.failed is None or file.stored():
                self._record(file)
            else:
                # Nothing came of it: what was there stays, and the next ingest tries it again.
                self._account.failed(file.source, file.failed)

    def _record(self, file: File) -> None:
        self._make_room("record", RECORDS)
        # A file with bad chunks is stored without them, but not known as done.
        content_hash = file.content_hash if file.failed is None else None
        plan = self._calls.replace_document(
            file.source,
            content_hash,
            file.stored(),
            self._collection,
            self._begun(),
            file.moved_from,
        )
        self._submit(
            "record",
            plan,
            lambda done: self._recorded(file, done),
            lambda error: self._account.failed(file.source, error),
        )

    def _recorded(self, file: File, done: Replaced) -> None:
        if not done.moved:
            file.moved_from = None
        if file.failed is not None:
            self._account.failed(file.source, file.failed)
        elif done.taken:
            self._account.recorded(file)
        else:
            self._account.overtaken(file)

    def _tend(self) -> None:
        """While a file is parsed or cut: take answers, and end if it is to end."""
        self._check()
        self._drain()
        self._send_late()
        self._tell()

    def _tell(self) -> None:
        self._account.tell(
            time.monotonic(),
            sum(pack.done for pack in self._packs),
            sum(pack.bytes_done for pack in self._packs),
            max(0, self._connection.reconnects - self._reconnects),
        )
