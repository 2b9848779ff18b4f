"""JSON: each value with its names (``json_text``). What is no JSON is read as the text it is."""

from __future__ import annotations

from thoth_core.documents.base import Content, Format
from thoth_core.documents.decoding import decode_noted
from thoth_core.documents.json_text import JsonText, NotJson


def read(data: bytes) -> Content:
    text, note = decode_noted(data)
    if not text.strip():
        return Content(text, note=note)
    into = JsonText(text)
    try:
        into.values(0, len(text))
    except NotJson as problem:
        line = text.count("\n", 0, problem.place) + 1
        return Content(text, note=f"it is no JSON (line {line}), and was read as text")
    flat, layout = into.result()
    return Content(flat, layout, note=note)


FORMAT = Format(
    "json", frozenset({".json", ".geojson", ".webmanifest", ".jsonld", ".har"}), read, apart=True
)
