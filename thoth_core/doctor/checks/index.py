"""The Chroma index against the ledger: by the running service, or by its files where none runs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any

from thoth_core.chroma_dir.catalog import Catalog
from thoth_core.chroma_dir.check import check as look
from thoth_core.chroma_dir.database import opened as opened_index
from thoth_core.doctor.checks.ledger import NAME
from thoth_core.doctor.checks.ledger import opened as opened_ledger
from thoth_core.doctor.context import Context
from thoth_core.doctor.result import Result, failed, ok, skipped, warn
from thoth_core.locks import holder

#: Metadata of a Chroma collection that says which collection of which ledger it is the index of.
_LEDGER, _OWNER = "thoth_ledger", "thoth_collection"
#: What compares, and mends what it finds.
VERIFY = ("thoth", "verify")
#: Of what is wrong, so much is told.
_TOLD = 5


def check(context: Context) -> Result:
    if context.status is not None:
        return _verified(context) if context.deep else _as_told(context.status)
    data = context.settings.data_dir
    chroma = data / "chroma"
    if not chroma.is_dir():
        return ok(f"there is none yet: {chroma}")
    if (pid := holder(data / "lock")) is not None:
        # What is being written is not yet as it will be.
        return skipped(f"process {pid} has it, and no service answers")
    # SQLite may take its time with --deep.
    found = [str(each) for each in look(chroma, seconds=1e9 if context.deep else 10.0)]
    if found:
        return failed(
            f"the index is damaged: {found[0]}",
            "; ".join(found[:_TOLD]),
            acts=[VERIFY],
            findings=found,
        )
    try:
        rows, differing = _compared(context)
    except sqlite3.DatabaseError as problem:
        return skipped(f"its files are in order; the ledger cannot be compared: {problem}")
    if differing:
        # The next start tells the index what it lacks; a whole look decides what else is wrong.
        return failed(
            f"{len(differing):,} of {rows:,} chunks are not in the index as they are in the ledger",
            ", ".join(differing[:_TOLD]),
            acts=[VERIFY],
            differing=len(differing),
        )
    return ok(f"its files are in order, and its ids are those of {rows:,} chunks", rows=rows)


def _as_told(status: Mapping[str, Any]) -> Result:
    store = status["store"]
    state, index = store.get("index_state"), store.get("index") or {}
    rows = store.get("chunks")
    seen = (
        f"{state}, generation {index.get('generation')}, {rows:,} chunks" if state else "not known"
    )
    details: dict[str, Any] = {"state": state, "unindexed": store.get("unindexed") or []}
    if state == "healthy":
        if details["unindexed"]:
            return warn(
                f"{seen}; {len(details['unindexed'])} chunks are in no index",
                "they end the process that takes them into one; searches scan them",
                fix="thoth verify",
                **details,
            )
        return ok(seen, **details)
    if state == "damaged":
        return failed(
            seen,
            f"it was given up: {index.get('reason') or 'three new ones came to nothing'}; searches "
            "go by scan",
            acts=[("thoth-supervisor", "restart", "store")],
            **details,
        )
    if state is None:
        return warn(seen, "no store is ready", fix="thoth-supervisor status", **details)
    why = str(index.get("reason") or index.get("begun_because") or "")
    if state == "verifying":
        return ok(f"{seen}: it is compared with the ledger now", **details)
    return warn(
        seen, f"it is being made anew{f': {why}' if why else ''}", fix="thoth verify", **details
    )


def _verified(context: Context) -> Result:
    """All of it, as ``thoth verify`` does."""
    from thoth_core import Thoth

    with Thoth(context.settings, autostart=False) as thoth:
        report = thoth.verify()
    seen = (
        f"{report['rows']:,} chunks compared, {report.get('found', 0)} of {report.get('asked', 0)} "
        f"sampled vectors found, {report['index_state']}"
    )
    if report["findings"] or report["differing"]:
        return failed(
            f"{seen}; {report['differing']:,} differ",
            "; ".join(map(str, report["findings"][:_TOLD])) or "rows were not as stored",
            acts=[VERIFY],
        )
    if report["index_state"] not in ("healthy", "verifying"):
        return failed(seen, "too few of the sampled vectors were found", acts=[VERIFY])
    return ok(seen, rows=report["rows"])


def _compared(context: Context) -> tuple[int, list[str]]:
    """Chunks in the ledger, and the ids that only one of the two has. Not among them: what the
    index has yet to be told, and what no index takes."""
    data = context.settings.data_dir
    with opened_ledger(data / NAME) as ledger, opened_index(data / "chroma") as index:
        ident = ledger.execute("SELECT value FROM meta WHERE key = 'ledger'").fetchone()
        rows = int(ledger.execute("SELECT count(*) FROM chunks").fetchone()[0])
        catalog = Catalog(index)
        differing: list[str] = []
        for theirs in catalog.collections():
            owner = theirs.metadata.get(_OWNER)
            if ident is None or theirs.metadata.get(_LEDGER) != ident[0]:
                continue
            mine = set(_ids(ledger, "SELECT id FROM chunks WHERE collection = ?", owner))
            excused = set(_ids(ledger, "SELECT id FROM changes WHERE collection = ?", owner))
            excused |= set(_ids(ledger, "SELECT id FROM unindexed WHERE collection = ?", owner))
            differing += sorted(mine.symmetric_difference(catalog.ids(theirs)) - excused)
    return rows, differing


def _ids(db: sqlite3.Connection, query: str, collection: Any) -> Iterator[str]:
    for (id,) in db.execute(query, (collection,)):
        yield str(id)
