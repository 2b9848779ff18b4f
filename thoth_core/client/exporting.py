"""Collections into a file that others can read, as they were at one moment."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable
from concurrent.futures import CancelledError
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import Any

import orjson

from thoth_core import __version__, interruptible, validation
from thoth_core.client import transfer
from thoth_core.client.archive_format import (
    IMPORT_PREFIX,
    CollectionEntry,
    FileEntry,
    Manifest,
    file_names,
)
from thoth_core.client.archive_write import ArchiveWriter
from thoth_core.client.arguments import listed
from thoth_core.client.results import ExportReport
from thoth_core.client.transfer import Transfer
from thoth_core.errors import (
    InvalidInput,
    ProtocolError,
    ServiceUnavailable,
    SnapshotLost,
    ThothError,
)
from thoth_core.ids import new_request_id
from thoth_core.vectors import from_buffer
from thoth_core.wire import Message

log = logging.getLogger("thoth.client")

#: How often an export begins anew when the store loses the state that it reads.
ANEW = 3
#: Seconds for the store to be told that an export is over. It would find out by itself.
PARTING = 5.0

_LINE = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE


class Export(Transfer):
    """One export; used once."""

    def run(
        self,
        path: str | PathLike[str],
        collections: Iterable[str] | None,
        deadline: float | None,
    ) -> ExportReport:
        """Write ``collections``, or all, to ``path``. If the store dies meanwhile, what was written
        is thrown away and a later state is read: never the parts of two."""
        self._begin(deadline)
        names = None if collections is None else _names(collections)
        for again in range(ANEW + 1):
            try:
                return self._once(Path(path), names, again)
            except SnapshotLost as problem:
                if again == ANEW:
                    raise
                log.warning(
                    "the export begins anew (%d of %d): %s", again + 1, ANEW, problem.message
                )
            finally:
                self._drop_all()
        raise AssertionError("not reached")

    def _once(self, path: Path, names: list[str] | None, again: int) -> ExportReport:
        snapshot = new_request_id()
        with ArchiveWriter(path) as archive:
            try:
                found = self._ask(transfer.snapshot_open(snapshot, names))
                if names is None:
                    # What an import left half done is no collection.
                    found = [c for c in found if not str(c["name"]).startswith(IMPORT_PREFIX)]
                total = sum(int(each["chunks"]) for each in found)
                entries: list[CollectionEntry] = []
                for position, each in enumerate(found):
                    done = sum(entry.chunks for entry in entries)
                    entries.append(self._collection(archive, snapshot, position, each, done, total))
            except (ServiceUnavailable, SnapshotLost):
                raise
            except BaseException:
                self._let_go(snapshot)
                raise
            self._let_go(snapshot)
            created = datetime.now(UTC).isoformat(timespec="seconds")
            size = archive.finish(Manifest(__version__, created, entries))
        return ExportReport(
            path=str(path),
            bytes=size,
            collections=[
                {"name": each.name, "chunks": each.chunks, "documents": each.documents}
                for each in entries
            ],
            begun_anew=again,
        )

    def _collection(
        self,
        archive: ArchiveWriter,
        snapshot: str,
        position: int,
        found: dict[str, Any],
        done: int,
        total: int,
    ) -> CollectionEntry:
        chunks_name, documents_name = file_names(position)
        name, chunks, documents = str(found["name"]), int(found["chunks"]), int(found["documents"])
        chunks_file = self._chunks(archive, chunks_name, snapshot, name, chunks, done, total)
        documents_file = self._documents(archive, documents_name, snapshot, name, documents)
        return CollectionEntry(
            name=name,
            model=found.get("model"),
            dimension=found.get("dimension"),
            space=str(found["space"]),
            chunks=chunks,
            documents=documents,
            chunks_file=chunks_file,
            documents_file=documents_file,
        )

    def _chunks(
        self,
        archive: ArchiveWriter,
        name: str,
        snapshot: str,
        collection: str,
        count: int,
        done: int,
        total: int,
    ) -> FileEntry:
        with archive.entry(name) as entry:
            written = 0
            page = self._submit(transfer.snapshot_page(snapshot, collection, 0)) if count else None
            while page is not None:
                answer = self._value(page)
                ids = answer.body.get("ids") or []
                written += len(ids)
                if not ids or written > count:
                    raise ProtocolError(f"the store sent {written} of {count} chunks")
                # The next page is read while this one is packed.
                after = int(answer.body["after"])
                more = written < count
                following = transfer.snapshot_page(snapshot, collection, after)
                page = self._submit(following) if more else None
                entry.write(_lines(answer))
                self._tell(done + written, total)
        return entry.written()

    def _documents(
        self, archive: ArchiveWriter, name: str, snapshot: str, collection: str, count: int
    ) -> FileEntry:
        with archive.entry(name) as entry:
            written, after = 0, ""
            while written < count:
                page = self._ask(transfer.snapshot_documents(snapshot, collection, after))
                written += len(page)
                if not page or written > count:
                    raise ProtocolError(f"the store sent {written} of {count} documents")
                after = str(page[-1][0])
                lines = [
                    orjson.dumps(
                        {"source": source, "content_hash": digest, "chunks": n}, option=_LINE
                    )
                    for source, digest, n in page
                ]
                entry.write(b"".join(lines))
        return entry.written()

    def _let_go(self, snapshot: str) -> None:
        with contextlib.suppress(ThothError, CancelledError):
            interruptible.result(
                self._connection.submit(transfer.snapshot_close(snapshot), PARTING)
            )


def _lines(page: Message) -> bytes:
    """Chunks as JSON lines. orjson writes each float32 with the fewest digits that are only this
    one, so reading it as a double and rounding gives the same bits."""
    body, vectors = page.body, from_buffer(page.buffers[0])
    columns = (body["ids"], body["texts"], body["metadatas"], body["computed"])
    return b"".join(
        orjson.dumps(
            {
                "id": id,
                "text": text,
                "metadata": None if metadata is None else orjson.Fragment(metadata),
                "computed": computed,
                "vector": vector,
            },
            option=_LINE,
        )
        for id, text, metadata, computed, vector in zip(*columns, vectors, strict=True)
    )


def _names(collections: Iterable[str]) -> list[str]:
    names = listed("collections", collections)
    for name in names:
        validation.check_collection_name(name)
    if not names:
        raise InvalidInput("no collection is named", fix="leave it out to export all of them")
    return list(dict.fromkeys(names))
