"""OpenMP runtimes in each process of the running service and of the scratch one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from thoth_core.client.stopping import processes
from thoth_core.doctor.context import Context
from thoth_core.doctor.processes import environ_of, maps_of
from thoth_core.doctor.result import Result, failed, ok, skipped, warn
from thoth_core.openmp import copies_in, named, several, severe

_AGAIN = "thoth-supervisor stop --if-running; thoth-supervisor start"


def check(context: Context) -> Result:
    found = [*_running(context.status), *context.scratch]
    if not found:
        return skipped("no service runs, and there was no round trip")
    many = [each for each in found if several(each["openmp"])]
    having = many or [each for each in found if each["openmp"]]
    seen = "; ".join(f"{each['name']} has {named(each['openmp'])}" for each in having)
    seen = seen or f"none in {len(found)} processes: {', '.join(each['name'] for each in found)}"
    details: dict[str, Any] = {
        "processes": [
            {"name": each["name"], "pid": each["pid"], "openmp": each["openmp"]} for each in found
        ]
    }
    if not many:
        return ok(seen, **details)
    again = any(each.get("running") for each in many)
    cause, fix = _why(context, many, again)
    judged = failed if any(severe(each["openmp"]) for each in many) else warn
    return judged(seen, cause, fix=fix, **details)


def _running(status: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    if status is None:
        return []
    names = {status["pid"]: "supervisor"}
    names |= {w["pid"]: w["name"] for w in status["workers"] if w["pid"]}
    index = (status["store"].get("index") or {}).get("pid")
    pids = [*processes(status), *([index] if index else [])]
    return [
        {
            "name": f"{names.get(pid, 'index')} ({pid})",
            "pid": pid,
            "openmp": copies_in(maps_of(pid)),
            "preload": environ_of(pid).get("LD_PRELOAD", ""),
            "running": True,
        }
        for pid in pids
    ]


def _why(context: Context, many: list[dict[str, Any]], again: bool) -> tuple[str, str]:
    kinds = "of different makes " if any(severe(each["openmp"]) for each in many) else ""
    cause = (
        f"two OpenMP runtimes {kinds}in one process share no locks and no threads, and are the "
        "usual cause of its segmentation faults"
    )
    paths = [path for each in many for paths in each["openmp"].values() for path in paths]
    preloaded = [
        path for each in many for path in each["preload"].replace(":", " ").split() if path in paths
    ]
    if preloaded:
        end = f"; {_AGAIN}" if again else ""
        return f"{cause}; LD_PRELOAD brings {preloaded[0]}", f"unset LD_PRELOAD{end}"
    if context.settings.engine == "sentence_transformers":
        end = f"; {_AGAIN}" if again else ""
        return (
            f"{cause}; torch and scikit-learn bring one each, and OpenVINO none: "
            "THOTH_ENGINE is sentence_transformers",
            f"export THOTH_ENGINE=auto{end}",
        )
    return f"{cause}; each is told to use one thread here", ""
