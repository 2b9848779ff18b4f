"""``python -m thoth_core.reader``: bytes of one file after the other in, their texts out.

A client starts it (``thoth_core.client.reader_child``), tells it its limits in one JSON line, and
then sends files on standard input. It may crash as it likes; it can fill neither memory nor disk,
and ends with whoever started it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import IO

from thoth_core.documents.base import Content, formats
from thoth_core.errors import InvalidInput
from thoth_core.reader import messages
from thoth_core.reader.faults import play
from thoth_core.reader.messages import Answer, Refused
from thoth_core.worker import lifeline
from thoth_core.worker.limits import limit_self
from thoth_core.worker.memory import resident_bytes

#: Parsers of nested files call themselves; Python's own bound is what ends them, a little later.
_RECURSION = 3_000
#: Bytes that one file of a parser may have on the disk.
_FILE_BYTES = 1 << 30


def serve(files: IO[bytes], out: IO[bytes], *, faults: bool) -> None:
    """Answer each file until ``files`` end, or memory did."""
    while head := files.read(messages.HEAD_BYTES):
        form, size = messages.read_head(files.read(messages.head_length(head)))
        data = files.read(size)
        if len(data) != size:
            return
        result = _parsed(form, data, faults)
        del data
        try:
            packed = messages.answer(Answer(result, resident_bytes() or 0))
        except MemoryError:
            result = _too_large()
            packed = messages.answer(Answer(result, resident_bytes() or 0))
        out.write(packed)
        out.flush()
        if isinstance(result, Refused) and result.memory:
            # What it holds cannot be told from what it needs; the next one begins anew.
            return


def _parsed(form: str, data: bytes, faults: bool) -> Content | Refused:
    try:
        if faults:
            play(data)
        content = formats()[_suffix_of(form)].read(data)
    except InvalidInput as problem:
        return Refused(str(problem.details.get("reason", problem.message)), problem.fix)
    except MemoryError:
        return _too_large()
    except RecursionError:
        return Refused("it is nested too deeply")
    except Exception as problem:
        # A parser that meets what its author did not think of: the file is at fault, or it is; the
        # others are neither.
        words = " ".join(str(problem).split())[:200]
        return Refused(
            f"its parser failed: {type(problem).__name__}" + (f": {words}" if words else "")
        )
    if len(content.text) > messages.MAX_TEXT_CHARS:
        return Refused(f"its text is longer than {messages.MAX_TEXT_CHARS:,} characters")
    layout = content.layout
    parts = (layout.headings, layout.pages, layout.breaks, layout.rows, layout.lines or ())
    if sum(map(len, parts)) > messages.MAX_PLACES:
        return Refused("it has too many records for one file", "split it: split -l 500000 FILE")
    return content


def _suffix_of(name: str) -> str:
    return next(suffix for suffix, form in formats().items() if form.name == name)


def _too_large() -> Refused:
    return Refused("", memory=True)


def main() -> int:
    # Answers go where no parser writes.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    orders = json.loads(sys.stdin.buffer.readline())
    lifeline.arm(orders["parent"], orders["death_fd"])
    with contextlib.suppress(OSError):
        # If the machine runs out of memory, this is the one to go.
        Path("/proc/self/oom_score_adj").write_text("1000")
    sys.setrecursionlimit(_RECURSION)
    limit_self(memory_bytes=int(orders["memory_bytes"]), file_bytes=_FILE_BYTES)
    formats()
    serve(sys.stdin.buffer, out, faults=orders["faults"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
