"""A service in a scratch directory: started, filled, asked, emptied, stopped and removed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from thoth_core.doctor.context import Context
from thoth_core.doctor.processes import environ_of, maps_of, thread_times
from thoth_core.doctor.registry import START
from thoth_core.doctor.result import Result, failed, ok
from thoth_core.doctor.scratch import Scratch
from thoth_core.openmp import copies_in
from thoth_core.provider import is_openai
from thoth_core.supervisor.environment import THREAD_NAMES

#: Instead of a model that is not here, or that costs money.
STAND_IN = "fake/384"
TEXTS = 64
COLLECTION = "doctor"
_WORDS = ("reed", "pen", "ibis", "moon", "sun", "house", "gate", "scale", "feather", "day")
#: Seconds until a new index is ready.
INDEXED = 30.0
#: The nearest to a text is the text itself, whatever the precision.
NEAR = 0.99


def check(context: Context) -> Result:
    model, why = _model(context)
    scratch = Scratch(context.settings, model)
    context.closing.callback(scratch.close)
    context.note(f"a service is started in {scratch.root}, with {model}")
    environ = dict(context.environ)
    if context.offline:
        environ["HF_HUB_OFFLINE"] = "1"
    began = time.monotonic()
    scratch.start(environ, START - 60, context.note)
    started = time.monotonic() - began
    wrong, seen, details = _work(context, scratch)
    began = time.monotonic()
    scratch.close()
    seen = (
        f"{model}{why}: ready in {started:.1f} s, {seen}, "
        f"stopped in {time.monotonic() - began:.1f} s"
    )
    details |= {"model": model, "start_s": round(started, 2)}
    if scratch.root.exists():
        wrong.append(f"{scratch.root} could not be removed")
    if wrong:
        return failed(seen, "; ".join(wrong), fix="thoth doctor --bundle doctor.zip", **details)
    return ok(seen, **details)


def _model(context: Context) -> tuple[str, str]:
    """The model, and why it is not the configured one."""
    name = context.settings.embedding_model
    if is_openai(name):
        return STAND_IN, f" (requests to {name} cost money)"
    if context.model_here is False:
        return STAND_IN, f" ({name} is not on this machine)"
    return name, ""


def _work(context: Context, scratch: Scratch) -> tuple[list[str], str, dict[str, Any]]:
    """What was wrong, and what was seen."""
    from thoth_core import Thoth

    texts = _texts()
    ids = [f"doctor-{n}" for n in range(TEXTS)]
    asked = (0, TEXTS // 2, TEXTS - 1)
    wrong: list[str] = []
    with Thoth(scratch.settings, autostart=False) as thoth:
        status = _indexed(scratch)
        watched = {each["name"]: each for each in _processes(status)}
        before = {name: thread_times(each["pid"]) for name, each in watched.items()}
        began = time.monotonic()
        report = thoth.add(texts, ids=ids, collection=COLLECTION)
        seconds = time.monotonic() - began
        if report.embedded != TEXTS:
            wrong.append(f"{report.embedded} of {TEXTS} texts were embedded")
        hits = [thoth.query(texts[n], k=1, collection=COLLECTION) for n in asked]
        found = sum(
            bool(hit) and hit[0].id == ids[n] and hit[0].score >= NEAR
            for n, hit in zip(asked, hits, strict=True)
        )
        if found != len(asked):
            wrong.append(f"{len(asked) - found} of {len(asked)} texts did not find themselves")
        for name, each in watched.items():
            each["threads"] = _threads(before[name], thread_times(each["pid"]))
            each["openmp"] = copies_in(maps_of(each["pid"]))
        deleted = thoth.delete(ids, collection=COLLECTION)
        left = thoth.count(collection=COLLECTION)
        if deleted != TEXTS or left:
            wrong.append(f"{deleted} of {TEXTS} were deleted, {left} are left")
    context.scratch = list(watched.values())
    engines = {f"{w['engine']} {w['precision']}" for w in status["workers"] if w.get("engine")}
    seen = (
        f"{report.embedded} texts embedded and stored in {seconds:.1f} s by "
        f"{', '.join(sorted(engines))}, {found} of {len(asked)} found, {deleted} deleted"
    )
    return wrong, seen, {"embed_s": round(seconds, 3), "engines": sorted(engines)}


def _texts() -> list[str]:
    """Each another, and long enough for a model to have work."""
    return [
        " ".join(_WORDS[(n * 7 + at * (n % 5 + 1)) % len(_WORDS)] for at in range(60))
        + f" number {n}"
        for n in range(TEXTS)
    ]


def _indexed(scratch: Scratch) -> dict[str, Any]:
    """The status as soon as the index has a process, or when it has had time enough."""
    end = time.monotonic() + INDEXED
    while True:
        status = scratch.status()
        there = status["store"].get("index_state") == "healthy" and status["state"] == "ready"
        if there or time.monotonic() > end:
            return status
        # No event of another process tells of that.
        time.sleep(0.05)


def _processes(status: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = [{"name": "supervisor", "pid": status["pid"], "engine": None}]
    found += [
        {"name": w["name"], "pid": w["pid"], "engine": w.get("engine"), "says": w.get("threads")}
        for w in status["workers"]
        if w["pid"]
    ]
    index = (status["store"].get("index") or {}).get("pid")
    if index:
        found.append({"name": "index", "pid": index, "engine": None})
    for each in found:
        environ = environ_of(each["pid"])
        each["configured"] = {name: environ.get(name) for name in THREAD_NAMES}
        each["preload"] = environ.get("LD_PRELOAD", "")
    return found


def _threads(
    before: Mapping[int, tuple[str, int]], after: Mapping[int, tuple[str, int]]
) -> list[dict[str, Any]]:
    """Each thread with the milliseconds that it computed, the busiest first."""
    spent = {id: after[id][1] - before.get(id, ("", 0))[1] for id in after}
    return [
        {"name": after[id][0], "ms": round(spent[id] / 1e6, 1)}
        for id in sorted(spent, key=lambda id: -spent[id])
    ]
