"""Which rows the index process was writing when it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from store_worker import ledger_queries
from store_worker.ledger import Ledger
from store_worker.recovery_steps import Ask, skipped
from store_worker.replay import changed_ids


def rows_in_hand(ledger: Ledger, asked: Ask) -> Mapping[int, Sequence[str]]:
    """Collection to ids; nothing if it was asked no writing."""
    fields = asked.fields
    if asked.op == "rows":
        return {fields["collection"]: fields["ids"]}
    if asked.op == "apply":
        found = changed_ids(ledger.pending(fields["after"], fields["limit"]))
    elif asked.op == "fill":
        collection = fields["collection"]
        rows = ledger_queries.ids_between(
            ledger, collection, fields["after"], fields["upto"], fields["limit"]
        )
        found = {collection: [id for _, id in rows]}
    else:
        return {}
    skip = skipped(fields)
    return {c: [id for id in ids if id not in skip.get(c, ())] for c, ids in found.items()}
