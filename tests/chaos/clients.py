"""Clients that write, delete and search without a pause, and keep a book of it.

Each has ids of its own, of which it knows at any time what they are, and so checks what it reads.
All write besides to ids that they share, where only the end is checked.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.chaos.book import Book, Chunk, Vector
from tests.chaos.contents import Contents, How, Made
from thoth_core import Thoth
from thoth_core.client.results import Hit, Row
from thoth_core.errors import ThothError

DIMENSION = 32
COLLECTION = "chaos"
_THERE: Any = {"collection": COLLECTION}
#: Ids of each client, and of all together.
OWN, SHARED = 400, 150
MOST_ROWS = 50
#: Two scores that differ by less are the same.
_AS_NEAR = 1e-5


@dataclass
class Told:
    """What the clients saw, all together."""

    calls: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    longest: dict[str, float] = field(default_factory=dict)
    #: Answers that cannot be right, in words.
    wrong: list[str] = field(default_factory=list)


class ChaosClient(threading.Thread):
    """Goes on until ``stop`` is set. ``problem`` is what ended it, if that was anything else."""

    def __init__(
        self,
        number: int,
        seed: int,
        connect: Callable[[], Thoth],
        book: Book,
        stop: threading.Event,
        contents: Contents | None = None,
        life: int = 0,
    ) -> None:
        super().__init__(name=f"client-{number}", daemon=True)
        self.told = Told()
        self.problem: BaseException | None = None
        self._number = number
        self._connect = connect
        self._book = book
        self._halt = stop
        self._chance = random.Random(f"{seed}-{number}-{life}")
        self._contents = contents or Contents(DIMENSION)
        self._life = life
        self._writes = 0
        self._own = [f"c{number}-{n}" for n in range(OWN)]
        self._shared = [f"all-{n}" for n in range(SHARED)]

    def run(self) -> None:
        actions = {
            self._upsert: 20,
            self._add: 20,
            self._write_shared: 12,
            self._delete_some: 8,
            self._delete_shared: 4,
            self._delete_where: 3,
            self._get: 10,
            self._search: 20,
            self._query: 10,
        }
        try:
            with self._connect() as thoth:
                self._thoth = thoth
                while not self._halt.is_set():
                    [action] = self._chance.choices([*actions], [*actions.values()])
                    self._timed(action)
        except BaseException as problem:
            self.problem = problem

    def _timed(self, action: Callable[[], None]) -> None:
        name, start = action.__name__.strip("_"), time.monotonic()
        try:
            action()
            self.told.calls[name] += 1
        except ThothError as problem:
            self.told.errors[problem.code] += 1
            # Whoever is told that it is too much comes again later; nobody is to spin.
            self._halt.wait(0.05)
        seconds = time.monotonic() - start
        self.told.longest[name] = max(seconds, self.told.longest.get(name, 0.0))

    # -- writes -------------------------------------------------------------------------------

    def _some(self, ids: Sequence[str], most: int) -> list[str]:
        return self._chance.sample(ids, self._chance.randint(1, most))

    def _chunks(self, ids: Sequence[str], *, embedded: bool) -> Mapping[str, Chunk | None]:
        """New ones, no two of which are alike. Keys of the metadata come and go, and so do texts,
        of all rows of a call that has its own vectors."""
        self._writes += 1
        textless = not embedded and self._chance.random() < 0.1
        how = How.EMBEDDED if embedded else How.TEXTLESS if textless else How.OWN
        name = f"{self._number}-{self._life}-{self._writes}"
        return self._contents.states(name, [*ids], how)

    def _write(self, ids: Sequence[str], *, embedded: bool) -> None:
        states = self._chunks(ids, embedded=embedded)
        chunks = [each for each in states.values() if each is not None]
        metadatas = [dict(each.metadata) for each in chunks]
        call = self._book.begin(states)
        try:
            if embedded:
                texts = [each.text or "" for each in chunks]
                report = self._thoth.add(texts, metadatas, ids, COLLECTION)
                if report.failed or list(report) != ids:
                    self.told.wrong.append(f"an add was answered with {report.failed}")
                superseded = report.superseded
            else:
                vectors = np.array([each.vector for each in chunks])
                texts = [each.text for each in chunks if each.text is not None]
                done = self._thoth.upsert(ids, vectors, texts or None, metadatas, COLLECTION)
                superseded = done.superseded
        except BaseException:
            self._book.unknown(call)
            raise
        self._book.acknowledged(call, [ids[place] for place in superseded])
        self.told.rows["written"] += len(ids)

    def _upsert(self) -> None:
        self._write(self._some(self._own, MOST_ROWS), embedded=False)

    def _add(self) -> None:
        self._write(self._some(self._own, MOST_ROWS), embedded=True)

    def _write_shared(self) -> None:
        self._write(self._some(self._shared, 10), embedded=self._chance.random() < 0.5)

    def _delete_some(self) -> None:
        self._delete_ids(self._some(self._own, 30))

    def _delete_shared(self) -> None:
        self._delete_ids(self._some(self._shared, 10))

    def _delete_ids(self, ids: Sequence[str]) -> None:
        call = self._book.begin(dict.fromkeys(ids))
        try:
            self._thoth.delete(ids=ids, collection=COLLECTION)
        except BaseException:
            self._book.unknown(call)
            raise
        self._book.acknowledged(call)
        self.told.rows["deleted"] += len(ids)

    def _delete_where(self) -> None:
        """What is left of one write, where it is known what that is."""
        known = self._known()
        if not known:
            return
        write = self._chance.choice(list(known.values())).metadata["write"]
        ids = [id for id, each in known.items() if each.metadata["write"] == write]
        call = self._book.begin(dict.fromkeys(ids))
        try:
            deleted = self._thoth.delete(where={"write": str(write)}, collection=COLLECTION)
        except BaseException:
            self._book.unknown(call)
            raise
        self._book.acknowledged(call)
        self.told.rows["deleted"] += len(ids)
        if deleted > len(ids):
            self.told.wrong.append(f"{deleted} of {len(ids)} chunks were deleted")

    # -- reads --------------------------------------------------------------------------------

    def _known(self) -> dict[str, Chunk] | None:
        """The chunks that are there for certain; None if it is not certain of all."""
        found: dict[str, Chunk] = {}
        for id in self._own:
            possible = self._book.possible(id)
            if len(possible) > 1:
                return None
            if possible and possible[0] is not None:
                found[id] = possible[0]
        return found

    def _certain(self, ids: Sequence[str]) -> dict[str, Chunk | None]:
        found = {id: self._book.possible(id) for id in ids}
        return {id: possible[0] for id, possible in found.items() if len(possible) == 1}

    def _get(self) -> None:
        ids = self._chance.sample(self._own, 40)
        rows = self._thoth.get(ids=ids, include=["vectors"], collection=COLLECTION)
        there = {row.id: as_chunk(row) for row in rows}
        if len(there) != len(rows):
            self.told.wrong.append(f"get gave {len(rows)} rows of {len(there)} ids")
        for id, chunk in self._certain(ids).items():
            if (chunk is None) != (id not in there):
                self.told.wrong.append(f"get: {id} is {'there' if id in there else 'not there'}")
            elif chunk is not None and not chunk.same(there[id]):
                self.told.wrong.append(f"get: {id} is not what was acknowledged")

    def _search(self) -> None:
        def find(chunk: Chunk) -> list[Hit]:
            assert chunk.vector is not None
            return self._thoth.search(chunk.vector, 5, **_THERE)

        self._look(lambda chunk: chunk.vector is not None, find)

    def _query(self) -> None:
        self._look(_embedded, lambda chunk: self._thoth.query(chunk.text or "", 5, **_THERE))

    def _look(self, fits: Callable[[Chunk], bool], find: Callable[[Chunk], list[Hit]]) -> None:
        """Look for a chunk that is there for certain and ``fits``."""
        certain = self._certain(self._chance.sample(self._own, 20))
        there = [(id, each) for id, each in certain.items() if each is not None and fits(each)]
        if not there:
            return
        id, chunk = there[0]
        hits = find(chunk)
        names = [hit.id for hit in hits]
        if len(set(names)) < len(names):
            self.told.wrong.append(f"a search gave {names}")
        if names[:1] != [id] and not (hits and hits[0].score >= 1 - _AS_NEAR):
            self.told.wrong.append(f"a search for {id} gave {names}")
        for gone in (each for each, state in certain.items() if state is None):
            if gone in names:
                self.told.wrong.append(f"a search gave {gone}, which was deleted")


def _embedded(chunk: Chunk) -> bool:
    return isinstance(chunk, Made) and chunk.how is How.EMBEDDED


def as_chunk(row: Row) -> Chunk:
    vector: Vector = np.array(row.vector, dtype=np.float32)
    return Chunk(row.text, row.metadata or {}, vector)
