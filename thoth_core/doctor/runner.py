"""Runs the checks one after another. None of them can crash or hang the others.

A check that only reads runs in a thread: one that does not return in its time is left behind. One
that runs native code has a process of its own, which is ended then.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from importlib import import_module
from typing import NoReturn

from thoth_core.doctor.context import Context
from thoth_core.doctor.registry import BY_NAME, SERVICE, Check
from thoth_core.doctor.result import Result, failed
from thoth_core.errors import ThothError

#: Before the line in which a process of its own tells its result.
MARK = "thoth-doctor: "
_BUG = "thoth doctor --only {} -vv"


def run_checks(checks: Sequence[Check], context: Context) -> Iterator[Result]:
    """The results, each as soon as it is there. Whoever ends this early, or by Ctrl-C, still
    closes ``context.closing``."""
    if not any(check.name == SERVICE for check in checks) and not all(c.bare for c in checks):
        # Others go by what the running service says.
        _run(BY_NAME[SERVICE], context)
    for check in checks:
        began = time.monotonic()
        found = _run(check, context)
        yield replace(found, name=check.name, seconds=time.monotonic() - began)


def call(check: Check, context: Context) -> Result:
    """Run it here; an exception is a failed check with its reason."""
    try:
        found = import_module(check.module).check(context)
        assert isinstance(found, Result)
        return found
    except ThothError as problem:
        return failed(problem.message, problem.cause, fix=problem.fix)
    except Exception as problem:
        return failed(
            "the check itself failed",
            f"{type(problem).__name__}: {problem}".splitlines()[0],
            fix=_fix_of(check, problem),
        )


def _run(check: Check, context: Context) -> Result:
    seconds = check.limit(context.deep)
    return _apart(check, context, seconds) if check.apart else _beside(check, context, seconds)


def _beside(check: Check, context: Context, seconds: float) -> Result:
    found: list[Result] = []
    done = threading.Event()

    def work() -> None:
        try:
            found.append(call(check, context))
        finally:
            done.set()

    threading.Thread(target=work, name=f"doctor-{check.name}", daemon=True).start()
    if not done.wait(seconds) or not found:
        return _too_late(seconds)
    return found[0]


def _apart(check: Check, context: Context, seconds: float) -> Result:
    order = json.dumps({"check": asdict(check), "context": context.to_wire()})
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "thoth_core.doctor.apart"],
            input=order.encode(),
            capture_output=True,
            env={**context.environ, "PYTHONFAULTHANDLER": "1"},
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        return _too_late(seconds)
    except OSError as problem:
        return failed("no process could be started", problem.strerror or str(problem))
    told = _told(done.stdout)
    return told if told is not None else _ended(check, done.returncode, done.stderr)


def _told(output: bytes) -> Result | None:
    for line in reversed(output.decode("utf-8", "replace").splitlines()):
        if line.startswith(MARK):
            try:
                return Result.from_dict(json.loads(line.removeprefix(MARK)))
            except (ValueError, KeyError, TypeError):
                return None
    return None


def _ended(check: Check, code: int, complaints: bytes) -> Result:
    lines = complaints.decode("utf-8", "replace").strip().splitlines()
    if code < 0:
        name = signal.Signals(-code).name
        frames = [line.strip() for line in lines if line.strip().startswith("File ")]
        # What called it, where the innermost frames are the standard library's.
        where = next((each for each in frames if check.name in each), (*frames, "")[0])
        return failed(
            f"the check was ended by {name}",
            f"native code crashed{f' in {where}' if where else ''}",
            fix="thoth doctor --deep --only packages",
        )
    return failed(
        "the check told nothing",
        lines[-1][:300] if lines else f"it ended with {code}",
        fix=_BUG.format(check.name),
    )


def _too_late(seconds: float) -> Result:
    return failed(
        f"not done after {seconds:.0f} s",
        "something that it looks at does not answer: a disk, a file system, or the service",
        fix="thoth-supervisor status; df -h",
    )


def _fix_of(check: Check, problem: Exception) -> str:
    if isinstance(problem, ImportError) and problem.name and not problem.name.startswith("thoth"):
        return "thoth doctor --only packages"
    return _BUG.format(check.name)


def main() -> NoReturn:
    """The main function of a check's own process."""
    order = json.loads(sys.stdin.read())
    context = Context.from_wire(order["context"], os.environ)
    found = call(Check(**order["check"]), context)
    sys.stdout.write(f"\n{MARK}{json.dumps(found.to_dict())}\n")
    sys.stdout.flush()
    # Not by the interpreter's end: the teardown of native libraries is where they like to crash.
    os._exit(0)
