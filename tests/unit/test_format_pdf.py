from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen.canvas import Canvas

from tests.support.places import chunk_with, chunks_of
from thoth_core.documents.base import format_of
from thoth_core.documents.pdf import read
from thoth_core.errors import InvalidInput

PAGES = (
    ("The first part", "Here is a sentence with infor-", "mation and a well-", "known fact."),
    ("A well-known thing, and non-", "English words.", "Details", "The known sentence."),
    ("The end of it.",),
)


def pdf(pages: tuple[tuple[str, ...], ...] = PAGES, **more: object) -> bytes:
    """The file that reportlab makes of these lines."""
    into = io.BytesIO()
    canvas = Canvas(into, **more)
    canvas.setTitle("The title")
    for number, lines in enumerate(pages):
        canvas.bookmarkPage(f"p{number}")
        if number < 2:
            canvas.addOutlineEntry(("The first part", "Details")[number], f"p{number}", number)
        for row, line in enumerate(lines):
            canvas.drawString(60, 780 - 14 * row, line)
        canvas.showPage()
    canvas.save()
    return into.getvalue()


def test_pages_headings_and_parted_words() -> None:
    content = read(pdf())
    assert content.title == "The title"
    assert content.text == (
        "The first part\nHere is a sentence with information and a well-known fact.\n\n"
        "A well-known thing, and non-English words.\nDetails\nThe known sentence.\n\nThe end of it."
    )
    assert [(each.level, each.title) for each in content.layout.headings] == [
        (1, "The first part"),
        (2, "Details"),
    ]
    found = chunk_with(chunks_of(content, size=8, overlap=0), "The known sentence.")
    assert (found.page, found.page_end, found.line_start) == (2, 2, None)
    assert found.heading_path == ("The first part", "Details")
    assert [content.text[place : place + 5] for place in content.layout.pages] == [
        "The f",
        "A wel",
        "The e",
    ]


def test_a_scan_says_that_there_is_no_text() -> None:
    content = read(pdf(((), ())))
    assert not content.text.strip() and "no text in it" in content.note
    assert read(pdf((("a",), (), ()))).note == "2 of its 3 pages have no text, as in a scan"


def test_a_password_and_damage_are_told_apart() -> None:
    locked = pdf(encrypt=StandardEncryption("secret", ownerPassword="other"))
    whole = pdf()
    for data, reason, fix in (
        (locked, "it is encrypted", "qpdf --decrypt"),
        (whole[: len(whole) // 2], "it is damaged", "qpdf FILE"),
        (b"%PDF-1.7\nno more", "it is damaged", "qpdf FILE"),
        (b"", "it is damaged", "qpdf FILE"),
    ):
        with pytest.raises(InvalidInput) as caught:
            read(data)
        assert reason in caught.value.details["reason"] and fix in caught.value.fix


def test_one_that_anyone_may_read_is_read_although_it_is_encrypted() -> None:
    content = read(pdf(encrypt=StandardEncryption("", ownerPassword="other")))
    assert "The known sentence." in content.text


def test_without_its_parser_a_file_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pypdfium2", None)
    with pytest.raises(InvalidInput) as caught:
        read(pdf())
    assert caught.value.details["reason"] == "pypdfium2, which reads PDF, is not installed"


def test_a_file_is_known_by_how_it_begins() -> None:
    assert format_of(Path("paper"), pdf()[:100]).name == "pdf"
