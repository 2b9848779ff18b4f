"""Plain text, whatever its suffix says about its markup."""

from __future__ import annotations

from thoth_core.documents.base import Content, Format
from thoth_core.documents.decoding import decode


def read(data: bytes) -> Content:
    return Content(decode(data))


FORMAT = Format(
    "text",
    frozenset({".txt", ".text", ".rst", ".adoc", ".asciidoc", ".org", ".tex", ".log"}),
    read,
)
