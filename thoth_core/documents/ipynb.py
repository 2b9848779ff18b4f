"""Jupyter notebooks: markdown and code cells in their order, and what code cells put out as text.

Of one output the first 2,000 characters are taken, and pictures, HTML and widgets not at all: they
are made anew by whoever runs the notebook. Cells, and the headings in markdown cells, are where the
text is cut.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from thoth_core.documents.base import Content, Format
from thoth_core.documents.characters import whole
from thoth_core.documents.decoding import decode_noted
from thoth_core.documents.markdown import first_highest
from thoth_core.errors import InvalidInput
from thoth_core.headings import Heading, headings
from thoth_core.layout import Layout

#: Characters of one output that are taken.
OUTPUT_CHARS = 2_000
#: Colours and cursors that programs send to a terminal.
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


def read(data: bytes) -> Content:
    text, note = decode_noted(data)
    if not text.strip():
        return Content("", Layout(lines=()), note=note)
    try:
        notebook = json.loads(text, strict=False)
    except ValueError as problem:
        raise _no_notebook("it is no JSON") from problem
    if not isinstance(notebook, dict):
        raise _no_notebook("it is another kind of JSON")
    parts: list[str] = []
    found: list[Heading] = []
    breaks: list[int] = []
    place = 0
    for kind, source in _cells(notebook):
        source = whole(source.replace("\r\n", "\n").replace("\r", "\n")).strip("\n")
        if not source.strip():
            continue
        if kind == "markdown":
            found += (Heading(place + h.start, h.level, h.title) for h in headings(source))
        if kind != "output":
            breaks.append(place)
        parts.append(source)
        place += len(source) + 2
    metadata = notebook.get("metadata")
    title = metadata.get("title") if isinstance(metadata, dict) else None
    if not isinstance(title, str) or not title:
        title = first_highest(found)
    layout = Layout(headings=tuple(found), breaks=tuple(breaks), lines=())
    return Content("\n\n".join(parts), layout, title=whole(title), note=note)


def _cells(notebook: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The kind and the text of each cell and of each output."""
    sheets = notebook.get("worksheets")
    held = [notebook, *sheets] if isinstance(sheets, list) else [notebook]
    if not any(isinstance(each, dict) and isinstance(each.get("cells"), list) for each in held):
        raise _no_notebook("it has no cells")
    for sheet in held:
        cells = sheet.get("cells") if isinstance(sheet, dict) else None
        for cell in cells if isinstance(cells, list) else ():
            if isinstance(cell, dict):
                yield from _cell(cell)


def _cell(cell: dict[str, Any]) -> Iterator[tuple[str, str]]:
    kind = cell.get("cell_type")
    # In notebooks of version 3 code has its text as input, and a heading is a cell.
    source = _text(cell.get("source", cell.get("input")))
    if kind == "heading":
        level = cell.get("level")
        marks = "#" * (level if isinstance(level, int) and 1 <= level <= 6 else 1)
        yield "markdown", f"{marks} {source}"
        return
    yield str(kind), source
    outputs = cell.get("outputs")
    for output in outputs if isinstance(outputs, list) else ():
        if isinstance(output, dict):
            yield "output", _output(output)


def _output(output: dict[str, Any]) -> str:
    """What a person would read of an output."""
    data = output.get("data")
    bundle = data if isinstance(data, dict) else output
    if output.get("output_type") in ("error", "pyerr"):
        text = f"{output.get('ename', '')}: {output.get('evalue', '')}"
    elif "image/png" in bundle or "image/svg+xml" in bundle or "image/jpeg" in bundle:
        # The text beside a picture says the address of an object.
        return ""
    else:
        text = _text(bundle.get("text/plain", bundle.get("text")))
    text = _ESCAPES.sub("", text)
    if len(text) > OUTPUT_CHARS:
        text = f"{text[:OUTPUT_CHARS]}\n[{len(text) - OUTPUT_CHARS:,} more characters]"
    return text


def _text(source: Any) -> str:
    if isinstance(source, str):
        return source
    if isinstance(source, list):
        return "".join(line for line in source if isinstance(line, str))
    return ""


def _no_notebook(reason: str) -> InvalidInput:
    return InvalidInput("the file is no notebook", reason=f"{reason}, and no notebook")


FORMAT = Format("ipynb", frozenset({".ipynb"}), read, apart=True)
