"""The running service, as it tells of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from thoth_core.client.control import control
from thoth_core.client.locate import control_path, listening
from thoth_core.doctor.context import Context
from thoth_core.doctor.result import Result, failed, ok, warn

#: Seconds for its answer.
ASK = 8.0


def check(context: Context) -> Result:
    settings = context.settings
    if not listening(control_path(settings)):
        return ok("no service runs for this data directory", state=None)
    context.status = status = control(settings, "status", timeout=ASK)
    workers = status["workers"]
    shown = ", ".join(f"{w['name']} {w['state']}" for w in workers)
    seen = f"{status['state']} (pid {status['pid']}, version {status['version']}): {shown}"
    details: dict[str, Any] = {"state": status["state"], "pid": status["pid"]}
    bad = [w for w in workers if w["state"] == "FAILED"]
    if status["state"] == "failed" or bad:
        cause, fix = _why(bad)
        return failed(
            seen,
            cause,
            fix=fix,
            acts=[] if fix else [("thoth-supervisor", "restart")],
            **details,
        )
    if status.get("lacking"):
        return warn(seen, str(status["lacking"]), fix="thoth doctor --openai", **details)
    if status["state"] in ("degraded", "stopping"):
        return warn(
            seen,
            "a worker is missing: it is being started, or has ended again and again",
            fix="thoth-supervisor crashes; thoth-supervisor status",
            **details,
        )
    if status["quarantined"]:
        return warn(
            f"{seen}; {status['quarantined']} texts in quarantine",
            "these texts ended their workers twice while they ran alone, and are refused",
            fix="thoth quarantine",
            **details,
        )
    return ok(seen, **details)


def _why(bad: list[Mapping[str, Any]]) -> tuple[str, str]:
    """Why a worker was given up, and the way out that it names."""
    for worker in bad:
        failure = worker.get("failure")
        if isinstance(failure, Mapping):
            told = failure.get("details") or {}
            cause = f"{worker['name']}: {failure.get('message')}"
            return f"{cause} ({told['cause']})" if told.get("cause") else cause, str(
                told.get("fix") or ""
            )
        if worker.get("last_exit"):
            return f"{worker['name']} ended: {worker['last_exit']['reason']}", ""
    return "no worker of some kind can be had", ""
