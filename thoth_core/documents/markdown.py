"""Markdown: text whose headings are known. Its title is the first heading of the highest level."""

from __future__ import annotations

from thoth_core.documents.base import Content, Format
from thoth_core.documents.decoding import decode_noted
from thoth_core.headings import headings
from thoth_core.layout import Layout


def read(data: bytes) -> Content:
    text, note = decode_noted(data)
    found = tuple(headings(text))
    titled = [heading for heading in found if heading.title]
    # min keeps the first of equals.
    title = min(titled, key=lambda heading: heading.level).title if titled else ""
    return Content(text, Layout(headings=found), title=title, note=note)


FORMAT = Format("markdown", frozenset({".md", ".markdown", ".mdown", ".mkd", ".mdx"}), read)
