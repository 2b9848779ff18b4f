"""A service's status as lines for a person."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any


def is_healthy(status: Mapping[str, Any]) -> bool:
    """Whether every part is there and works; a part that is being restarted is not."""
    store = status.get("store")
    index = store.get("index_state") if isinstance(store, Mapping) else None
    return status.get("state") == "ready" and index in (None, "healthy", "verifying")


def status_lines(status: Mapping[str, Any]) -> list[str]:
    """One line for the service, one for each worker and one for the store."""
    uptime = status.get("uptime_s")
    up = f", up {duration(float(uptime))}" if isinstance(uptime, int | float) else ""
    lines = [f"service: {status.get('state', '?')} (pid {status.get('pid', '?')}{up})"]
    models = [m.get("name") if isinstance(m, Mapping) else m for m in status.get("models") or ()]
    if models:
        lines.append(f"models: {', '.join(str(m) for m in models)}")
    lines += [_worker(w) for w in status.get("workers") or ()]
    if status.get("lacking"):
        lines.append(f"lacking: {status['lacking']}")
    if status.get("quarantined"):
        lines.append(f"quarantine: {status['quarantined']} texts, see thoth quarantine")
    store = status.get("store")
    if isinstance(store, Mapping):
        plain = {k: v for k, v in store.items() if isinstance(v, int | float | str)}
        lines.append("store: " + ", ".join(f"{k} {v}" for k, v in plain.items()))
        lines += _index(store)
    queue = status.get("queue")
    if isinstance(queue, Mapping):
        waiting = [f"{name} {count:,}" for name, count in queue.items() if count]
        lines.append("queue: " + (", ".join(waiting) or "empty"))
    counters = status.get("counters")
    if isinstance(counters, Mapping):
        counted = [f"{name} {count:,}" for name, count in counters.items() if count]
        lines.append("counted: " + (", ".join(counted) or "nothing yet"))
    return lines


def _index(store: Mapping[str, Any]) -> list[str]:
    index = store.get("index")
    if not isinstance(index, Mapping):
        return []
    parts = [f"pid {index.get('pid') or '-'}", f"{index.get('restarts', 0)} restarts"]
    rss = index.get("rss_bytes")
    if isinstance(rss, int):
        parts.append(f"{rss / 1e6:.0f} MB")
    filled = index.get("progress")
    if isinstance(filled, Mapping):
        parts.append(f"{filled.get('done', 0):,} of {filled.get('total', 0):,} rows")
    if index.get("pending"):
        parts.append(f"{index['pending']:,} changes behind")
    if index.get("reason") and store.get("index_state") != "healthy":
        parts.append(str(index["reason"]))
    lines = [f"  index: {store.get('index_state', '?')} ({', '.join(parts)})"]
    lines += [
        f"  left out of the index: {row.get('id')} of {row.get('collection')}: {row.get('reason')}"
        for row in store.get("unindexed") or ()
        if isinstance(row, Mapping)
    ]
    return lines


def _worker(worker: Mapping[str, Any]) -> str:
    parts = [f"pid {worker.get('pid') or '-'}", f"{worker.get('restarts', 0)} restarts"]
    rss = worker.get("rss_bytes")
    if isinstance(rss, int):
        parts.append(f"{rss / 1e6:.0f} MB")
    if worker.get("engine"):
        parts.append(f"{worker['engine']} {worker.get('precision') or ''}".rstrip())
    if worker.get("doing"):
        parts.append(str(worker["doing"]))
    if isinstance(worker.get("waiting_until"), int | float):
        at = time.strftime("%H:%M:%S", time.localtime(worker["waiting_until"]))
        parts.append(f"waits until {at}, as the provider says")
    last = worker.get("last_exit")
    if isinstance(last, Mapping):
        parts.append(f"last exit: {last.get('signal') or last.get('reason') or '?'}")
    if worker.get("recycling"):
        parts.append(str(worker["recycling"]))
    failure = worker.get("failure")
    if isinstance(failure, Mapping):
        parts.append(str(failure.get("message", "")))
    return f"  {worker.get('name', '?')}: {worker.get('state', '?')} ({', '.join(parts)})"


def duration(seconds: float) -> str:
    """``"3 h 5 min"``, ``"42 s"``."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    hours = whole // 3600
    if hours < 48:
        return f"{hours} h {whole % 3600 // 60} min"
    return f"{hours // 24} d {hours % 24} h"
