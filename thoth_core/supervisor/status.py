"""What ``status`` says. Pure: from slots, dispatch and children to one mapping."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from thoth_core.supervisor.slots import Slot, State

SCHEMA_VERSION = 1


def worker_status(
    slot: Slot,
    pid: int | None,
    beat: Mapping[str, Any],
    busy: bool,
    over: str | None = None,
    said: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """One entry of ``workers``. ``over``: why it is over a bound and not replaced yet; ``said``:
    what it said of itself when it was ready."""
    said = said if said is not None and pid is not None else {}
    versions = said.get("versions")
    state = "BUSY" if busy and slot.state is State.READY else slot.state.value
    exit = slot.last_exit
    entry: dict[str, Any] = {
        "name": slot.name,
        "role": slot.role,
        "lane": slot.lane or None,
        "model": slot.model or None,
        "engine": versions.get("engine") if isinstance(versions, Mapping) else None,
        "precision": said.get("precision"),
        # Those that its libraries say they use, by library.
        "threads": said.get("threads") or None,
        # Seconds since 1970; a provider told it to wait.
        "waiting_until": beat.get("waiting_until") if pid is not None else None,
        # What takes long before it is ready; None: nothing that it knows of.
        "doing": (beat.get("doing") or None) if pid is not None else None,
        "pid": pid,
        # A slot that was stopped for good is being ended with the service.
        "state": "STOPPING" if slot.state is State.STOPPED else state,
        "restarts": slot.restarts,
        "rss_bytes": beat.get("rss_bytes") if pid is not None else None,
        "memory_bytes": beat.get("memory_bytes") if pid is not None else None,
        "recycling": over,
        "last_exit": None
        if exit is None
        else {
            "reason": exit.reason,
            "signal": exit.signal,
            "code": exit.code,
            "at": exit.at,
            "report": exit.report or None,
        },
    }
    if slot.failure is not None:
        entry["failure"] = dict(slot.failure)
    return entry


def service_state(slots: list[Slot], *, stopping: bool) -> str:
    """``ready`` when everything is, ``degraded`` while something that works is missing a part,
    ``starting`` before the first time, ``failed`` when no work of some kind can be done."""
    if stopping:
        return "stopping"
    store = [s for s in slots if s.role == "store"]
    embed = [s for s in slots if s.role == "embed"]
    if all(s.hopeless for s in store) or all(s.hopeless for s in embed):
        return "failed"
    if all(s.state is State.READY for s in slots):
        return "ready"
    working = any(s.state is State.READY for s in store) and any(
        s.state is State.READY for s in embed
    )
    if working or any(s.restarts for s in slots):
        return "degraded"
    return "starting"


def store_status(ready: Mapping[str, Any], beat: Mapping[str, Any], up: bool) -> dict[str, Any]:
    """The ``store`` entry: what the store worker said last. ``index_state`` is null while no
    store is there to say."""

    def said(name: str) -> Any:
        return beat.get(name, ready.get(name))

    return {
        "chunks": said("chunks"),
        "index_state": said("index_state") if up else None,
        "index": said("index") if up else None,
        "unindexed": said("unindexed") or [],
        "epoch": ready.get("epoch"),
    }
