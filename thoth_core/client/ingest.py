"""Files into a collection: read, cut, compare, store, and replace what was there.

Reading and cutting go on while up to four calls are under way. Chunks are stored unseen, in the
stage of this run; when all of a file are on disk they take the place of the old ones in one step.
So whatever ends an ingest, each file is there wholly as it was or wholly as it is, and the next
ingest does what is missing and no more.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thoth_core import interruptible
from thoth_core.chunking import chunks as cut
from thoth_core.client.arguments import listed
from thoth_core.client.calls import Calls
from thoth_core.client.connection import Connection
from thoth_core.client.greeting import model_of
from thoth_core.client.ingest_leaving import Leaving
from thoth_core.client.ingest_results import FileOutcome, IngestProgress, IngestReport
from thoth_core.client.packs import file_of, state_hash
from thoth_core.client.reading import Reading
from thoth_core.client.used import put_cost
from thoth_core.documents.base import Document, FileBytes, read_file
from thoth_core.documents.decoding import is_binary
from thoth_core.documents.discover import Discovery, Failed, Found, Item, Skipped, Why, is_gone
from thoth_core.encoding import TextEncoding, load_encoding
from thoth_core.errors import AuthenticationFailed, InvalidInput, QuotaExceeded, ThothError
from thoth_core.layout import NO_LAYOUT
from thoth_core.plain_values import lone_surrogate, shown
from thoth_core.prices import Cost, cost_of

if TYPE_CHECKING:
    from thoth_core.settings import Settings

#: Seconds for what is under way when the account of the provider is found to be of no use.
PAID_SECONDS = 60.0
#: Chunks that are cut in one go, which takes a tenth of a second or two.
CUT_AT_ONCE = 256

StrPath = str | os.PathLike[str]


class Ingest(Leaving):
    """One ingest; used once. ``on_progress`` and ``on_file`` are called in the thread that runs
    it."""

    def __init__(
        self,
        connection: Connection,
        calls: Calls,
        settings: Settings,
        collection: str | None,
        on_progress: Callable[[IngestProgress], None] | None,
        on_file: Callable[[FileOutcome], None] | None = None,
        *,
        prune: bool = False,
        ignore: bool = True,
    ) -> None:
        super().__init__(connection, calls, collection, on_progress, on_file)
        self._settings = settings
        self._prune = prune
        self._discovery = Discovery(ignore=ignore, own=[settings.data_dir])

    def files(self, paths: Iterable[StrPath] | StrPath, deadline: float | None) -> IngestReport:
        """Take files and folders. Raises what concerns no file in particular; its
        ``details["report"]`` says what was done before."""
        given = checked_paths(paths)
        return self._run(lambda: self._files(given), deadline)

    def changes(self, changed: Iterable[tuple[str, str]], deadline: float | None) -> IngestReport:
        """Take what became of files and folders below folders that are there: (folder, path) of
        each, absolute. With ``prune`` what is no more goes."""
        pairs = list(changed)
        return self._run(lambda: self._changes(pairs), deadline)

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
            self._finish()
            self._tell()
        except BaseException as problem:
            try:
                if isinstance(problem, AuthenticationFailed | QuotaExceeded):
                    # The other calls end by it too, once what was paid for is stored.
                    interruptible.all_done(list(self._open), PAID_SECONDS)
            finally:
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
        given = [os.path.abspath(path) for path in paths]  # noqa: PTH100
        self._take_all(self._discovery.walk(paths), given)

    def _changes(self, changed: list[tuple[str, str]]) -> None:
        items = (item for root, path in changed for item in self._discovery.within(root, path))
        self._take_all(items, [path for _, path in changed])

    def _take_all(self, items: Iterable[Item], given: list[str]) -> None:
        listed: list[Found | Failed] = []
        for item in items:
            self._check()
            if isinstance(item, Skipped):
                # Only counted: there may be millions.
                self._account.passed_over(item.why.value)
                if item.why is Why.UNSUPPORTED:
                    self._account.unsupported(item.path.suffix)
            else:
                listed.append(item)
        found = self._look(listed, given)
        if found:
            encoding = load_encoding(self._settings.chunk_encoding)
            known = self._known([item.source for item in found])
            with Reading(self._settings, self._tend) as reading:
                self._read_all(found, known, encoding, reading)
        self._finish()
        self._remove_lost()

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
            self._send_late()
            self._account.source = item.source
            file = None
            try:
                file = read_file(item.path)
                read_by = f"{file.format.name} {file.format.version}"
                state = self._state(file.content_hash, encoding, read_by)
                if _unchanged(known.get(item.source), state):
                    self._unchanged(item.source, known[item.source], item.size)
                    self._tell()
                    continue
                document = reading.document(file)
            except ThothError as error:
                self._not_read(item, file, error)
                continue
            self._take(document, state, item.source in known, encoding, item.size)
            self._tell()

    def _not_read(self, item: Found, file: FileBytes | None, error: ThothError) -> None:
        reason = str(error.details.get("reason"))
        if file is not None and not item.named and is_binary(file.data, reason):
            self._passed_over(item, Why.BINARY)
        elif self._prune and is_gone(item.source):
            self._passed_over(item, Why.VANISHED)
        else:
            self._account.failed(item.source, error, item.size)

    def _text(self, document: Document) -> None:
        account = self._account
        account.files, account.bytes = 1, len(document.text)
        account.source = document.source
        known = self._known([document.source])
        encoding = load_encoding(self._settings.chunk_encoding)
        state = self._state(document.content_hash, encoding)
        if _unchanged(known.get(document.source), state):
            self._unchanged(document.source, known[document.source], account.bytes)
            return
        self._take(document, state, document.source in known, encoding, account.bytes)

    def _state(self, content_hash: str, encoding: TextEncoding, *read_by: str) -> str:
        size, overlap = self._settings.chunk_size, self._settings.chunk_overlap
        return state_hash(content_hash, size, overlap, encoding.name, *read_by)

    def _known(self, sources: list[str]) -> dict[str, Any]:
        return self._ask("documents", self._calls.documents(sources, self._collection))

    def _take(
        self, document: Document, state: str, known: bool, encoding: TextEncoding, size: int
    ) -> None:
        chunks = []
        for piece in cut(
            document.text,
            size=self._settings.chunk_size,
            overlap=self._settings.chunk_overlap,
            tokenizer=encoding,
            layout=document.layout,
        ):
            chunks.append(piece)
            if not len(chunks) % CUT_AT_ONCE:
                # A file of many megabytes takes many seconds.
                self._tend()
        file = file_of(self._collection, document.source, state, known, chunks)
        file.bytes = size
        file.moved_from = self._moved_from(document.source, state)
        file.note = document.note or ("" if chunks else "there is no text in it")
        if file.note:
            self._account.note(file.source, file.note)
        self._store(file, chunks, document.title)

    def _unchanged(self, source: str, known: dict[str, Any], size: int) -> None:
        del known
        self._account.unchanged(source, size)


def _unchanged(known: Any, state: str) -> bool:
    return isinstance(known, dict) and known.get("content_hash") == state


def checked_paths(paths: Iterable[StrPath] | StrPath) -> list[Path]:
    """``paths`` as a list; :class:`InvalidInput` for what is none."""
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
