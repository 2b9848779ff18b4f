"""What is known of a worker's end, as one mapping that is kept. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from thoth_core.supervisor.slots import Exit, Slot, State
from thoth_core.supervisor.stacks import Stacks

SCHEMA_VERSION = 1
#: Ends that we or somebody else asked for. Any other signal is a crash, whatever was planned.
ASKED_FOR = frozenset({None, "SIGTERM", "SIGKILL", "SIGINT", "SIGHUP"})
#: Characters of a line of output that are kept.
LINE = 500


@dataclass(frozen=True, slots=True)
class Facts:
    """What the supervisor knows besides slot and exit. ``held`` is of ``in_flight.held_by``,
    ``ready`` what the worker said of itself, ``beat`` its last. ``uptime`` is in seconds."""

    pid: int
    incarnation: str
    uptime: float
    model: str
    versions: Mapping[str, str]
    held: Mapping[str, Any] = field(default_factory=dict)
    ready: Mapping[str, Any] = field(default_factory=dict)
    beat: Mapping[str, Any] = field(default_factory=dict)
    output: Sequence[str] = ()
    stacks: Stacks | None = None
    stalled: bool = False


def is_planned(slot: Slot, exit: Exit, *, stalled: bool) -> bool:
    """Whether the worker ended because we wanted it to, and as we wanted it to."""
    return bool(slot.ending) and not stalled and exit.signal in ASKED_FOR


def told_already(slot: Slot, exit: Exit) -> str:
    """The id of the report of the slot's last death, if that was the same: of a slot that was given
    up and is only tried now and then. Else it would crowd out all other reports within an hour."""
    return "" if slot.deaths < slot.policy.deaths else report_of_same(slot.last_exit, exit)


def report_of_same(last: Exit | None, exit: Exit) -> str:
    """The id of the report of ``last``, if ``exit`` is the same kind of end; else ""."""
    if last is None:
        return ""
    same = (exit.reason, exit.signal, exit.code) == (last.reason, last.signal, last.code)
    return last.report if same else ""


def report_id(wall: float, incarnation: str) -> str:
    """Sorts by time; no two processes have the same."""
    moment = datetime.fromtimestamp(wall, UTC)
    return f"{moment:%Y%m%d-%H%M%S}-{incarnation[:6]}"


def death_report(id: str, slot: Slot, exit: Exit, facts: Facts) -> dict[str, Any]:
    """The report, before the slot hears of the death. Every value is plain JSON."""
    state = slot.before_stopping if slot.state is State.STOPPING else slot.state
    return {
        **_common(id, exit, facts, state),
        "worker": slot.name,
        "role": slot.role,
        "lane": slot.lane or None,
        "restarts": slot.restarts,
        "deaths_without_work": slot.deaths,
        "model": facts.model if slot.role == "embed" else None,
        "failure": dict(slot.failure) if exit.boot_failure and slot.failure else None,
    }


def index_report(exit: Exit, facts: Facts) -> dict[str, Any]:
    """The same of an index process, which has no slot: the store starts it and sees its end. The
    incarnation is the store's, and so are output and versions."""
    # One store has several of them in a second at times.
    id = report_id(exit.at, f"{facts.pid:06x}")
    return {
        **_common(id, exit, facts, State.READY),
        "worker": "index",
        "role": "index",
        "lane": None,
        "restarts": None,
        "deaths_without_work": None,
        "model": None,
        "failure": None,
    }


def index_held(op: str, seconds: float) -> dict[str, Any]:
    """What an index process was at, in the form of what a worker has in hand."""
    calls = [{"call": "index", "kind": op, "seconds": round(seconds, 3)}] if op else []
    return {"units": [], "calls": calls, "handed": 0}


def _common(id: str, exit: Exit, facts: Facts, state: State) -> dict[str, Any]:
    busy = bool(facts.held.get("units") or facts.held.get("calls"))
    stacks = facts.stacks
    said = facts.ready.get("versions")
    return {
        "schema_version": SCHEMA_VERSION,
        "id": id,
        "at": round(exit.at, 3),
        "pid": facts.pid,
        "incarnation": facts.incarnation,
        "reason": exit.reason,
        "signal": exit.signal,
        "code": exit.code,
        "stalled": facts.stalled,
        "state": "BUSY" if busy and state is State.READY else state.value,
        "uptime_s": round(facts.uptime, 3),
        "in_flight": dict(facts.held),
        "top_frame": str(stacks.top) if stacks is not None and stacks.top is not None else None,
        "stacks": stacks.to_dict() if stacks is not None else None,
        "output": [line[:LINE] for line in facts.output],
        "rss_bytes": facts.beat.get("rss_bytes", facts.ready.get("rss_bytes")),
        "runtimes": list(facts.ready.get("runtimes") or ()),
        "versions": dict(facts.versions) | (dict(said) if isinstance(said, Mapping) else {}),
    }
