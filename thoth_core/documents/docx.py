"""Word documents: paragraphs, headings by their styles, the rows of tables, lists and footnotes.

The parts of the ZIP archive are unpacked and parsed a piece at a time, and what comes out of them
is counted: how large the archive says that they are decides nothing. Text that was deleted while
changes were tracked is left out, as are running heads, comments and macros.
"""

from __future__ import annotations

import io
import posixpath
import struct
import zipfile
import zlib
from collections.abc import Callable
from xml.parsers import expat

from thoth_core.documents.base import Content, Format
from thoth_core.documents.docx_styles import Styles
from thoth_core.documents.docx_text import DocxText
from thoth_core.documents.markdown import first_highest
from thoth_core.errors import InvalidInput
from thoth_core.layout import Layout

#: Bytes that the parts of a document may unpack to, all together.
_UNPACKED = 256 * 1024 * 1024
_PIECE = 64 * 1024
#: How a file begins that Word has encrypted, and what stands in it then.
_OLE, _ENCRYPTED = b"\xd0\xcf\x11\xe0", "EncryptedPackage".encode("utf-16-le")
#: What zipfile and expat raise for archives whose bytes were changed.
_DAMAGES = (
    *(zipfile.BadZipFile, expat.ExpatError, zlib.error, struct.error),
    *(EOFError, NotImplementedError, ValueError, OverflowError, OSError),
)
#: The main part, where no relationship names another.
_DOCUMENT = "word/document.xml"
#: The ends of the types of relationships that are followed; what is before differs by standard.
_KINDS = frozenset({"officeDocument", "core-properties", "styles", "footnotes", "endnotes"})
_NO_WORD = "it is a ZIP archive, and no Word document"

#: The name of an element without its namespace, and its attributes.
Start = Callable[[str, dict[str, str]], None]
End = Callable[[str], None]
Words = Callable[[str], None]


def read(data: bytes) -> Content:
    if not data:
        return Content("", Layout(lines=()))
    if data.startswith(_OLE):
        if _ENCRYPTED in data:
            raise _refused("it is encrypted", "save a copy without a password")
        raise _refused("it is an old Word document", "save it as .docx")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _read(_Parts(archive))
    except _DAMAGES as problem:
        raise _refused("it is damaged, or no Word document", "get it again") from problem


def _read(parts: _Parts) -> Content:
    of_all = _Targets(parts, "")
    main = of_all.get("officeDocument", _DOCUMENT)
    if not parts.has(main):
        raise _refused(_NO_WORD)
    of_main = _Targets(parts, main)
    folder = posixpath.dirname(main)
    styles = Styles()
    parts.parse(
        of_main.get("styles", posixpath.join(folder, "styles.xml")), styles.start, styles.end
    )
    styles.done()
    notes = DocxText(styles)
    for kind in ("footnotes", "endnotes"):
        name = of_main.get(kind, posixpath.join(folder, f"{kind}.xml"))
        parts.parse(name, notes.start, notes.end, notes.words)
    text = DocxText(styles)
    root = ""

    def start(tag: str, given: dict[str, str]) -> None:
        nonlocal root
        root = root or tag
        # A table or slides are found in the same way.
        if root != "document":
            raise _refused(_NO_WORD)
        text.start(tag, given)

    parts.parse(main, start, text.end, text.words)
    text.add_notes(notes)
    title = _Title()
    core = of_all.get("core-properties", "docProps/core.xml")
    parts.parse(core, title.start, title.end, title.words)
    name = " ".join("".join(title.found).split()) or text.title or first_highest(text.headings)
    layout = Layout(headings=tuple(text.headings), rows=tuple(text.rows), lines=())
    return Content(text.text, layout, title=name)


class _Targets:
    """What the relationships of the part ``name``, or of the whole archive, lead to."""

    def __init__(self, parts: _Parts, name: str) -> None:
        self._parts = parts
        self._folder, _, last = name.rpartition("/")
        self._found: dict[str, str] = {}
        parts.parse(posixpath.join(self._folder, "_rels", f"{last}.rels"), self._start, _nothing)

    def get(self, kind: str, usual: str) -> str:
        """The name of the part of this kind, or ``usual`` where none is named that is there."""
        return self._found.get(kind, usual)

    def _start(self, tag: str, given: dict[str, str]) -> None:
        kind = given.get("Type", "").rpartition("/")[2]
        if tag != "Relationship" or kind not in _KINDS or given.get("TargetMode") == "External":
            return
        # No more than a name to look for among those of the archive.
        path = posixpath.join("/", self._folder, given.get("Target", ""))
        part = posixpath.normpath(path).lstrip("/")
        if self._parts.has(part):
            self._found.setdefault(kind, part)


class _Parts:
    """The parts of a document, parsed one by one."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._names = set(archive.namelist())
        self._left = _UNPACKED

    def has(self, name: str) -> bool:
        return name in self._names

    def parse(self, name: str, start: Start, end: End, words: Words | None = None) -> None:
        """Parse the part ``name``, if there is one."""
        if name not in self._names:
            return
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = _no_doctype
        parser.StartElementHandler = lambda tag, given: start(
            _local(tag), {_local(key): value for key, value in given.items()}
        )
        parser.EndElementHandler = lambda tag: end(_local(tag))
        if words is not None:
            parser.CharacterDataHandler = words
        try:
            with self._archive.open(name) as part:
                while piece := part.read(_PIECE):
                    self._left -= len(piece)
                    if self._left < 0:
                        size = _UNPACKED // 2**20
                        raise _refused(f"it unpacks to more than {size} MB, as a zip bomb does")
                    parser.Parse(piece, False)
            parser.Parse(b"", True)
        except _DAMAGES as problem:
            raise _refused(f"it is damaged: {name}: {problem}", "get it again") from problem
        except RuntimeError as problem:
            # What zipfile raises for a part with a password.
            raise _refused("it is encrypted", "save a copy without a password") from problem


def _nothing(tag: str) -> None:
    del tag


def _no_doctype(*_: object) -> None:
    raise _refused("it has definitions of its own in its XML, which no Word document has")


def _local(name: str) -> str:
    return name.rpartition(":")[2]


class _Title:
    """The title in the properties of a document."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self._inside = False

    def start(self, tag: str, given: dict[str, str]) -> None:
        del given
        self._inside = tag == "title"

    def end(self, tag: str) -> None:
        del tag
        self._inside = False

    def words(self, words: str) -> None:
        if self._inside:
            self.found.append(words)


def _refused(reason: str, fix: str = "") -> InvalidInput:
    return InvalidInput("the document cannot be read", reason=reason, fix=fix)


FORMAT = Format("docx", frozenset({".docx", ".docm", ".dotx"}), read, apart=True)
