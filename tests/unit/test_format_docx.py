from __future__ import annotations

import io
import zipfile

import docx
import pytest

from tests.support.places import chunk_with, chunks_of
from thoth_core.documents import docx as ours
from thoth_core.documents.docx import read
from thoth_core.errors import InvalidInput

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def document() -> bytes:
    """The file that python-docx makes."""
    made = docx.Document()
    made.add_heading("The whole", 0)
    made.add_heading("First", 1)
    made.add_paragraph("Some text\twith a tab.")
    made.add_paragraph("item one", style="List Bullet")
    made.add_paragraph("item two", style="List Number")
    made.add_heading("Sub", 2)
    table = made.add_table(2, 2)
    table.cell(0, 0).text, table.cell(0, 1).text = "name", "value\nover lines"
    table.cell(1, 0).text = "one"
    table.cell(1, 1).add_table(1, 2).cell(0, 0).text = "inside"
    made.add_paragraph("The known sentence. " + "And some more of it. " * 5)
    made.add_page_break()
    made.add_heading("Last", 1)
    into = io.BytesIO()
    made.save(into)
    return into.getvalue()


def packed(body: str, **parts: str) -> bytes:
    """A document with this body, as Word would write it."""
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "word/document.xml", f"<w:document {W}><w:body>{body}</w:body></w:document>"
        )
        for name, part in parts.items():
            archive.writestr(f"word/{name}.xml", part)
    return into.getvalue()


def paragraph(text: str) -> str:
    return f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"


def test_a_document_has_headings_rows_and_lists() -> None:
    content = read(document())
    assert content.text.startswith(
        "The whole\n\nFirst\n\nSome text\twith a tab.\n\n- item one\n- item two\n\nSub\n\n"
        "name | value over lines\none | inside |\n\nThe known sentence."
    )
    assert content.title == "The whole"
    found = chunk_with(chunks_of(content, size=30, overlap=0), "The known sentence.")
    assert found.heading_path == ("First", "Sub") and found.line_start is None
    rows = [content.text[start:end] for start, end in content.layout.rows]
    assert rows == ["name | value over lines", "one | inside |"]


def test_tracked_changes_boxes_and_notes() -> None:
    body = (
        "<w:p><w:pPr><w:tabs><w:tab w:val='left'/></w:tabs></w:pPr><w:r><w:t>kept</w:t></w:r>"
        "<w:del><w:r><w:delText>gone</w:delText></w:r></w:del>"
        "<w:moveFrom><w:r><w:t>moved</w:t></w:r></w:moveFrom>"
        "<w:ins><w:r><w:t> new</w:t><w:footnoteReference w:id='2'/></w:r></w:ins></w:p>"
        "<w:p><w:r><mc:AlternateContent xmlns:mc='x'><mc:Choice><w:txbxContent>"
        f"{paragraph('in a box')}</w:txbxContent></mc:Choice><mc:Fallback>{paragraph('again')}"
        "</mc:Fallback></mc:AlternateContent><w:t>around</w:t></w:r></w:p>"
    )
    notes = (
        f"<w:footnotes {W}><w:footnote w:type='separator' w:id='0'>{paragraph('-')}</w:footnote>"
        f"<w:footnote w:id='2'>{paragraph('the note')}</w:footnote></w:footnotes>"
    )
    text = read(packed(body, footnotes=notes)).text
    assert text == "kept new[2]\n\nin a box\n\naround\n\n[2] the note"


def test_a_heading_is_one_by_its_style_however_it_is_named() -> None:
    styles = (
        f"<w:styles {W}><w:style w:styleId='Titre1'><w:name w:val='heading 1'/></w:style>"
        "<w:style w:styleId='Mine'><w:name w:val='x'/><w:basedOn w:val='Titre1'/></w:style>"
        "<w:style w:styleId='A'><w:basedOn w:val='B'/></w:style>"
        "<w:style w:styleId='B'><w:basedOn w:val='A'/></w:style></w:styles>"
    )
    body = "".join(
        f"<w:p><w:pPr><w:pStyle w:val='{style}'/></w:pPr><w:r><w:t>{style}</w:t></w:r></w:p>"
        for style in ("Mine", "A", "Titre1")
    )
    headings = read(packed(body, styles=styles)).layout.headings
    assert [(each.level, each.title) for each in headings] == [(1, "Mine"), (1, "Titre1")]
    alone = read(packed(body.replace("Mine", "Heading3"))).layout.headings
    assert [(each.level, each.title) for each in alone] == [(3, "Heading3")]


def test_a_zip_bomb_ends_where_it_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ours, "_UNPACKED", 2**20)
    data = packed(paragraph("a" * 2**22))
    assert len(data) < 10_000
    with pytest.raises(InvalidInput) as caught:
        read(data)
    assert "unpacks to more than 1 MB" in caught.value.details["reason"]
    # One that says of itself that it is small is not read any further than that.
    size = zipfile.ZipFile(io.BytesIO(data)).infolist()[0].file_size.to_bytes(4, "little")
    with pytest.raises(InvalidInput) as caught:
        read(data.replace(size, (100).to_bytes(4, "little")))
    assert "it is damaged" in caught.value.details["reason"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"PK\x03\x04 and no more", "it is damaged"),
        (document()[:4_000], "it is damaged"),
        (b"plain text", "no Word document"),
        (b"\xd0\xcf\x11\xe0" + "EncryptedPackage".encode("utf-16-le"), "it is encrypted"),
        (b"\xd0\xcf\x11\xe0 old", "an old Word document"),
        (packed("<w:p>"), "it is damaged: word/document.xml"),
        (packed("").replace(b"document.xml", b"somewhat.xml"), "no Word document"),
    ],
)
def test_what_cannot_be_read_says_why(data: bytes, reason: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(data)
    assert reason in caught.value.details["reason"]


def test_a_part_with_a_password_is_told() -> None:
    data = bytearray(packed(paragraph("a")))
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.find(mark) + at] |= 1
    with pytest.raises(InvalidInput) as caught:
        read(bytes(data))
    assert caught.value.details["reason"] == "it is encrypted"


def test_entities_that_grow_are_refused() -> None:
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w") as archive:
        archive.writestr(
            "word/document.xml", '<!DOCTYPE d [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><d>&b;</d>'
        )
    with pytest.raises(InvalidInput) as caught:
        read(into.getvalue())
    assert "definitions of its own" in caught.value.details["reason"]


def test_an_empty_file_has_no_text() -> None:
    assert read(b"").text == ""


RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def related(**targets: str) -> str:
    lines = (f"<Relationship Type='{RELATIONS}/{k}' Target='{t}'/>" for k, t in targets.items())
    return f"<Relationships>{''.join(lines)}</Relationships>"


def archive_of(parts: dict[str, str]) -> bytes:
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return into.getvalue()


BODY = (
    f"<w:document {W}><w:body><w:p><w:pPr><w:pStyle w:val='T'/></w:pPr><w:r><w:t>Top</w:t>"
    "<w:footnoteReference w:id='2'/></w:r></w:p></w:body></w:document>"
)
STYLES = f"<w:styles {W}><w:style w:styleId='T'><w:name w:val='heading 1'/></w:style></w:styles>"
NOTES = f"<w:footnotes {W}><w:footnote w:id='2'>{paragraph('the note')}</w:footnote></w:footnotes>"


@pytest.mark.parametrize("target", ["word/document2.xml", "/word/document2.xml"])
def test_the_main_part_is_the_one_that_is_related(target: str) -> None:
    parts = {
        "_rels/.rels": related(officeDocument=target),
        "word/_rels/document2.xml.rels": related(styles="styles2.xml", footnotes="../n/f.xml"),
        "word/document2.xml": BODY,
        "word/styles2.xml": STYLES,
        "n/f.xml": NOTES,
    }
    content = read(archive_of(parts))
    assert content.text == "Top[2]\n\n[2] the note"
    assert content.title == "Top[2]"  # by its style


def test_a_relationship_that_leads_to_no_part_is_passed_over() -> None:
    for target in ("../../etc/passwd", "/etc/passwd", "word/gone.xml", ""):
        parts = {
            "_rels/.rels": related(officeDocument=target),
            "word/document.xml": BODY,
            "word/styles.xml": STYLES,
            "word/footnotes.xml": NOTES,
        }
        assert read(archive_of(parts)).text == "Top[2]\n\n[2] the note"
    outer = related(officeDocument="word/b.xml").replace("/>", " TargetMode='External'/>")
    with pytest.raises(InvalidInput, match="cannot be read") as caught:
        read(archive_of({"_rels/.rels": outer, "word/b.xml": BODY}))
    assert "no Word document" in caught.value.details["reason"]


def test_what_is_related_and_no_document_is_refused() -> None:
    for parts, reason in (
        ({"xl/workbook.xml": "<workbook><a>b</a></workbook>"}, "no Word document"),
        ({"xl/workbook.xml": "<!DOCTYPE d [<!ENTITY a 'aa'>]><d>&a;</d>"}, "definitions"),
    ):
        rels = {"_rels/.rels": related(officeDocument="xl/workbook.xml")}
        with pytest.raises(InvalidInput) as caught:
            read(archive_of(rels | parts))
        assert reason in caught.value.details["reason"]
    with pytest.raises(InvalidInput) as caught:
        read(archive_of({"_rels/.rels": "<!DOCTYPE d [<!ENTITY a 'aa'>]><d>&a;</d>"}))
    assert "definitions" in caught.value.details["reason"]
