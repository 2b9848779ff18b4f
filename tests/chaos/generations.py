"""Collections that another model made, embedded anew with the one that runs while all else dies,
and the store compacted in between."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable

from embed_worker.engines.fake import hashed_vector
from tests.chaos.book import Book, Chunk
from thoth_core import Thoth
from thoth_core.errors import ThothError

#: How many, and the chunks of each.
COLLECTIONS, ROWS = 6, 400
#: Seconds between two compactions.
BETWEEN = 5.0
#: Calls that may end in an error, of all together.
MOST_ERRORS = 50
OLD_MODEL = "fake/24"


def names() -> list[str]:
    return [f"old-{number}" for number in range(COLLECTIONS)]


def make(thoth: Thoth) -> None:
    """Store them, with the model that runs."""
    for name in names():
        ids, texts = [f"{name}-{row}" for row in range(ROWS)], _texts(name)
        thoth.add(texts, [{"row": row} for row in range(ROWS)], ids, name)


def book_of(name: str, dimension: int) -> Book:
    """What is to be there when it has been embedded anew."""
    book = Book()
    for row, text in enumerate(_texts(name)):
        chunk = Chunk(text, {"row": row}, hashed_vector(text, dimension))
        book.acknowledged(book.begin({f"{name}-{row}": chunk}))
    return book


def _texts(name: str) -> list[str]:
    return [f"what the chunk {row} of {name} says" for row in range(ROWS)]


class Reembedding(threading.Thread):
    """One after the other, ``pause`` seconds between, each called for again until it is done."""

    def __init__(self, connect: Callable[[], Thoth], pause: float) -> None:
        super().__init__(name="reembedding", daemon=True)
        self.done: list[str] = []
        self.compactions = 0
        self.errors: Counter[str] = Counter()
        self.problem: BaseException | None = None
        self.hurry = threading.Event()
        self._connect = connect
        self._pause = pause

    def run(self) -> None:
        try:
            with self._connect() as thoth:
                for name in names():
                    self._compact_until(thoth, time.monotonic() + self._pause)
                    while name not in self.done:
                        self._one(thoth, name)
        except BaseException as problem:
            self.problem = problem

    def _compact_until(self, thoth: Thoth, end: float) -> None:
        while time.monotonic() < end and not self.hurry.wait(BETWEEN):
            if self._try(thoth.compact):
                self.compactions += 1

    def _one(self, thoth: Thoth, name: str) -> None:
        if self._try(lambda: thoth.reembed(name)):
            self.done.append(name)

    def _try(self, call: Callable[[], object]) -> bool:
        try:
            call()
        except ThothError as problem:
            self.errors[problem.code] += 1
            if self.errors.total() > MOST_ERRORS:
                raise
            return False
        return True
