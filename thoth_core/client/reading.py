"""Files to documents, for a client: parsers that may hang or crash never run in its process.

A format that is ``apart`` is read by a reader process, which is started when it is first needed and
reads one file after the other. What it dies of costs one file.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from thoth_core.client.reader_child import ReaderChild, ReaderDied, ReadLimits
from thoth_core.documents.base import (
    Content,
    Document,
    FileBytes,
    document_of,
    file_error,
    read_content,
)
from thoth_core.errors import InvalidInput, StorageError, ThothError

if TYPE_CHECKING:
    from thoth_core.settings import Settings

#: A reader that has read so many files, or held this share of its memory, is replaced by a new one:
#: what parsers leave behind would be taken for the next file's.
_FILES, _SHARE = 500, 0.5


class Reading:
    """What reads the files of one run. ``tick`` is called a few times a second while a file is
    parsed, and may raise. Used, and closed, by the thread that made it."""

    def __init__(self, settings: Settings, tick: Callable[[], None] = lambda: None) -> None:
        self._limits = ReadLimits(
            settings.read_timeout, settings.read_memory_mb << 20, settings.faults
        )
        self._tick = tick
        self._child: ReaderChild | None = None

    def __enter__(self) -> Reading:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def document(self, file: FileBytes) -> Document:
        """The text of ``file``. :class:`InvalidInput` for one that cannot be read as it is, or not
        within ``THOTH_READ_TIMEOUT`` and ``THOTH_READ_MEMORY_MB``; :class:`StorageError` if no
        process can be started for it."""
        if not file.format.apart:
            return document_of(file, read_content(file))
        return document_of(file, self._apart(file))

    def close(self) -> None:
        """End what it has started. It begins anew when it is used again."""
        child, self._child = self._child, None
        if child is not None:
            child.close()

    def _apart(self, file: FileBytes) -> Content:
        while True:
            # One that read other files before may die of what they left in it.
            fresh = self._child is None
            try:
                child = self._started(file)
                result = child.ask(file.format.name, file.data, self._tick).result
            except ReaderDied as problem:
                self.close()
                if problem.late or fresh:
                    raise self._death(file, problem) from problem
                continue
            except BaseException:
                self.close()
                raise
            if isinstance(result, Content):
                if child.read >= _FILES or child.resident >= _SHARE * self._limits.memory_bytes:
                    self.close()
                return result
            if not result.memory:
                raise file_error(InvalidInput, file.source, result.reason, result.fix)
            self.close()
            if fresh:
                raise self._memory(file)

    def _started(self, file: FileBytes) -> ReaderChild:
        if self._child is None:
            try:
                self._child = ReaderChild(self._limits)
            except OSError as problem:
                raise file_error(
                    StorageError,
                    file.source,
                    f"no process could be started for it: {problem.strerror or problem}",
                ) from problem
        return self._child

    def _death(self, file: FileBytes, problem: ReaderDied) -> ThothError:
        longer = f"{10 * self._limits.seconds:g}"
        fix = (
            f"give it longer if it is worth it: THOTH_READ_TIMEOUT={longer}" if problem.late else ""
        )
        return file_error(InvalidInput, file.source, f"its parser failed: {problem}", fix)

    def _memory(self, file: FileBytes) -> ThothError:
        most = self._limits.memory_bytes >> 20
        return file_error(
            InvalidInput,
            file.source,
            f"its parser takes more than {most} MB",
            f"give it more if it is worth it: THOTH_READ_MEMORY_MB={4 * most}",
        )
