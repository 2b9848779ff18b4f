"""What ``thoth ingest`` says of files, in words and as events."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from cli.harmless import name
from cli.output import Output, Progress

if TYPE_CHECKING:
    from thoth_core import DryRunReport, FileOutcome, IngestProgress, IngestReport

#: Seconds between two progress events.
EVENT_EVERY = 0.5
#: Files that are named for one and the same note; --json names them all.
_NAMED = 3
#: Endings of files that no reader knows that are named; --json names them all.
_ENDINGS = 5


class Telling:
    """Says how an ingest goes on: with ``events`` one JSON line for each file and some for the
    progress, else a bar."""

    def __init__(self, output: Output, *, events: bool) -> None:
        self._output = output
        self._events = events
        self._bar = Progress(output, "files")
        self._last = 0.0
        self._untold: IngestProgress | None = None

    def progress(self, at: IngestProgress) -> None:
        if not self._events:
            share = at.bytes_done / at.bytes if at.bytes else None
            self._bar.update(at.files_done, at.files, detail(at), share)
        elif time.monotonic() - self._last >= EVENT_EVERY:
            self._tell(at)
        else:
            self._untold = at

    def file(self, outcome: FileOutcome) -> None:
        if self._events:
            self._output.event(outcome.to_dict())

    def end(self) -> None:
        """The bar goes, and the last progress is told."""
        self._bar.end()
        if self._untold is not None:
            self._tell(self._untold)

    def _tell(self, at: IngestProgress) -> None:
        self._last, self._untold = time.monotonic(), None
        self._output.event(
            {
                "event": "progress",
                "files_done": at.files_done,
                "files": at.files,
                "chunks_done": at.chunks_done,
                "chunks": at.chunks,
                "bytes_done": at.bytes_done,
                "bytes": at.bytes,
                "chunks_per_second": at.chunks_per_second,
                "seconds_left": at.seconds_left and round(at.seconds_left, 1),
                "reconnects": at.reconnects,
                "source": at.source,
            }
        )


def detail(at: IngestProgress) -> str:
    """``"1,200 chunks, 140/s, 3 min left, 1 reconnect"``."""
    parts = [f"{at.chunks_done:,} chunks"]
    if at.chunks_per_second:
        parts.append(f"{at.chunks_per_second:,.0f}/s")
    if at.seconds_left is not None and at.files_done < at.files:
        parts.append(f"{duration(at.seconds_left)} left")
    if at.reconnects:
        parts.append(f"{at.reconnects} reconnect" + "s" * (at.reconnects > 1))
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """``"40 s"``, ``"3 min"``, ``"2 h 5 min"``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def said(each: FileOutcome) -> str:
    """``"changed: notes/a.md"``, in one line."""
    if each.outcome == "moved":
        return f"moved: {name(each.moved_from)} is now {name(each.source)}"
    more = f": {each.reason or each.note}" if each.reason or each.note else ""
    return f"{each.outcome}: {name(each.source)}{more}"


def say_files(output: Output, report: IngestReport | DryRunReport) -> None:
    """What is odd, and what is wrong, on standard error."""
    from thoth_core.client.ingest_results import reason_of

    for note in dict.fromkeys(note for _, note in report.notes):
        sources = [name(source) for source, each in report.notes if each == note]
        for source in sources[:_NAMED]:
            output.note(f"note: {source}: {note}")
        if len(sources) > _NAMED:
            more = len(sources) - _NAMED
            output.note(f"note: {more:,} more files of which the same is true: {note}")
    for old, new in report.moves:
        output.note(f"moved: {name(old)} is now {name(new)}")
    for source in report.removals:
        output.note(f"removed: {name(source)}")
    for source, error in report.failed:
        way_out = f" ({name(error.fix)})" if error.fix else ""
        output.warn(f"failed: {name(source)}: {reason_of(error)}{way_out}")


def counts(report: IngestReport | DryRunReport) -> str:
    """``"3 new, 1 changed, 12 unchanged, 1 failed"``, with moved and removed ones if there are."""
    parts = [
        f"{report.new:,} new",
        f"{report.changed:,} changed",
        f"{report.unchanged:,} unchanged",
        *([f"{report.moved:,} moved"] if report.moved else []),
        *([f"{report.removed:,} removed"] if report.removed else []),
        f"{len(report.failed):,} failed",
    ]
    return ", ".join(parts)


def chunks(report: IngestReport) -> str:
    """``"10 (3 embedded, 2 reused, 5 unchanged; 2 of them in windows, …)"``."""
    same = max(0, report.chunks - report.embedded - report.reused)
    parts = [
        f"{report.embedded:,} embedded",
        *([f"{report.reused:,} reused"] if report.reused else []),
        *([f"{same:,} unchanged"] if same else []),
    ]
    windows = f"; {report.windowed:,} in windows, each being longer than the model reads at once"
    return f"{report.chunks:,} ({', '.join(parts)}{windows if report.windowed else ''})"


def gone(count: int) -> str:
    """``"2 stored files are gone"``."""
    return f"{count:,} stored file{'s are' if count > 1 else ' is'} gone"


def skipped(report: IngestReport | DryRunReport) -> str:
    """``"2 hidden, 5 unsupported (4 .xlsx, 1 .svg)"``; empty if nothing was."""
    return ", ".join(
        f"{n:,} {why}" + (_endings(report.endings) if why == "unsupported" else "")
        for why, n in sorted(report.skipped.items())
    )


def _endings(counted: Mapping[str, int]) -> str:
    """Those that most files have."""
    if not counted:
        return ""
    most = sorted(counted.items(), key=lambda each: (-each[1], each[0]))
    parts = [
        f"{n:,} {name(ending) if ending else 'without an ending'}" for ending, n in most[:_ENDINGS]
    ]
    return f" ({', '.join(parts)}{', …' if len(most) > _ENDINGS else ''})"
