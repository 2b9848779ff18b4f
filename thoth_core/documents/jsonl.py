"""JSON lines: each line is a record, with the names of its values (``json_text``). A line that is
no JSON is kept as the text it is."""

from __future__ import annotations

import json
import re

from thoth_core.documents.base import Content, Format
from thoth_core.documents.decoding import decode_noted
from thoth_core.documents.json_text import JsonText, NotJson
from thoth_core.layout import Layout

_LINE = re.compile(r"[^\n]+")
_DECODER = json.JSONDecoder(strict=False)


def read(data: bytes) -> Content:
    text, note = decode_noted(data)
    into = JsonText(text)
    bad: list[int] = []
    good = 0
    for match in _LINE.finditer(text):
        if match.group().isspace():
            continue
        if _is_json(match.group()):
            into.values(match.start(), match.end(), records=True)
            good += 1
        else:
            bad.append(match.start())
            into.plain(match.start(), match.end())
    if len(bad) > good:
        spread = _spread(text)
        if spread is not None:
            return Content(*spread, note=note)
    if bad:
        line = text.count("\n", 0, bad[0]) + 1
        more = f" (and {len(bad) - 1:,} more)" if len(bad) > 1 else ""
        note = f"line {line}{more} is no JSON, and was read as text"
    return Content(*into.result(), note=note)


def _is_json(line: str) -> bool:
    try:
        _DECODER.decode(line)
    except ValueError:
        return False
    except RecursionError:
        # That one calls itself for what is nested, ours does not.
        try:
            JsonText(line).values(0, len(line))
        except NotJson:
            return False
    return True


def _spread(text: str) -> tuple[str, Layout] | None:
    """Records that are spread over several lines each; None if it is not that."""
    into = JsonText(text)
    try:
        into.values(0, len(text), records=True)
    except NotJson:
        return None
    return into.result()


FORMAT = Format("jsonl", frozenset({".jsonl", ".ndjson", ".jsonlines"}), read, apart=True)
