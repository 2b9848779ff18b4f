"""Plain text, whatever its suffix says about its markup."""

from __future__ import annotations

from thoth_core.documents.base import Content, Format
from thoth_core.documents.decoding import decode_noted


def read(data: bytes) -> Content:
    text, note = decode_noted(data)
    return Content(text, note=note)


FORMAT = Format(
    "text",
    frozenset({".txt", ".text", ".adoc", ".asciidoc", ".org", ".tex", ".log"}),
    read,
)
