"""Files into a collection: read, cut, compare, store, and replace what was there.

Reading and cutting go on while up to four calls are under way. Chunks are stored unseen, in the
stage of this run; when all of a file are on disk they take the place of the old ones in one step.
So whatever ends an ingest, each file is there wholly as it was or wholly as it is, and the next
ingest does what is missing and no more.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from thoth_core.chunking import chunk
from thoth_core.client.arguments import listed
from thoth_core.client.calls import Calls
from thoth_core.client.connection import Connection
from thoth_core.client.greeting import model_of
from thoth_core.client.packs import PACK_TEXTS, File, Item, Pack, file_of, state_hash
from thoth_core.client.reading import Reading
from thoth_core.client.repeats import Repeats
from thoth_core.client.requests import Plan
from thoth_core.client.results import AddReport, IngestProgress, IngestReport
from thoth_core.client.used import put_cost
from thoth_core.documents.base import Document, read_file
from thoth_core.documents.discover import Failed, Found, discover, printable
from thoth_core.encoding import TextEncoding, load_encoding
from thoth_core.errors import (
    AuthenticationFailed,
    Cancelled,
    Conflict,
    DeadlineExceeded,
    InvalidInput,
    QuotaExceeded,
    RequestTooLarge,
    ThothError,
)
from thoth_core.layout import NO_LAYOUT
from thoth_core.plain_values import lone_surrogate, shown
from thoth_core.prices import Cost, cost_of

if TYPE_CHECKING:
    from thoth_core.settings import Settings

#: Calls under way at once: with chunks, and with records of finished files.
ADDS, RECORDS = 4, 16
#: Seconds for what is under way when the account of the provider is found to be of no use.
PAID_SECONDS = 60.0

Done = Callable[[Any], None]
StrPath = str | os.PathLike[str]


class Ingest:
    """One ingest; used once. ``on_progress`` is called in the thread that runs it."""

    def __init__(
        self,
        connection: Connection,
        calls: Calls,
        settings: Settings,
        collection: str | None,
        on_progress: Callable[[IngestProgress], None] | None,
    ) -> None:
        self._connection = connection
        self._calls = calls
        self._settings = settings
        self._collection = calls.collection_name(collection)
        self._on_progress = on_progress
        self._report = IngestReport()
        self._events: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._open: dict[Future[Any], str] = {}
        self._cancelled = threading.Event()
        self._end: float | None = None
        self._pack = Pack()
        self._packs: list[Pack] = []
        self._repeats: Repeats[Item] = Repeats()
        self._total = self._finished = self._read = self._stored = 0
        self._source = ""
        self._stage: int | None = None
        #: What embeds, once it is known from an answer.
        self._model = ""

    def cancel(self) -> None:
        """From any thread: end with :class:`Cancelled` as soon as may be."""
        self._cancelled.set()
        self._events.put(lambda: None)

    def files(self, paths: Iterable[StrPath] | StrPath, deadline: float | None) -> IngestReport:
        """Take files and folders. Raises what concerns no file in particular; its
        ``details["report"]`` says what was done before."""
        given = _checked(paths)
        return self._run(lambda: self._files(given), deadline)

    def text(self, text: str, source: str, deadline: float | None) -> IngestReport:
        """Take a text that is to be known as ``source``."""
        if not isinstance(text, str) or not isinstance(source, str) or not source:
            raise InvalidInput("a text and the name of its source are two strings")
        for what, value in (("text", text), ("source", source)):
            place = lone_surrogate(value)
            if place is not None:
                raise InvalidInput(
                    f"the {what} has a lone surrogate at character {place}",
                    cause="a surrogate without its pair is no character",
                    fix='text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")',
                )
        content_hash = hashlib.sha256(text.encode()).hexdigest()
        document = Document(source, text, content_hash, NO_LAYOUT, title="")
        return self._run(lambda: self._text(document), deadline)

    def _run(self, work: Callable[[], None], deadline: float | None) -> IngestReport:
        self._end = None if deadline is None else time.monotonic() + deadline
        try:
            work()
            self._send_pack()
            while self._open:
                self._wait()
                # Repeated texts that nothing is under way of any more.
                self._send_pack()
            self._tell()
        except BaseException as problem:
            if isinstance(problem, AuthenticationFailed | QuotaExceeded):
                # The other calls end by it too, once what was paid for is stored.
                wait(list(self._open), PAID_SECONDS)
            for future in list(self._open):
                future.cancel()
            self._report.tokens += sum(pack.used.tokens for pack in self._packs)
            put_cost(problem, self._priced())
            if isinstance(problem, ThothError):
                problem.details["report"] = self._report.to_dict()
            raise
        self._priced()
        return self._report

    def _priced(self) -> Cost:
        """The report with the cost of what was used so far."""
        report = self._report
        model = self._model or model_of(self._settings, self._connection.greeting)
        report.cost = cost_of(model, report.tokens, prices=self._settings.prices)
        return report.cost

    # ---- reading

    def _files(self, paths: list[Path]) -> None:
        found: list[Found] = []
        for item in discover(paths):
            self._check()
            if isinstance(item, Found):
                found.append(item)
            elif isinstance(item, Failed):
                self._failed(printable(item.path), item.error)
        self._total = len(found)
        encoding = load_encoding(self._settings.chunk_encoding)
        known = self._known([item.source for item in found])
        with Reading(self._settings, self._tend) as reading:
            self._read_all(found, known, encoding, reading)

    def _read_all(
        self,
        found: list[Found],
        known: dict[str, Any],
        encoding: TextEncoding,
        reading: Reading,
    ) -> None:
        for item in found:
            self._check()
            self._drain()
            self._source = item.source
            try:
                file = read_file(item.path)
                read_by = f"{file.format.name} {file.format.version}"
                state = self._state(file.content_hash, encoding, read_by)
                if _unchanged(known.get(item.source), state):
                    self._unchanged(known[item.source])
                    self._tell()
                    continue
                document = reading.document(file)
            except ThothError as error:
                self._failed(item.source, error)
                self._finished += 1
                continue
            self._take(document, state, item.source in known, encoding)
            self._tell()

    def _text(self, document: Document) -> None:
        self._total, self._source = 1, document.source
        known = self._known([document.source])
        encoding = load_encoding(self._settings.chunk_encoding)
        state = self._state(document.content_hash, encoding)
        if _unchanged(known.get(document.source), state):
            self._unchanged(known[document.source])
            return
        self._take(document, state, document.source in known, encoding)

    def _state(self, content_hash: str, encoding: TextEncoding, *read_by: str) -> str:
        size, overlap = self._settings.chunk_size, self._settings.chunk_overlap
        return state_hash(content_hash, size, overlap, encoding.name, *read_by)

    def _known(self, sources: list[str]) -> dict[str, Any]:
        found: list[dict[str, Any]] = []
        self._submit("documents", self._calls.documents(sources, self._collection), found.append)
        while not found:
            self._wait()
        return found[0]

    def _take(self, document: Document, state: str, known: bool, encoding: TextEncoding) -> None:
        chunks = chunk(
            document.text,
            size=self._settings.chunk_size,
            overlap=self._settings.chunk_overlap,
            tokenizer=encoding,
            layout=document.layout,
        )
        note = document.note or ("" if chunks else "there is no text in it")
        if note:
            self._report.notes.append((document.source, note))
        self._begun()
        file = file_of(self._collection, document.source, state, known, chunks)
        self._read += len(chunks)
        if not chunks:
            self._record(file)
        for id, piece in zip(file.ids, chunks, strict=True):
            item = Item(file, id, piece, document.title)
            if self._repeats.begins(piece.text, item):
                self._put(item)
            elif self._repeats.waiting >= PACK_TEXTS:
                self._let_repeats_go()

    def _put(self, item: Item) -> None:
        self._pack.put(*item)
        if self._pack.full:
            self._send_pack()

    def _let_repeats_go(self) -> None:
        # What they wait for may be in the pack that is being filled, and wait for them to fill it.
        self._send_pack()
        while self._repeats.waiting >= ADDS * PACK_TEXTS:
            self._wait()

    def _unchanged(self, known: dict[str, Any]) -> None:
        self._report.unchanged += 1
        self._finished += 1

    # ---- storing

    def _begun(self) -> int:
        """The stage of this run, which begins with its first file that is to be stored."""
        if self._stage is None:
            begun: list[int] = []
            self._submit("begin", self._calls.begin_ingest(self._collection), begun.append)
            while not begun:
                self._wait()
            self._stage = begun[0]
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
        self._stored += len(pack)
        for item in self._repeats.over(pack.texts):
            self._put(item)
        for file in finished:
            if file.failed is None or file.stored():
                self._record(file)
            else:
                # Nothing came of it: what was there stays, and the next ingest tries it again.
                self._failed(file.source, file.failed)
                self._finished += 1

    def _record(self, file: File) -> None:
        self._make_room("record", RECORDS)
        # A file with bad chunks is stored without them, but not known as done.
        content_hash = file.content_hash if file.failed is None else None
        plan = self._calls.replace_document(
            file.source, content_hash, file.stored(), self._collection, self._begun()
        )

        def recorded(taken: bool) -> None:
            self._recorded(file, taken)

        def refused(error: ThothError) -> None:
            self._finished += 1
            self._failed(file.source, error)

        self._submit("record", plan, recorded, refused)

    def _recorded(self, file: File, taken: bool) -> None:
        self._finished += 1
        if file.failed is not None:
            self._failed(file.source, file.failed)
            return
        if not taken:
            # A run that began later has read and stored it.
            self._report.unchanged += 1
            return
        self._report.chunks += len(file.ids)
        if file.known:
            self._report.changed += 1
        else:
            self._report.new += 1

    def _failed(self, source: str, error: ThothError) -> None:
        self._report.failed.append((source, error))

    # ---- waiting

    def _submit(
        self,
        kind: str,
        plan: Plan[Any],
        done: Done,
        refused: Callable[[ThothError], None] | None = None,
    ) -> None:
        self._check()
        left = None if self._end is None else max(0.001, self._end - time.monotonic())
        future = self._connection.submit(plan, left)
        self._open[future] = kind

        def settle() -> None:
            del self._open[future]
            try:
                value = plan.combine(future.result())
            except (InvalidInput, RequestTooLarge, Conflict) as error:
                # About these texts, or this file; others may do better.
                if refused is None:
                    raise
                refused(error)
            else:
                done(value)

        future.add_done_callback(lambda _: self._events.put(settle))

    def _make_room(self, kind: str, most: int) -> None:
        while sum(1 for k in self._open.values() if k == kind) >= most:
            self._wait()

    def _wait(self) -> None:
        # Every open call ends: the connection sees to deadlines and to a service that is gone.
        self._events.get()()
        self._check()
        self._tell()

    def _tend(self) -> None:
        """While a file is parsed: take answers, and end if it is to end."""
        self._check()
        self._drain()

    def _drain(self) -> None:
        while not self._events.empty():
            self._wait()

    def _check(self) -> None:
        if self._cancelled.is_set():
            raise Cancelled("the ingest was cancelled")
        if self._end is not None and time.monotonic() >= self._end:
            raise DeadlineExceeded("the deadline of the ingest has passed")

    def _tell(self) -> None:
        if self._on_progress is None:
            return
        under_way = sum(pack.done for pack in self._packs)
        self._on_progress(
            IngestProgress(
                files_done=self._finished,
                files=self._total,
                chunks_done=self._stored + under_way,
                chunks=self._read,
                source=self._source,
            )
        )


def _unchanged(known: Any, state: str) -> bool:
    return isinstance(known, dict) and known.get("content_hash") == state


def _checked(paths: Iterable[StrPath] | StrPath) -> list[Path]:
    given = [paths] if isinstance(paths, str | os.PathLike) else listed("paths", paths)
    for path in given:
        # An empty one would be the current folder, which nobody who writes "$UNSET" means.
        if not isinstance(path, str | os.PathLike) or not str(path):
            raise InvalidInput(
                f"a path is {shown(path)}",
                cause="it is the name of a file or a folder",
                fix="the current folder is .",
            )
    return [Path(path) for path in given]
