"""What became of each file of an ingest, and how far it all is. Pure: instants are passed in."""

from __future__ import annotations

from collections.abc import Callable

from thoth_core.client.ingest_results import (
    FileOutcome,
    IngestProgress,
    IngestReport,
    reason_of,
)
from thoth_core.client.packs import File
from thoth_core.client.remaining import Rate
from thoth_core.errors import ThothError

#: What is longer is no ending that anybody would know, and of so many different ones the rest is
#: counted together, as ``OTHER``.
_LONGEST, _ENDINGS = 16, 200
OTHER = "other"


class Account:
    """Each file is put down once, by one of the methods that tell an outcome. ``files`` and
    ``bytes`` are what there is to do, ``read`` and ``stored`` count chunks."""

    def __init__(
        self,
        on_progress: Callable[[IngestProgress], None] | None,
        on_file: Callable[[FileOutcome], None] | None,
    ) -> None:
        self.report = IngestReport()
        self.files = self.bytes = self.read = self.stored = 0
        self.source = ""
        self._on_progress = on_progress
        self._on_file = on_file
        self._finished = 0
        self._bytes = 0.0
        self._byte_rate, self._chunk_rate = Rate(), Rate()

    # ---- outcomes

    def unchanged(self, source: str, size: int) -> None:
        """Nothing was to be done for a file of so many bytes."""
        self.report.unchanged += 1
        self._over(FileOutcome(source, "unchanged"), size)

    def recorded(self, file: File) -> None:
        """All of the file is stored, and in the place of what was there."""
        report, outcome = self.report, "changed" if file.known else "new"
        report.chunks += len(file.ids)
        if file.moved_from is not None:
            outcome = "moved"
            report.moved += 1
            report.moves.append((file.moved_from, file.source))
        elif file.known:
            report.changed += 1
        else:
            report.new += 1
        self._over(
            FileOutcome(file.source, outcome, len(file.ids), file.moved_from or "", note=file.note),
            0 if file.ids else file.bytes,
        )

    def overtaken(self, file: File) -> None:
        """A run that began later has read and stored it."""
        self.report.unchanged += 1
        self._over(FileOutcome(file.source, "unchanged"), 0 if file.ids else file.bytes)

    def failed(self, source: str, error: ThothError, size: int = 0) -> None:
        """It was not taken, or not in whole; ``size`` of it are not counted as done yet."""
        self.report.failed.append((source, error))
        self._over(FileOutcome(source, "failed", reason=reason_of(error)), size)

    def removed(self, source: str) -> None:
        """The document is no more. It is none of the files that there are to do."""
        self.report.removed += 1
        self.report.removals.append(source)
        if self._on_file is not None:
            self._on_file(FileOutcome(source, "removed"))

    def passed_over(self, why: str, size: int | None = None) -> None:
        """A file or folder that is left alone; ``size`` of one that was to be read."""
        _count(self.report.skipped, why)
        if size is not None:
            self._finished += 1
            self._bytes += size

    def unsupported(self, suffix: str) -> None:
        """A file that is passed over, whose name ends so."""
        endings = self.report.endings
        # A name may be no UTF-8.
        ending = suffix.lower().encode("utf-8", "backslashreplace").decode()
        if len(ending) > _LONGEST or (ending not in endings and len(endings) >= _ENDINGS):
            ending = OTHER
        _count(endings, ending)

    def note(self, source: str, note: str) -> None:
        self.report.notes.append((source, note))

    def stored_of_files(self, chunks: int, bytes: float) -> None:
        """So many chunks, which make up so many bytes of their files, are done."""
        self.stored += chunks
        self._bytes += bytes

    def _over(self, outcome: FileOutcome, size: int) -> None:
        self._finished += 1
        self._bytes += size
        if self._on_file is not None:
            self._on_file(outcome)

    # ---- progress

    def tell(self, now: float, chunks: int, bytes: float, reconnects: int) -> None:
        """Say how far it is; ``chunks`` and ``bytes`` are done of what is under way."""
        if self._on_progress is None:
            return
        done, chunks = self._bytes + bytes, self.stored + chunks
        if self._finished >= self.files:
            # A file may have grown, or shrunk, since its size was seen.
            done = self.bytes
        self._byte_rate.note(done, now)
        self._chunk_rate.note(chunks, now)
        self._on_progress(
            IngestProgress(
                files_done=self._finished,
                files=self.files,
                chunks_done=chunks,
                chunks=self.read,
                source=self.source,
                bytes_done=min(round(done), self.bytes),
                bytes=self.bytes,
                chunks_per_second=round(self._chunk_rate.per_second, 1),
                seconds_left=self._byte_rate.seconds_left(self.bytes),
                reconnects=reconnects,
            )
        )


def _count(counted: dict[str, int], what: str) -> None:
    counted[what] = counted.get(what, 0) + 1
