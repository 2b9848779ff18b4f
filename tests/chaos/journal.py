"""What a client did, in a file that outlives its death; and all files together, as one story.

A line is one record, written by one call to the system before and after what it tells of, so that
SIGKILL costs at most the line that is being written. Times are those of the machine's monotonic
clock, which all processes share: a call that ended before another began has the lower ones.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.book import Book, Call, Chunk
from tests.chaos.contents import Contents, How, Made
from thoth_core.errors import ThothError

Record = dict[str, Any]


class Journal:
    """May be written to from several threads. ``life`` is which process of this client writes: 0,
    and one more after each death."""

    def __init__(self, path: Path, life: int) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._life = life
        self._asked = itertools.count(1)
        # The life before may have left half a line.
        os.write(self._file, b"\n")

    def write(self, kind: str, **more: object) -> None:
        record = {"at": time.monotonic(), "life": self._life, "kind": kind, **more}
        os.write(self._file, json.dumps(record).encode() + b"\n")

    def ask(self, name: str, call: Callable[[], object]) -> ThothError | None:
        """Make a call of the client and write down that, and how, it ended; its error."""
        number = next(self._asked)
        self.write("ask", n=number, name=name)
        try:
            call()
        except ThothError as problem:
            self.write("error", n=number, code=problem.code, message=str(problem))
            return problem
        self.write("answer", n=number)
        return None

    def close(self) -> None:
        os.close(self._file)


class JournalBook(Book):
    """A book whose every step is in the journal first."""

    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self._journal = journal
        self._numbers: dict[int, int] = {}

    def begin(self, states: Mapping[str, Chunk | None]) -> Call:
        number = len(self._numbers) + 1
        made = next((each for each in states.values() if isinstance(each, Made)), None)
        what = {} if made is None else {"write": made.write, "how": made.how}
        self._journal.write("begin", n=number, ids=[*states], **what)
        call = super().begin(states)
        self._numbers[id(call)] = number
        return call

    def acknowledged(self, call: Call, superseded: Iterable[str] = ()) -> None:
        over = [*superseded]
        super().acknowledged(call, over)
        self._journal.write("acknowledged", n=self._numbers[id(call)], superseded=over)

    def unknown(self, call: Call) -> None:
        super().unknown(call)
        self._journal.write("unknown", n=self._numbers[id(call)])


# -- reading ------------------------------------------------------------------------------------


def read(path: Path) -> list[Record]:
    """The records of a file; without what its writer was writing when it was killed."""
    if not path.exists():
        return []
    found = []
    for line in path.read_bytes().split(b"\n"):
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


@dataclass(frozen=True)
class Failure:
    """A call that was answered with an error. Times are those of the journals."""

    name: str
    code: str
    message: str
    began: float
    ended: float


@dataclass
class Story:
    """What all clients did and saw."""

    book: Book = field(default_factory=Book)
    asked: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    longest: dict[str, float] = field(default_factory=dict)
    #: Calls that were open when their client was killed.
    cut_off: int = 0
    #: Calls without an answer whose client was not killed, or with more than one.
    unanswered: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    #: Messages that came for no open call: what a second answer would be.
    dropped: int = 0
    #: Answers that cannot be right, in words.
    wrong: list[str] = field(default_factory=list)

    @property
    def requests(self) -> int:
        return self.asked.total()

    @property
    def answers(self) -> int:
        return self.answered.total() + len(self.failures)

    def problems(self) -> list[str]:
        said = [f"no answer: {each}" for each in self.unanswered[:5]]
        said += [f"answered twice: {each}" for each in self.twice[:5]]
        if self.dropped:
            said.append(f"{self.dropped} messages were answers to nothing")
        return said + sorted(set(self.wrong))[:20]


def told(journals: Mapping[str, list[Record]], killed: set[tuple[str, int]], c: Contents) -> Story:
    """The story of the clients by name. ``killed`` are the names and lives that were ended."""
    story = Story()
    for name, records in journals.items():
        _calls(story, name, records, killed)
    _writes(story.book, journals, c)
    return story


def _calls(story: Story, name: str, records: list[Record], killed: set[tuple[str, int]]) -> None:
    open_calls: dict[tuple[int, int], Record] = {}
    done: set[tuple[int, int]] = set()
    for record in records:
        key = (record["life"], record.get("n", 0))
        match record["kind"]:
            case "ask":
                open_calls[key] = record
                story.asked[record["name"]] += 1
            case "answer" | "error":
                asked = open_calls.pop(key, None)
                if asked is None:
                    story.twice.append(f"{name}, call {key}" + (" again" if key in done else ""))
                    continue
                done.add(key)
                seconds = record["at"] - asked["at"]
                what = asked["name"]
                story.longest[what] = max(seconds, story.longest.get(what, 0.0))
                if record["kind"] == "answer":
                    story.answered[what] += 1
                else:
                    said = (record["code"], record["message"])
                    story.failures.append(Failure(what, *said, asked["at"], record["at"]))
            case "wrong":
                story.wrong.append(record["what"])
            case "dropped":
                story.dropped += record["messages"]
    for (life, number), asked in open_calls.items():
        if (name, life) in killed:
            story.cut_off += 1
        else:
            story.unanswered.append(f"{asked['name']}, call {number} of {name} in life {life}")


def in_order(journals: Mapping[str, list[Record]]) -> Iterator[tuple[str, Record]]:
    """All records of all clients, the earliest first."""
    every = [(name, each) for name, records in journals.items() for each in records]
    return iter(sorted(every, key=lambda pair: pair[1]["at"]))


def _writes(book: Book, journals: Mapping[str, list[Record]], contents: Contents) -> None:
    calls: dict[tuple[str, int, int], Call] = {}
    for name, record in in_order(journals):
        key = (name, record["life"], record.get("n", 0))
        match record["kind"]:
            case "begin":
                how = How(record["how"]) if "how" in record else None
                states = contents.states(record.get("write", ""), record["ids"], how)
                # Not that of a JournalBook: it is in the journal already.
                calls[key] = Book.begin(book, states)
            case "acknowledged":
                Book.acknowledged(book, calls[key], record["superseded"])
            case "unknown":
                Book.unknown(book, calls[key])
            case "settled":
                # The next life of a client that was killed: nothing of the old one is to come.
                for other, call in calls.items():
                    if other[0] == name and other[1] < record["life"] and call.ended is None:
                        Book.unknown(book, call)


def restored(book: Book, name: str, records: list[Record], contents: Contents) -> None:
    """Bring a new life's ``book`` to what the journal of its former ones says."""
    _writes(book, {name: records}, contents)
