"""Files to documents, for a client: parsers that may hang or crash never run in its process."""

from __future__ import annotations

from types import TracebackType

from thoth_core.documents.base import Document, FileBytes, document_of, read_content


class Reading:
    """What reads the files of one run."""

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
        """The text of ``file``. :class:`InvalidInput` for one that cannot be read as it is."""
        return document_of(file, read_content(file))

    def close(self) -> None:
        """End what it has started. Used no more."""
