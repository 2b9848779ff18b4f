"""What a store has, asked of its service row by row, for the check against the book."""

from __future__ import annotations

import random
from typing import Any

from tests.chaos.book import Book, Hit, Seen, Vector
from tests.chaos.clients import as_chunk
from thoth_core import Thoth

#: Of the ids that are gone so many are looked for, by the vectors that they had last.
GONE = 300
#: Rows that are asked for at once.
_PAGE = 500


def all_rows(thoth: Thoth, collection: str) -> list[Any]:
    """Every row, with its vector."""
    found: list[Any] = []
    while True:
        some = thoth.get(limit=_PAGE, offset=len(found), include=["vectors"], collection=collection)
        found += some
        if len(some) < _PAGE:
            return found


def seen_in(thoth: Thoth, book: Book, collection: str, seed: int) -> Seen:
    """All rows, and the hits for the vector of each, and of some that are gone."""
    rows = [(row.id, as_chunk(row)) for row in all_rows(thoth, collection)]
    there = dict(rows)

    def hits(vector: Vector) -> list[Hit]:
        found = thoth.search(vector, k=3, collection=collection)
        return [Hit(hit.id, hit.score) for hit in found]

    gone = [id for id in book.ids() if id not in there]
    chosen = random.Random(seed).sample(gone, min(GONE, len(gone)))
    return Seen(
        rows,
        {id: hits(chunk.vector) for id, chunk in there.items() if chunk.vector is not None},
        [(id, hits(each)) for id in chosen for each in book.last_vectors(id)[:1]],
    )
