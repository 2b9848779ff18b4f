"""What a client and its reader say to each other, as bytes. Pure.

A request is four bytes of length, as many of msgpack (``format`` and the ``size`` of the file) and
the file. An answer is eight bytes of length and as many of msgpack.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import msgpack

from thoth_core.documents.base import MAX_FILE_BYTES, Content
from thoth_core.headings import Heading
from thoth_core.layout import Layout

#: A text of more characters than this is refused: a small file can hold any amount (a zip bomb).
MAX_TEXT_CHARS = MAX_FILE_BYTES
#: And so is one with more places (records, headings, lines): each takes the client a hundred bytes
#: and more, so a table of short records would fill its memory and not that of its reader.
MAX_PLACES = 3_000_000
#: An answer is no larger: four bytes a character, and its layout.
MAX_ANSWER_BYTES = 6 * MAX_TEXT_CHARS
_HEAD, _LENGTH = struct.Struct("<I"), struct.Struct("<Q")
HEAD_BYTES, LENGTH_BYTES = _HEAD.size, _LENGTH.size


@dataclass(frozen=True, slots=True)
class Refused:
    """The parser says that it can make no text of the file, and why."""

    reason: str
    fix: str = ""
    #: It ran out of memory, and so may the next file in the same process.
    memory: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """``resident`` is what the reader holds, in bytes."""

    result: Content | Refused
    resident: int


def request(form: str, data: bytes) -> bytes:
    """What comes before ``data``."""
    head: bytes = msgpack.packb({"format": form, "size": len(data)})
    return _HEAD.pack(len(head)) + head


def head_length(raw: bytes) -> int:
    """The length that the first :data:`HEAD_BYTES` of a request say."""
    return int(_HEAD.unpack(raw)[0])


def read_head(raw: bytes) -> tuple[str, int]:
    """The format's name and the size of the file."""
    head = msgpack.unpackb(raw)
    return str(head["format"]), int(head["size"])


def answer(given: Answer) -> bytes:
    """The whole of an answer, its length first."""
    result = given.result
    body: dict[str, Any] = {"resident": given.resident}
    if isinstance(result, Refused):
        body["refused"] = [result.reason, result.fix, result.memory]
    else:
        layout = result.layout
        body["text"], body["title"], body["note"] = result.text, result.title, result.note
        body["headings"] = [[h.start, h.level, h.title] for h in layout.headings]
        body["pages"], body["breaks"] = list(layout.pages), list(layout.breaks)
        body["rows"] = [list(row) for row in layout.rows]
        body["lines"] = None if layout.lines is None else [list(each) for each in layout.lines]
    # What no text can hold (a lone surrogate out of a damaged file) becomes a question mark.
    packed: bytes = msgpack.packb(body, unicode_errors="replace")
    return _LENGTH.pack(len(packed)) + packed


def answer_length(raw: bytes) -> int:
    """The length that the first :data:`LENGTH_BYTES` of an answer say. ``ValueError`` for one that
    no reader would give."""
    length = int(_LENGTH.unpack(raw)[0])
    if length > MAX_ANSWER_BYTES:
        raise ValueError(f"an answer of {length} bytes")
    return length


def read_answer(packed: bytes | bytearray) -> Answer:
    """The answer whose length was read before. ``ValueError``, ``KeyError`` or ``TypeError`` for
    bytes that are none."""
    body = msgpack.unpackb(packed)
    if "refused" in body:
        reason, fix, memory = body["refused"]
        return Answer(Refused(str(reason), str(fix), bool(memory)), int(body["resident"]))
    lines = body["lines"]
    layout = Layout(
        headings=tuple(Heading(int(s), int(level), str(t)) for s, level, t in body["headings"]),
        pages=tuple(map(int, body["pages"])),
        breaks=tuple(map(int, body["breaks"])),
        rows=tuple((int(start), int(end)) for start, end in body["rows"]),
        lines=None if lines is None else tuple((int(place), int(line)) for place, line in lines),
    )
    content = Content(str(body["text"]), layout, str(body["title"]), str(body["note"]))
    return Answer(content, int(body["resident"]))
