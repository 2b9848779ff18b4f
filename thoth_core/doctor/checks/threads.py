"""How many threads computed in each process of the scratch service, beside what is configured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from thoth_core.doctor.context import Context
from thoth_core.doctor.result import Result, ok, skipped, warn

#: A thread counts that computed for so many milliseconds, and for this share of the busiest one.
LEAST_MS, SHARE = 20.0, 0.2


def check(context: Context) -> Result:
    if not context.scratch:
        return skipped("there was no round trip to see them at")
    shown, over = [], []
    for each in context.scratch:
        if each["name"] == "supervisor":
            continue
        computed, configured = computing(each["threads"]), _configured(each)
        says = each.get("says") or {}
        told = "".join(f", {library} says {count}" for library, count in says.items())
        shown.append(
            f"{each['name']}: {len(computed)} of {len(each['threads'])} computed, "
            f"{configured} configured{told}"
        )
        if len(computed) > configured:
            over.append(f"{each['name']}: {', '.join(computed)}")
    seen = "; ".join(shown)
    details: dict[str, Any] = {"processes": context.scratch}
    if over:
        return warn(
            seen,
            "more threads than configured compete for the cores: " + "; ".join(over),
            fix="thoth doctor --bundle doctor.zip",
            **details,
        )
    return ok(seen, **details)


def computing(threads: list[dict[str, Any]]) -> list[str]:
    """The names of those that did a share of the work."""
    busiest = max((each["ms"] for each in threads), default=0.0)
    return [each["name"] for each in threads if each["ms"] >= max(LEAST_MS, SHARE * busiest)]


def _configured(process: Mapping[str, Any]) -> int:
    # Chroma's pool puts rows into the graph; elsewhere one library computes with OpenMP's number.
    name = "RAYON_NUM_THREADS" if process["name"] == "index" else "OMP_NUM_THREADS"
    told = str(process["configured"].get(name) or "1")
    own = int(told) if told.isdecimal() else 1
    # The thread that looks after the sockets works beside them.
    return own + 1 if process["name"] in ("index", "store") else own
