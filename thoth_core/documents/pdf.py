"""PDF: the text of each page as PDFium sees it, with the outline as headings.

Words that were parted at the end of a line are joined again. Pages without text, as those of a
scan, are said: no characters are read out of pictures.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from thoth_core.documents.base import Content, Format
from thoth_core.documents.characters import whole
from thoth_core.documents.extra import not_installed
from thoth_core.errors import InvalidInput
from thoth_core.headings import Heading
from thoth_core.layout import Layout

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument

#: Entries of an outline that are looked at.
_OUTLINE = 5_000
#: PDFium's error codes: no PDF or a damaged one, and a password that it needs.
_DAMAGED, _PASSWORD = 3, 4
#: What PDFium gives for a hyphen at the end of a line, together with the line end.
_PARTED = re.compile(r"(\w*)\ufffe(\w*)")
#: What libraries write where nobody gave a title.
_NO_TITLES = frozenset({"untitled", "(anonymous)", "unknown", "none"})
_WORD = re.compile(r"\w+(?:-\w+)*")
_LIGATURES = str.maketrans(
    {"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st"}
)


def read(data: bytes) -> Content:
    document = _opened(data)
    try:
        texts = [_page(document, number) for number in range(len(document))]
        outline = list(_outline(document))
        title = document.get_metadata_value("Title").strip()
    finally:
        document.close()
    bad = [number for number, text in enumerate(texts, 1) if text is None]
    pages = _mended([text or "" for text in texts])
    starts, place = [], 0
    for page in pages:
        starts.append(place)
        place += len(page) + 2
    found = tuple(_headings(outline, pages, starts))
    layout = Layout(headings=found, pages=tuple(starts), lines=())
    title = "" if title.lower() in _NO_TITLES else whole(title)
    return Content("\n\n".join(pages), layout, title=title, note=_note(pages, bad))


def _opened(data: bytes) -> PdfDocument:
    try:
        import pypdfium2
    except ImportError as problem:
        raise not_installed("pypdfium2", "PDF") from problem
    try:
        return pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as problem:
        if problem.err_code == _PASSWORD:
            raise InvalidInput(
                "the file is encrypted",
                reason="it is encrypted",
                fix="save it without a password: qpdf --decrypt --password=… FILE NEW",
            ) from problem
        if problem.err_code == _DAMAGED:
            raise InvalidInput(
                "the file is damaged",
                reason="it is damaged, or cut off, so that no page can be found",
                fix="get it again, or try to mend it: qpdf FILE NEW",
            ) from problem
        raise InvalidInput("the file cannot be read", reason=str(problem)) from problem


def _page(document: PdfDocument, number: int) -> str | None:
    """The text of a page, or None for one that cannot be read."""
    from pypdfium2 import PdfiumError

    try:
        page = document[number]
    except PdfiumError:
        return None
    try:
        content = page.get_textpage()
        text: str = content.get_text_range()
    except PdfiumError:
        return None
    finally:
        # With what was made of it.
        page.close()
    return whole(text.replace("\r\n", "\n").replace("\r", "\n")).translate(_LIGATURES).strip()


def _mended(pages: list[str]) -> list[str]:
    """``pages`` with their parted words joined. The hyphen stays where it belongs to the word: the
    word stands elsewhere with it and nowhere without it, or goes on with a capital or a figure."""
    if not any("\ufffe" in page for page in pages):
        return pages
    words = {word.lower() for page in pages for word in _WORD.findall(page)}

    def joined(match: re.Match[str]) -> str:
        left, right = match[1], match[2]
        kept = f"{left}-{right}"
        if not (left[-1:].isalpha() and right[:1].islower()):
            return kept
        return kept if _only_with_hyphen(kept.lower(), words) else left + right

    return [_PARTED.sub(joined, page) for page in pages]


def _only_with_hyphen(kept: str, words: set[str]) -> bool:
    return kept in words and kept.replace("-", "") not in words


def _outline(document: PdfDocument) -> Iterator[tuple[int, int, str]]:
    """Page (from 0), level and title of each entry. A damaged outline ends where it is damaged."""
    from pypdfium2 import PdfiumError

    try:
        for number, entry in enumerate(document.get_toc()):
            if number >= _OUTLINE:
                return
            to = entry.get_dest()
            page = to.get_index() if to else None
            title = " ".join(whole(entry.get_title()).split())
            if page is not None and title:
                yield page, entry.level + 1, title
    except (PdfiumError, ValueError, OSError):
        return


def _headings(
    outline: Sequence[tuple[int, int, str]], pages: Sequence[str], starts: Sequence[int]
) -> list[Heading]:
    """The outline by the places of its titles in the text; one that does not stand on its page
    begins with the page."""
    found = []
    floor = 0
    for page, level, title in outline:
        if not 0 <= page < len(pages):
            continue
        words = r"\s+".join(map(re.escape, title.split()))
        there = [
            match.start() + starts[page]
            for match in re.finditer(rf"^[ \t]*(?:{words})", pages[page], re.M | re.I)
        ]
        # Where a title stands twice on a page, the one after the heading before it.
        place = next((each for each in there if each >= floor), starts[page])
        floor = place + 1 if there else floor
        found.append(Heading(place, level, title))
    return sorted(found, key=lambda heading: heading.start)


def _note(pages: Sequence[str], bad: Sequence[int]) -> str:
    if bad:
        more = f" and {len(bad) - 1:,} more" if len(bad) > 1 else ""
        return f"page {bad[0]}{more} of {len(pages):,} could not be read: the file is damaged"
    empty = sum(1 for page in pages if not page)
    if pages and empty == len(pages):
        return "there is no text in it, as in a scan: ocrmypdf FILE NEW puts it there"
    if empty * 2 >= len(pages) > 1:
        return f"{empty:,} of its {len(pages):,} pages have no text, as in a scan"
    return ""


FORMAT = Format("pdf", frozenset({".pdf"}), read, begins=(b"%PDF-",), apart=True)
