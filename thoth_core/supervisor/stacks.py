"""What ``faulthandler`` wrote of a process that crashed or hung, as values. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

#: So many threads of a dump are kept.
MOST_THREADS = 20

_CRASH = "Fatal Python error: "
#: Newer interpreters put the thread's name between its number and the bracket.
_THREAD = re.compile(r"(?:(Current thread|Thread) (0x[0-9a-f]+)|(Stack))\b.* \(most recent call ")
_FRAME = re.compile(r'  File "(.*)", line (\d+|\?\?\?) in (.*)')


@dataclass(frozen=True, slots=True)
class Frame:
    """``line`` is None where the interpreter could not tell."""

    file: str
    line: int | None
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line or '?'} in {self.function}"


@dataclass(frozen=True, slots=True)
class Thread:
    """Its frames, the innermost first: the one that made the native call."""

    id: str
    frames: tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class Stacks:
    """The last dump. ``header`` says how the process crashed, and is empty for one that a signal
    asked for. The thread that matters is the first."""

    header: str
    threads: tuple[Thread, ...]

    @property
    def top(self) -> Frame | None:
        return next((thread.frames[0] for thread in self.threads[:1] if thread.frames), None)

    def lines(self) -> list[str]:
        """What matters of it, for a log."""
        frames = self.threads[0].frames if self.threads else ()
        return [line for line in (self.header, *(f"  {frame}" for frame in frames)) if line]

    def to_dict(self) -> dict[str, Any]:
        return {
            "header": self.header,
            "threads": [
                {
                    "id": thread.id,
                    "frames": [
                        {"file": f.file, "line": f.line, "function": f.function}
                        for f in thread.frames
                    ],
                }
                for thread in self.threads
            ],
        }


def read_stacks(text: str) -> Stacks | None:
    """The last dump in ``text``; None if there is none.

    A dump names the thread that crashed, or that took the signal: the main one, which does the
    work. Where none is named it is the main one too, which is listed last because it is the oldest.
    """
    header, threads, named = "", dict[str, Thread](), ""
    id, frames = "", list[Frame]()
    for line in text.splitlines():
        if line.startswith(_CRASH):
            header, threads, named, id = line.rstrip(), {}, "", ""
        elif (began := _THREAD.match(line)) is not None:
            id, frames = began[2] or began[3], []
            if id in threads:
                # Another dump has begun.
                header, threads, named = "", {}, ""
            threads[id] = Thread(id, ())
            named = named if began[1] == "Thread" else id
        elif id and (found := _FRAME.fullmatch(line.rstrip())) is not None:
            number = int(found[2]) if found[2].isdecimal() else None
            frames.append(Frame(found[1], number, found[3]))
            threads[id] = Thread(id, tuple(frames))
    if not header and not threads:
        return None
    first = named or next(reversed(threads), "")
    kept = [threads[id] for id in sorted(threads, key=lambda id: id != first)]
    return Stacks(header, tuple(kept[:MOST_THREADS]))
