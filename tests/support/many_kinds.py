"""A folder with files of all kinds, good and bad, and where in each a phrase stands.

The good ones come from packages that are installed (their licences, data and descriptions), from
Python's own reference and modules, and from the libraries that people write such files with.
"""

from __future__ import annotations

import csv
import importlib.metadata
import inspect
import io
import json
import os
import pydoc
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import sklearn

#: Phrases that stand in one place of one file each.
PHRASE = "The {} ferry to the {} island leaves at nine."
_TOPICS = sorted(topics)


@dataclass
class Kinds:
    """``good``: a phrase of each file, and what the metadata of its chunk must say; ``line`` and
    ``page`` lie between first and last, ``heading`` stands above it. ``bad``: files that cannot be
    read, and a part of the reason. ``empty`` are read and hold nothing."""

    root: Path
    good: list[tuple[Path, str, dict[str, Any]]] = field(default_factory=list)
    bad: dict[Path, str] = field(default_factory=dict)
    empty: list[Path] = field(default_factory=list)

    def file(self, name: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def make(root: Path, large: int) -> Kinds:
    """All of it below ``root``; the large text has ``large`` bytes."""
    kinds = Kinds(root)
    for write in (_texts, _found, _tables, _notebooks, _html, _docx, _pdf, _encodings, _odd, _bad):
        write(kinds)
    _large(kinds, large)
    return kinds


def _phrase(kinds: Kinds) -> str:
    return PHRASE.format(f"number {len(kinds.good)}", "northern" if len(kinds.good) % 2 else "far")


def _with_phrase(kinds: Kinds, text: str) -> tuple[str, str, int]:
    """``text`` with a phrase in a line of its own two thirds down; the phrase and its line."""
    lines, phrase = text.split("\n"), _phrase(kinds)
    at = max(1, 2 * len(lines) // 3)
    while at < len(lines) and lines[at].strip():
        at += 1
    lines[at:at] = ["", phrase, ""]
    return "\n".join(lines), phrase, at + 2


def _texts(kinds: Kinds) -> None:
    for topic in _TOPICS[:8]:
        text, phrase, line = _with_phrase(kinds, topics[topic])
        path = kinds.file(f"reference/{topic}.txt")
        path.write_text(text, "utf-8")
        kinds.good.append((path, phrase, {"line": line}))
    for topic in _TOPICS[8:12]:
        text, phrase, line = _with_phrase(kinds, f"# {topic}\n\n## Part\n\n{topics[topic]}")
        path = kinds.file(f"reference/{topic}.md")
        path.write_text(text, "utf-8")
        kinds.good.append((path, phrase, {"line": line}))
    path, phrase = kinds.file("reference/deep.md"), _phrase(kinds)
    path.write_text(f"# One\n\nwords\n\n## Two\n\n### Three\n\n{phrase}\n")
    kinds.good.append((path, phrase, {"line": 9, "heading": "Three"}))


def _found(kinds: Kinds) -> None:
    """Files of packages as they are; the phrase is a line of theirs that stands there once."""
    data = Path(inspect.getfile(sklearn)).parent / "datasets"
    standard = Path(inspect.getfile(os)).parent
    found = [
        *sorted((data / "descr").glob("*.rst"))[:8],
        *(standard / name for name in ("argparse.py", "calendar.py", "heapq.py", "queue.py")),
        *(standard / name for name in ("shlex.py", "textwrap.py", "zipapp.py", "this.py")),
    ]
    for source in found:
        text = source.read_text("utf-8")
        path = kinds.file(f"found/{source.name}")
        path.write_text(text, "utf-8")
        lines = text.split("\n")
        middle = sorted(range(len(lines)), key=lambda n: abs(n - len(lines) // 2))
        at = next(n for n in middle if len(lines[n].strip()) > 25 and text.count(lines[n]) == 1)
        kinds.good.append((path, lines[at].strip(), {"line": at + 1}))


def _tables(kinds: Kinds) -> None:
    for n in range(4):
        path, phrase = kinds.file(f"tables/ferries {n}.csv"), _phrase(kinds)
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, delimiter=",;\t|"[n])
            writer.writerow(["name", "seats", "remark"])
            for row in range(200):
                writer.writerow([f"ferry {row}", row * 7, phrase if row == 120 else 'said "no"'])
        # The first line has the names.
        kinds.good.append((path, phrase, {"line": 122}))
    for n, package in enumerate(("numpy", "pyzmq", "click")):
        path, phrase = kinds.file(f"tables/{package}.json"), _phrase(kinds)
        described: dict[str, Any] = dict(importlib.metadata.metadata(package).json)
        described["ferry"] = {"remark": phrase}
        text = json.dumps(described, indent=n or None)
        path.write_text(text)
        line = text[: text.index(phrase)].count("\n") + 1
        kinds.good.append((path, phrase, {"line": line}))
    path, phrase = kinds.file("tables/log.jsonl"), _phrase(kinds)
    records = [{"n": n, "said": phrase if n == 60 else f"nothing {n}"} for n in range(100)]
    path.write_text("".join(json.dumps(each) + "\n" for each in records))
    kinds.good.append((path, phrase, {"line": 61}))


def _notebooks(kinds: Kinds) -> None:
    from nbformat import v4, write

    for n in range(2):
        path, phrase = kinds.file(f"notebooks/{n}.ipynb"), _phrase(kinds)
        cells = [
            v4.new_markdown_cell("# A notebook\n\nwith words"),
            v4.new_code_cell("ferries = [1, 2]\nprint(ferries)"),
            v4.new_markdown_cell(f"## The end\n\n{phrase}"),
        ]
        write(v4.new_notebook(cells=cells), str(path))
        kinds.good.append((path, phrase, {"heading": "The end"}))


def _html(kinds: Kinds) -> None:
    for name in ("bisect", "colorsys", "fnmatch", "keyword"):
        page = pydoc.html.page(name, pydoc.html.document(__import__(name)))
        phrase = _phrase(kinds)
        page = page.replace("</body>", f"<h2>Ferries</h2>\n<p>{phrase}</p>\n</body>")
        path = kinds.file(f"pages/{name}.html")
        path.write_text(page, "utf-8")
        kinds.good.append((path, phrase, {"heading": "Ferries"}))


def _docx(kinds: Kinds) -> None:
    import docx

    for n in range(4):
        path, phrase = kinds.file(f"office/report {n}.docx"), _phrase(kinds)
        document = docx.Document()
        document.add_heading(f"Report {n}", level=1)
        document.add_paragraph(topics[_TOPICS[20 + n]][:3000])
        document.add_heading("Ferries", level=2)
        table = document.add_table(rows=1, cols=2)
        table.rows[0].cells[0].text, table.rows[0].cells[1].text = "remark", phrase
        document.save(str(path))
        kinds.good.append((path, phrase, {"heading": "Ferries"}))


def _pdf(kinds: Kinds) -> None:
    for n in range(4):
        path, phrase = kinds.file(f"office/book {n}.pdf"), _phrase(kinds)
        path.write_bytes(pdf([topics[_TOPICS[30 + n]], "Nothing here.", phrase]))
        kinds.good.append((path, phrase, {"page": 3}))


def pdf(pages: list[str], **options: Any) -> bytes:
    """One with a page of each text, as far as it fits."""
    from reportlab.lib.pagesizes import A4
    from reportlab.pdfgen.canvas import Canvas

    file = io.BytesIO()
    canvas = Canvas(file, pagesize=A4, **options)
    for page in pages:
        text = canvas.beginText(40, 800)
        for line in page.split("\n")[:55]:
            text.textLine(line[:95])
        canvas.drawText(text)
        canvas.showPage()
    canvas.save()
    return file.getvalue()


def _encodings(kinds: Kinds) -> None:
    for name, encoding in (
        ("utf-16", "utf-16"),
        ("utf-16-be without a mark", "utf-16-be"),
        ("utf-8 with a mark", "utf-8-sig"),
        ("latin-1", "latin-1"),
    ):
        path, phrase = kinds.file(f"encodings/{name}.txt"), _phrase(kinds)
        path.write_bytes(f"Über die Fähren\r\n\r\n{phrase} Größe: é.\r\n".encode(encoding))
        kinds.good.append((path, phrase, {"line": 3}))
    path, phrase = kinds.file("encodings/invalid utf-8.txt"), _phrase(kinds)
    path.write_bytes(b"caf\xc3\xa9 \xff\xfe broken\n" + phrase.encode() + b"\n")
    kinds.good.append((path, phrase, {"line": 2}))


def _odd(kinds: Kinds) -> None:
    path, phrase = kinds.file("odd/special tokens.txt"), _phrase(kinds)
    path.write_text(f"<|endoftext|> and <|fim_prefix|>\n{phrase} <|endoftext|>\n")
    kinds.good.append((path, phrase, {"line": 2}))
    path, phrase = kinds.file("odd/a name with\na newline and ⛴️.txt"), _phrase(kinds)
    path.write_text(f"{phrase}\n")
    kinds.good.append((path, phrase, {"line": 1}))
    path, phrase = kinds.file("odd/one line.txt"), _phrase(kinds)
    words = " ".join(topics.values()).replace("\n", " ")
    line = (words * (2_000_000 // len(words) + 1))[:2_000_000]
    path.write_text(line[:1_500_000] + f" {phrase} " + line[1_500_000:])
    kinds.good.append((path, phrase, {"line": 1}))
    path = kinds.file("odd/empty.txt")
    path.write_bytes(b"")
    kinds.empty.append(path)
    # None of these is a file to read, and none may stop the rest.
    (kinds.root / "odd/loop").symlink_to(kinds.root)
    (kinds.root / "odd/to itself").symlink_to(kinds.root / "odd/to itself")
    os.mkfifo(kinds.root / "odd/pipe.txt")
    kinds.file("odd/.hidden.txt").write_text("not read")
    kinds.file("odd/picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))


def _bad(kinds: Kinds) -> None:
    from reportlab.lib.pdfencrypt import StandardEncryption

    path = kinds.file("bad/encrypted.pdf")
    path.write_bytes(pdf(["secret"], encrypt=StandardEncryption("a password")))
    kinds.bad[path] = "encrypted"
    path = kinds.file("bad/truncated.pdf")
    whole = pdf([topics[name] for name in _TOPICS[40:44]])
    path.write_bytes(whole[: len(whole) // 3])
    kinds.bad[path] = "damaged"
    path = kinds.file("bad/bomb.docx")
    _bomb(path)
    kinds.bad[path] = "unpacks to more than"
    path = kinds.file("bad/no archive.docx")
    path.write_bytes(b"PK\x03\x04 and then nothing")
    kinds.bad[path] = "damaged"
    path = kinds.file("bad/hangs.pdf")
    path.write_bytes(b"!hang")
    kinds.bad[path] = "not done after"
    path = kinds.file("bad/takes all memory.pdf")
    path.write_bytes(b"!take:8000")
    kinds.bad[path] = "takes more than"
    path = kinds.file("bad/crashes.docx")
    path.write_bytes(b"!segv")
    kinds.bad[path] = "SIGSEGV"
    # Sorted behind the file that hangs, so that it can be deleted in time.
    path = kinds.file("vanishing/gone.txt")
    path.write_text("It is deleted while the others are read.")
    kinds.bad[path] = "no such file"


def _bomb(path: Path) -> None:
    """A small file that holds a gigabyte of text."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("[Content_Types].xml", _TYPES)
        archive.writestr("_rels/.rels", _RELATIONS)
        with archive.open("word/document.xml", "w", force_zip64=True) as document:
            document.write(_BEGIN)
            block = b"a" * (1 << 20)
            for _ in range(1 << 10):
                document.write(block)
            document.write(_END)


_SCHEMAS = "http://schemas.openxmlformats.org"
_WORD = f"{_SCHEMAS}/wordprocessingml/2006/main"
_BEGIN = f'<w:document xmlns:w="{_WORD}"><w:body><w:p><w:r><w:t>'.encode()
_END = b"</w:t></w:r></w:p></w:body></w:document>"
_MAIN = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
_TYPES = (
    f'<Types xmlns="{_SCHEMAS}/package/2006/content-types"><Default Extension="rels" '
    'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    f'<Override PartName="/word/document.xml" ContentType="{_MAIN}"/></Types>'
)
_RELATIONS = (
    f'<Relationships xmlns="{_SCHEMAS}/package/2006/relationships"><Relationship Id="r" '
    f'Type="{_SCHEMAS}/officeDocument/2006/relationships/officeDocument" '
    'Target="word/document.xml"/></Relationships>'
)


def _large(kinds: Kinds, size: int) -> None:
    path, phrase = kinds.file("large/all.txt"), _phrase(kinds)
    base = "\n".join(topics.values())
    line = 0
    with path.open("w", encoding="utf-8") as file:
        for piece in _repeated(base, size):
            file.write(piece)
            line += piece.count("\n")
        file.write(phrase + "\n")
    kinds.good.append((path, phrase, {"line": line + 1}))


def _repeated(base: str, size: int) -> Iterator[str]:
    """Texts of ``size`` characters together, none of which is that of another place."""
    written = n = 0
    while written < size:
        piece = f"Part {n}\n\n{base}\n\n"
        yield piece
        written, n = written + len(piece), n + 1
