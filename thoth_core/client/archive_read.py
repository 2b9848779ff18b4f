"""Reading an export that may be damaged, or made by somebody who means harm.

Nothing is unpacked to a disk. Only the files that the manifest names are read, in pieces, and never
further than the manifest says that they are long.
"""

from __future__ import annotations

import contextlib
import hashlib
import shlex
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from thoth_core.client.archive_format import (
    MANIFEST,
    MAX_MANIFEST_BYTES,
    FileEntry,
    Manifest,
    from_json,
)
from thoth_core.errors import ExportDamaged, StorageError

_BLOCK = 1024 * 1024
#: A row has to fit in one message.
MAX_LINE = 64 * 1024 * 1024

#: What zipfile raises for a file that is none, or is damaged, encrypted, or packed in another way.
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    KeyError,
)


class Archive:
    """An open export. A context manager. :class:`ExportDamaged`, :class:`StorageError`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        #: Files in it that are being read. One that is left open would keep the whole open.
        self._being_read: set[IO[bytes]] = set()
        with _translated(path, str(path)):
            self._zip = zipfile.ZipFile(path)
        try:
            self.manifest = self._manifest()
        except BaseException:
            self._zip.close()
            raise

    def verify(
        self,
        entry: FileEntry,
        lines: int,
        between: Callable[[], object],
        each: Callable[[int, bytes], object] | None = None,
    ) -> None:
        """Read ``entry`` once and compare its hash, its length and the number of its lines with
        the manifest. ``between`` is called after each piece and may raise; ``each`` is given each
        line with its number, from 1, and may raise :class:`ExportDamaged`, which is raised here if
        the file is as the manifest says: otherwise that is to be told."""
        digest, length, found = hashlib.sha256(), 0, 0
        wrong: ExportDamaged | None = None

        def passing() -> Iterator[bytes]:
            nonlocal length, found
            for block in self._blocks(entry):
                digest.update(block)
                length += len(block)
                found += block.count(b"\n")
                between()
                yield block

        for number, line in enumerate(self._split(entry, passing()), 1):
            if each is not None and wrong is None:
                try:
                    each(number, line)
                except ExportDamaged as problem:
                    wrong = problem
        for what, expected, is_ in (
            ("bytes", entry.bytes, length),
            ("sha256", entry.sha256, digest.hexdigest()),
            ("lines", lines, found),
        ):
            if expected != is_:
                raise self._differs(entry.name, what, expected, is_)
        if wrong is not None:
            raise wrong

    def lines(self, entry: FileEntry) -> Iterator[bytes]:
        """The lines of ``entry``, without their ends."""
        yield from self._split(entry, self._blocks(entry))

    def _split(self, entry: FileEntry, blocks: Iterator[bytes]) -> Iterator[bytes]:
        left = b""
        for block in blocks:
            *whole, left = (left + block).split(b"\n")
            yield from whole
            if len(left) > MAX_LINE:
                raise ExportDamaged(
                    f"{entry.name} in {self.path} has a line of over {MAX_LINE:,} bytes",
                    file=entry.name,
                )
        if left:
            yield left

    def close(self) -> None:
        # Whoever read them may be an error's frame, which lives on.
        for source in self._being_read:
            source.close()
        self._zip.close()

    def _manifest(self) -> Manifest:
        try:
            size = self._zip.getinfo(MANIFEST).file_size
        except KeyError as problem:
            raise ExportDamaged(
                f"{self.path} has no {MANIFEST}",
                cause="it is no export of Thoth, or only a part of one",
                file=MANIFEST,
            ) from problem
        if size > MAX_MANIFEST_BYTES:
            raise self._differs(MANIFEST, "bytes", f"at most {MAX_MANIFEST_BYTES}", size)
        with _translated(self.path, MANIFEST), self._zip.open(MANIFEST) as source:
            raw = source.read(MAX_MANIFEST_BYTES + 1)
        return from_json(raw)

    def _blocks(self, entry: FileEntry) -> Iterator[bytes]:
        with _translated(self.path, entry.name):
            source = self._opened(entry)
            self._being_read.add(source)
            length = 0
            while block := source.read(_BLOCK):
                length += len(block)
                if length > entry.bytes:
                    raise self._differs(entry.name, "bytes", entry.bytes, f"over {length}")
                yield block
            source.close()
            self._being_read.discard(source)

    def _opened(self, entry: FileEntry) -> IO[bytes]:
        try:
            info = self._zip.getinfo(entry.name)
        except KeyError as problem:
            raise ExportDamaged(
                f"{entry.name} is missing in {self.path}", file=entry.name, found=None
            ) from problem
        if info.file_size != entry.bytes:
            raise self._differs(entry.name, "bytes", entry.bytes, info.file_size)
        return self._zip.open(info)

    def _differs(self, name: str, what: str, expected: object, found: object) -> ExportDamaged:
        return ExportDamaged(
            f"{name} in {self.path} is not as the manifest says",
            cause=f"{what}: {expected} expected, {found} found",
            fix="export again, or import another copy of the file",
            file=name,
            expected=expected,
            found=found,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


@contextlib.contextmanager
def _translated(path: Path, name: str) -> Iterator[None]:
    try:
        yield
    except _DAMAGED as problem:
        where = f"{name} in {path}" if name != str(path) else name
        raise ExportDamaged(
            f"{where} cannot be read: it is damaged, or no export of Thoth",
            cause=str(problem) or type(problem).__name__,
            fix="export again, or import another copy of the file",
            file=name,
        ) from problem
    except OSError as problem:
        raise StorageError(
            f"the export could not be read: {path}",
            cause=problem.strerror or str(problem),
            fix=f"ls -l {shlex.quote(str(path))}",
            path=str(path),
        ) from problem
