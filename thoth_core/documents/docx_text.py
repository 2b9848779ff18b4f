"""Writes down the text of a Word document as its elements come. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from thoth_core.documents.characters import whole
from thoth_core.documents.docx_styles import Styles, outline_level
from thoth_core.headings import Heading

#: Elements whose text is no text of the document: deleted or moved away, or there a second time for
#: programs that do not know the first form.
_LEFT_OUT = frozenset({"del", "moveFrom", "Fallback", "instrText", "delText"})
_CHARACTERS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-", "ptab": "\t"}


@dataclass(slots=True)
class _Paragraph:
    words: list[str] = field(default_factory=list)
    style: str = ""
    level: int = 0
    listed: bool = False


class DocxText:
    """What was written so far."""

    def __init__(self, styles: Styles) -> None:
        self.headings: list[Heading] = []
        self.rows: list[tuple[int, int]] = []
        self.title = ""
        #: Of notes, the mark of each and its text.
        self.notes: list[tuple[str, str]] = []
        self._styles = styles
        self._parts: list[str] = []
        self._length = 0
        self._kind = ""
        # Elements that are open inside one that is left out, runs, and texts.
        self._out = self._runs = self._texts = 0
        # What is open: a paragraph may stand in a box inside another one, a table in a cell.
        self._paragraphs: list[_Paragraph] = []
        self._rows: list[list[list[str]]] = []
        self._note = ""

    @property
    def text(self) -> str:
        return "".join(self._parts)

    def start(self, tag: str, given: dict[str, str]) -> None:
        if self._out or tag in _LEFT_OUT:
            self._out += 1
        elif tag == "p":
            self._paragraphs.append(_Paragraph())
        elif tag == "tr":
            self._rows.append([])
        elif tag == "tc" and self._rows:
            self._rows[-1].append([])
        elif tag == "r":
            self._runs += 1
        elif tag == "t":
            self._texts += 1
        elif tag in ("footnote", "endnote"):
            # Those with a type are the lines between the text and its notes.
            self._note = "" if "type" in given else _mark(tag, given)
        elif self._paragraphs:
            self._in_paragraph(tag, given)

    def _in_paragraph(self, tag: str, given: dict[str, str]) -> None:
        paragraph, value = self._paragraphs[-1], given.get("val", "")
        if tag == "pStyle":
            paragraph.style = value
        elif tag == "outlineLvl":
            paragraph.level = outline_level(value)
        elif tag == "numId":
            paragraph.listed = value not in ("", "0")
        elif self._runs and tag in _CHARACTERS:
            paragraph.words.append(_CHARACTERS[tag])
        elif tag in ("footnoteReference", "endnoteReference"):
            paragraph.words.append(f"[{_mark(tag, given)}]")

    def end(self, tag: str) -> None:
        if self._out:
            self._out -= 1
        elif tag == "p" and self._paragraphs:
            self._paragraph(self._paragraphs.pop())
        elif tag == "tr" and self._rows:
            self._row(self._rows.pop())
        elif tag == "r":
            self._runs -= 1
        elif tag == "t":
            self._texts -= 1

    def words(self, words: str) -> None:
        if self._texts and not self._out and self._paragraphs:
            self._paragraphs[-1].words.append(words)

    def add_notes(self, notes: DocxText) -> None:
        """Put the texts of ``notes`` at the end."""
        for mark, text in notes.notes:
            self._put(f"[{mark}] {text}", "note")

    def _paragraph(self, paragraph: _Paragraph) -> None:
        text = whole("".join(paragraph.words)).strip()
        if not text:
            return
        if self._note:
            self.notes.append((self._note, text))
        elif self._rows:
            # A cell may be missing in a damaged row.
            (self._rows[-1] or [[]])[-1].append(text)
        else:
            self._put_paragraph(text, paragraph)

    def _put_paragraph(self, text: str, paragraph: _Paragraph) -> None:
        style = paragraph.style
        level = paragraph.level or self._styles.level(style)
        if level:
            start = self._put(text, "heading")
            self.headings.append(Heading(start, level, " ".join(text.split())))
        elif paragraph.listed or self._styles.is_listed(style):
            self._put(f"- {text}", "item")
        else:
            if not self.title and self._styles.is_title(style):
                self.title = " ".join(text.split())
            self._put(text, "paragraph")

    def _row(self, cells: list[list[str]]) -> None:
        text = " | ".join(" ".join(" ".join(cell).split()) for cell in cells)
        if not text.strip(" |"):
            return
        if self._rows and self._rows[-1]:
            self._rows[-1][-1].append(text)
        else:
            start = self._put(text, "row")
            self.rows.append((start, self._length))

    def _put(self, text: str, kind: str) -> int:
        """Write ``text`` on lines of its own; where it begins. Rows and items stand close."""
        if self._length:
            close = kind == self._kind and kind in ("row", "item", "note")
            self._parts.append("\n" if close else "\n\n")
            self._length += len(self._parts[-1])
        self._kind = kind
        start = self._length
        self._parts.append(text)
        self._length += len(text)
        return start


def _mark(tag: str, given: dict[str, str]) -> str:
    """What stands for a note in the text."""
    return ("e" if tag.startswith("endnote") else "") + given.get("id", "")
