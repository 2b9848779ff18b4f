"""How much the ledger holds, and how much of its file is used. Nothing here writes."""

from __future__ import annotations

from dataclasses import dataclass

from store_worker.ledger import Ledger
from store_worker.ledger_errors import translated


@dataclass(frozen=True, slots=True)
class Held:
    """``chunks`` are those of all collections, those that are being made included, and each has a
    vector; ``staged`` the chunks of documents that are not committed yet, of which
    ``staged_vectors`` have one; ``unindexed`` the chunks that no index takes."""

    chunks: int
    staged: int
    staged_vectors: int
    unindexed: int


def held(ledger: Ledger) -> Held:
    with translated(ledger.path):
        found = ledger.db.execute(
            "SELECT (SELECT count(*) FROM chunks), (SELECT count(*) FROM staged),"
            " (SELECT count(*) FROM staged WHERE computed = 1), (SELECT count(*) FROM unindexed)"
        ).fetchone()
    return Held(*found)


def of_collection(ledger: Ledger, collection: int) -> tuple[int, int]:
    """How many chunks of a collection are staged, and how many no index takes."""
    with translated(ledger.path):
        staged, unindexed = ledger.db.execute(
            "SELECT (SELECT count(*) FROM staged WHERE collection = ?1),"
            " (SELECT count(*) FROM unindexed WHERE collection = ?1)",
            (collection,),
        ).fetchone()
    return int(staged), int(unindexed)


def free_bytes(ledger: Ledger) -> int:
    """Bytes of the file that hold nothing any more."""
    with translated(ledger.path):
        pages = ledger.db.execute("PRAGMA freelist_count").fetchone()[0]
        return int(pages) * int(ledger.db.execute("PRAGMA page_size").fetchone()[0])
