"""How fast each format is read, in megabytes of file a second of processor time.

    python -m benchmarks.formats            # half a minute

The files are made here, of Python's language reference and standard library, by the libraries that
people write such files with. Parsing only: in the ingest the chunker and the model come after it.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import pydoc
import sysconfig
import textwrap
import time
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

from benchmarks.alone import run_alone
from thoth_core.documents.base import formats

ROUNDS = 3


def files() -> dict[str, list[bytes]]:
    """Some files of each format, by a suffix of it."""
    library = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    text = "\n\n".join(topics[name] for name in sorted(topics))
    rows = [
        {"id": n, "price": n * 1.5, "tags": ["a", "b"], "remark": text[n * 30 : n * 30 + 90]}
        for n in range(10_000)
    ]
    table = io.StringIO()
    writer = csv.DictWriter(table, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return {
        ".txt": [text.encode()],
        ".rst": [each.encode() for each in topics.values()],
        ".md": [text.replace("\n   ", "\n## ").encode()],
        ".py": [each.read_bytes() for each in library],
        ".html": [pydoc.HTMLDoc().docmodule(module).encode() for module in (argparse, pydoc, json)],
        ".csv": [table.getvalue().encode()],
        ".json": [json.dumps(rows, indent=1).encode()],
        ".jsonl": ["\n".join(map(json.dumps, rows)).encode()],
        ".ipynb": [_notebook(text)],
        ".pdf": [_pdf(text)],
        ".docx": [_docx(text)],
    }


def _notebook(text: str) -> bytes:
    from nbformat import v4, writes

    cells = [v4.new_markdown_cell(part) for part in text.split("\n\n")]
    return str(writes(v4.new_notebook(cells=cells))).encode()


def _pdf(text: str) -> bytes:
    from reportlab.pdfgen.canvas import Canvas

    into = io.BytesIO()
    canvas = Canvas(into, pageCompression=1)
    lines = [row for line in text.split("\n") for row in textwrap.wrap(line, 90)]
    for first in range(0, len(lines), 50):
        for row, line in enumerate(lines[first : first + 50]):
            canvas.drawString(60, 780 - 14 * row, line)
        canvas.showPage()
    canvas.save()
    return into.getvalue()


def _docx(text: str) -> bytes:
    from docx import Document

    document = Document()
    for number, part in enumerate(text.split("\n\n")):
        if number % 10:
            document.add_paragraph(part)
        else:
            document.add_heading(part.split("\n")[0], 1 + number % 3)
    into = io.BytesIO()
    document.save(into)
    return into.getvalue()


def measure(quick: bool) -> dict[str, Any]:
    found = {}
    for suffix, several in files().items():
        read = formats()[suffix].read
        seconds = []
        for _ in range(1 if quick else ROUNDS):
            begun = time.process_time()
            characters = sum(len(read(data).text) for data in several)
            seconds.append(time.process_time() - begun)
        found[suffix] = {
            "megabytes": sum(map(len, several)) / 1e6,
            "characters": characters / 1e6,
            "seconds": min(seconds),
        }
    return found


def show(found: dict[str, Any]) -> None:
    print("| format | MB of file | MB of file a second | million characters of text a second |")
    print("|---|---|---|---|")
    for suffix, each in found.items():
        size, seconds, text = each["megabytes"], each["seconds"], each["characters"]
        print(f"| `{suffix}` | {size:.2f} | {size / seconds:.1f} | {text / seconds:.1f} |")


if __name__ == "__main__":
    run_alone(__doc__, measure, show)
