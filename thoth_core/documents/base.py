"""What a document is, and which format reads which file.

A format is one module of this package with a module-level ``FORMAT``: its suffixes and a function
from bytes to text with its layout. Nothing else names it: the package is searched for such modules.
One that reads several kinds of files in as many ways has ``FORMATS`` instead.
A format whose parser is heavy imports it inside that function; one whose parser may hang, crash or
take memory without bound is ``apart``, and is read in a child process (``thoth_core.reader``).
"""

from __future__ import annotations

import errno
import hashlib
import importlib
import os
import pkgutil
import stat
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from thoth_core.errors import InvalidInput, StorageError, ThothError
from thoth_core.layout import NO_LAYOUT, Layout

#: A larger file is refused: it would be held in memory several times over.
MAX_FILE_BYTES = 256 * 1024 * 1024

#: The modules of this package that are no format.
_NOT_FORMATS = frozenset(
    {
        "base",
        "characters",
        "code_patterns",
        "decoding",
        "discover",
        "docx_styles",
        "docx_text",
        "extra",
        "html_text",
        "ignore_files",
        "json_text",
    }
)


@dataclass(frozen=True, slots=True)
class Content:
    """The text of a file, its line ends all ``\\n``, and what is known of its parts. ``title`` may
    be empty; ``note`` is what whoever wrote the file should know of how it was read."""

    text: str
    layout: Layout = NO_LAYOUT
    title: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Format:
    """``suffixes`` are lower case with the dot, ``names`` whole file names in lower case. ``read``
    raises :class:`InvalidInput` with a ``reason`` for bytes that it cannot make text of, and with
    a ``fix`` where there is one. ``begins``: how a file begins that has this format and a name that
    says nothing. ``apart``: it is read in a child process. ``version`` goes up when the same bytes
    give another text or layout, so that files read before are read again."""

    name: str
    suffixes: frozenset[str]
    read: Callable[[bytes], Content]
    names: frozenset[str] = frozenset()
    begins: tuple[bytes, ...] = ()
    apart: bool = False
    version: int = 1


@dataclass(frozen=True, slots=True)
class FileBytes:
    """What a file holds. ``source`` is its absolute path, ``content_hash`` the sha256 of ``data``
    in hex."""

    source: str
    data: bytes
    content_hash: str
    format: Format


@dataclass(frozen=True, slots=True)
class Document:
    """One file as text. ``source`` is its absolute path, ``content_hash`` the sha256 of its bytes
    in hex. Places in chunks are places in ``text``."""

    source: str
    text: str
    content_hash: str
    layout: Layout
    title: str
    note: str = ""


@cache
def formats() -> dict[str, Format]:
    """Every format by its suffixes and by the whole names of its files."""
    from thoth_core import documents

    found: dict[str, Format] = {}
    for module in sorted(m.name for m in pkgutil.iter_modules(documents.__path__)):
        if module in _NOT_FORMATS:
            continue
        content = importlib.import_module(f"{documents.__name__}.{module}")
        several: tuple[Format, ...] = getattr(content, "FORMATS", ()) or (content.FORMAT,)
        for form in several:
            # A name without its dot is in here too: no suffix is without one.
            for key in form.suffixes | form.names:
                if key in found:
                    raise AssertionError(f"{key} belongs to {found[key].name} and {form.name}")
                found[key] = form
    return found


def _named(path: Path) -> Format | None:
    """The format that the name of a file says: the whole name goes before its suffix."""
    name = path.name.lower()
    return formats().get(name) or formats().get(path.suffix.lower())


def is_supported(path: Path) -> bool:
    """Whether the name of ``path`` is one that a format reads."""
    return _named(path) is not None


def format_of(path: Path, data: bytes) -> Format:
    """The format of a file by its name, else by how it begins, else plain text."""
    named = _named(path)
    if named is not None:
        return named
    shown = (form for form in formats().values() if data.startswith(form.begins or ()))
    return next(shown, formats()[".txt"])


def read_file(path: Path | str) -> FileBytes:
    """The bytes of the file ``path`` and their format.

    Raises :class:`InvalidInput` for a file that is missing, no regular file or over
    :data:`MAX_FILE_BYTES`, and :class:`StorageError` for one that cannot be read. Both have
    ``details["source"]`` and ``details["reason"]``.
    """
    path = Path(path)
    source = source_of(path)
    data = _read_bytes(path, source)
    return FileBytes(source, data, hashlib.sha256(data).hexdigest(), format_of(path, data))


def read_content(file: FileBytes) -> Content:
    """The text of a file, read here and now. :class:`InvalidInput` as in :func:`read_document`."""
    try:
        return file.format.read(file.data)
    except InvalidInput as problem:
        reason = str(problem.details.get("reason", problem.message))
        raise file_error(InvalidInput, file.source, reason, problem.fix) from problem


def document_of(file: FileBytes, content: Content) -> Document:
    return Document(
        source=file.source,
        text=content.text,
        content_hash=file.content_hash,
        layout=content.layout,
        title=content.title,
        note=content.note,
    )


def read_document(path: Path | str) -> Document:
    """The document in the file ``path``, parsed in this process whatever its format.

    Raises what :func:`read_file` raises, and :class:`InvalidInput` for one that is binary,
    encrypted or damaged.
    """
    file = read_file(path)
    return document_of(file, read_content(file))


def source_of(path: Path) -> str:
    """The name of a file as a source: absolute, links not followed, the same from any folder.

    Raises :class:`InvalidInput` for a name that is no UTF-8: no message and no index can hold it.
    """
    source = os.path.abspath(path)  # noqa: PTH100 - Path.absolute leaves ".." in
    try:
        source.encode()
    except UnicodeEncodeError as problem:
        shown = source.encode("utf-8", "backslashreplace").decode()
        raise file_error(InvalidInput, shown, "its name is not valid UTF-8") from problem
    return source


def file_error(cls: type[ThothError], source: str, reason: str, fix: str = "") -> ThothError:
    """The error for a file that cannot be taken."""
    return cls(f"{source} was not read", cause=reason, fix=fix, source=source, reason=reason)


def _read_bytes(path: Path, source: str) -> bytes:
    try:
        # Not blocking: opening a pipe would otherwise wait for somebody to write into it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as problem:
        raise open_error(problem, source) from problem
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise file_error(InvalidInput, source, "it is a folder")
        if not stat.S_ISREG(mode):
            raise file_error(InvalidInput, source, "it is no regular file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            # One byte more than allowed: it may grow, or its size not be known beforehand.
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as problem:
        raise open_error(problem, source) from problem
    finally:
        os.close(descriptor)
    if len(data) > MAX_FILE_BYTES:
        raise file_error(
            InvalidInput,
            source,
            f"it is larger than {MAX_FILE_BYTES // 2**20} MB",
            fix="split it into smaller files",
        )
    return data


def open_error(problem: OSError, source: str) -> ThothError:
    """The error for a file or folder that the system refuses to open or read."""
    reason = (problem.strerror or type(problem).__name__).lower()
    if problem.errno in (errno.ENOENT, errno.ENOTDIR):
        return file_error(InvalidInput, source, "there is no such file", fix="check the path")
    if problem.errno in (errno.ENXIO, errno.ENODEV):
        return file_error(InvalidInput, source, "it is no regular file")
    if problem.errno in (errno.EACCES, errno.EPERM):
        return file_error(StorageError, source, reason, fix=f"chmod u+r {source!r}")
    return file_error(StorageError, source, reason)
