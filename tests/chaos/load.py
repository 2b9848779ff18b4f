"""One client process of the chaos program: ``python -m tests.chaos.load JSON``.

It calls the service without a pause until its standard input closes, and keeps a journal of every
call. It may be killed at any moment: the next process of the same name, one life later, reads the
journal and goes on. Whatever it finds wrong stands in the journal too.
"""

from __future__ import annotations

import json
import random
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from embed_worker.engines.fake import hashed_vector
from tests.chaos import files, stable
from tests.chaos.clients import ChaosClient, Told
from tests.chaos.contents import Contents
from tests.chaos.journal import Journal, JournalBook, read, restored
from thoth_core import Thoth
from thoth_core.errors import ThothError

#: Seconds that a client waits after an error, so that none spins.
AFTER_ERROR = 0.05
#: Texts of one ``embed``, as many as somebody waits for, and many.
FEW, MANY = 16, 400
ROLES = ("writer", "ingester", "reader", "embedder")


@dataclass(frozen=True)
class Order:
    """What a client process is told. ``known`` is whether the model's vectors are."""

    role: str
    number: int
    life: int
    seed: int
    folder: str
    dimension: int
    known: bool

    @property
    def name(self) -> str:
        return f"{self.role}-{self.number}"

    @property
    def journal(self) -> Path:
        return Path(self.folder) / f"{self.name}.jsonl"

    def to_json(self) -> str:
        return json.dumps(asdict(self))


class Process:
    """What all roles share: the client, the journal, and when to stop."""

    def __init__(self, order: Order, stop: threading.Event) -> None:
        self.order = order
        self.stop = stop
        self.records = read(order.journal)
        self.journal = Journal(order.journal, order.life)
        self.contents = Contents(order.dimension, order.known)
        self.chance = random.Random(f"{order.seed}-{order.name}-{order.life}")
        self.thoth = Thoth()
        self._dropped = 0

    def settle(self) -> None:
        """What the life before had sent is with the service, or lost, once anything is answered
        after it."""
        while not self.stop.is_set():
            if self.ask("settle", self.thoth.collections) is None:
                self.journal.write("settled")
                return

    def ask(self, name: str, call: Callable[[], object]) -> ThothError | None:
        problem = self.journal.ask(name, call)
        dropped = self.thoth._connection.dropped
        if dropped > self._dropped:
            self.journal.write("dropped", messages=dropped - self._dropped)
        self._dropped = dropped
        if problem is not None:
            self.stop.wait(AFTER_ERROR)
        return problem

    def wrong(self, what: str) -> None:
        self.journal.write("wrong", what=f"{self.order.name}: {what}")


class Writer(ChaosClient):
    """Writes, deletes and reads ids of its own, and some that all writers share."""

    def __init__(self, process: Process) -> None:
        order, self._process = process.order, process
        book = JournalBook(process.journal)
        restored(book, order.name, process.records, process.contents)
        super().__init__(
            order.number,
            order.seed,
            lambda: process.thoth,
            book,
            process.stop,
            process.contents,
            order.life,
        )

    def _timed(self, action: Callable[[], None]) -> None:
        self._process.ask(action.__name__.strip("_"), action)
        for what in self.told.wrong:
            self._process.wrong(what)
        self.told = Told()


class Reader:
    """Embeds texts few and many, and looks for rows that nobody changes."""

    def __init__(self, process: Process) -> None:
        self._process, self._chance = process, process.chance
        self._known = process.order.known
        self._calls = 0

    def run(self) -> None:
        actions = {
            self._embed_few: 10,
            self._embed_many: 6,
            self._query: 10,
            self._search: 6,
            self._get: 4,
        }
        while not self._process.stop.is_set():
            [action] = self._chance.choices([*actions], [*actions.values()])
            self._process.ask(action.__name__.strip("_"), action)

    def _embed_few(self) -> None:
        self.embed(self._chance.randint(1, FEW))

    def _embed_many(self) -> None:
        self.embed(self._chance.randint(FEW + 1, MANY))

    def embed(self, count: int) -> None:
        """So many texts that nobody has embedded before."""
        self._calls += 1
        order = self._process.order
        salt = f"({order.name} {order.life}.{self._calls})"
        some = self._chance.choices(stable.texts(), k=count)
        texts = [f"{salt} {number}: {text}" for number, text in enumerate(some)]
        vectors = self._process.thoth.embed(texts)
        if vectors.shape != (count, order.dimension) or not np.isfinite(vectors).all():
            self._process.wrong(f"{count} texts became {vectors.shape}")
        elif self._known:
            expected = np.array([hashed_vector(text, order.dimension) for text in texts])
            if not np.allclose(vectors, expected, atol=1e-6):
                self._process.wrong("an embed gave vectors of other texts")

    def _query(self) -> None:
        row = self._chance.randrange(stable.ROWS)
        hits = self._process.thoth.query(stable.text(row), k=3, collection=stable.COLLECTION)
        self._look_at(row, hits)

    def _search(self) -> None:
        row = self._chance.randrange(stable.ROWS)
        vector = stable.own_vector(row, self._process.order.dimension)
        where = {"own": True}
        hits = self._process.thoth.search(vector, 3, where=where, collection=stable.COLLECTION)
        self._look_at(row, hits, own=True)

    def _look_at(self, row: int, hits: list[Any], *, own: bool = False) -> None:
        if [hit.id for hit in hits[:1]] != [stable.id_of(row, own=own)]:
            self._process.wrong(f"row {row} was looked for, and found: {[h.id for h in hits]}")

    def _get(self) -> None:
        rows = self._chance.sample(range(stable.ROWS), 20)
        ids = [stable.id_of(row, own=False) for row in rows]
        found = self._process.thoth.get(ids=ids, collection=stable.COLLECTION)
        texts = {row.id: row.text for row in found}
        if texts != {id: stable.text(row) for id, row in zip(ids, rows, strict=True)}:
            self._process.wrong(f"get gave {len(found)} rows of 20")


class Embedder:
    """Nothing but bulk: calls of :data:`MANY` texts, for the figures."""

    def __init__(self, process: Process) -> None:
        self._process, self._calls = process, 0

    def run(self) -> None:
        texts = stable.texts()
        while not self._process.stop.is_set():
            self._calls += 1
            name = f"{self._process.order.name} {self._calls}"
            some = [f"{name}.{n} {texts[n % len(texts)]}" for n in range(MANY)]
            problem = self._process.ask("embed", lambda some=some: self._process.thoth.embed(some))
            if problem is None:
                self._process.journal.write("embedded", texts=MANY)


class Ingester:
    """Changes some of its files and ingests all of them, again and again."""

    def __init__(self, process: Process) -> None:
        order, self._process = process.order, process
        versions: dict[str, int] = {}
        for record in process.records:
            if record["kind"] == "ingest":
                versions = record["versions"]
        self._folder = files.Folder(Path(order.folder) / order.name, versions)
        self._rounds = 0

    def run(self) -> None:
        while not self._process.stop.is_set():
            self._rounds += 1
            number = self._rounds
            self._process.journal.write(
                "ingest",
                n=number,
                folder=str(self._folder.path),
                versions=self._folder.versions,
            )
            failed: list[str] = []
            problem = self._process.ask("ingest", lambda f=failed: self._ingest(f))
            kind = "ingested" if problem is None else "ingest failed"
            self._process.journal.write(kind, n=number, failed=failed)
            self._folder.change(self._process.chance)

    def _ingest(self, failed: list[str]) -> None:
        report = self._process.thoth.ingest(self._folder.path, files.COLLECTION)
        failed += [source for source, _ in report.failed]
        for source, error in report.failed:
            self._process.wrong(f"{Path(source).name} was refused: {error.code}: {error}")


def main() -> None:
    order = Order(**json.loads(sys.argv[1]))
    stop = threading.Event()

    def watch() -> None:
        # Its end is also that of whoever started us.
        sys.stdin.buffer.read()
        stop.set()

    threading.Thread(target=watch, daemon=True).start()
    process = Process(order, stop)
    if order.life:
        process.settle()
    with process.thoth:
        match order.role:
            case "writer":
                writer = Writer(process)
                writer.run()
                if writer.problem is not None:
                    raise writer.problem
            case "ingester":
                Ingester(process).run()
            case "embedder":
                Embedder(process).run()
            case _:
                Reader(process).run()
    process.journal.write("end")


if __name__ == "__main__":
    main()
