"""Carries out what a result names, one command after another, as a person would."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from thoth_core.doctor.result import Act, Result, command

#: Commands that are known, and the modules that stand behind ours.
_MODULES = {"thoth": "cli.main", "thoth-supervisor": "cli.supervisor", "pip": "pip"}
_PLAIN = frozenset({"rm", "kill"})
#: Seconds that one may take.
SECONDS = 1800.0


@dataclass(frozen=True, slots=True)
class Done:
    """``code`` is the exit code of ``command``, ``said`` the last line that it complained with."""

    check: str
    command: str
    code: int
    said: str


def mendable(results: Sequence[Result]) -> list[Result]:
    """Those that name commands which may be run by themselves."""
    return [each for each in results if each.acts and each.status in ("failed", "warn")]


def mend(result: Result, environ: Mapping[str, str] = os.environ) -> list[Done]:
    """Run its commands in order, until one fails."""
    done = []
    for act in result.acts:
        code, said = _run(act, environ)
        done.append(Done(result.name, command([act]), code, said))
        if code:
            break
    return done


def words_of(act: Act) -> list[str]:
    """What is executed for ``act``: our own commands and pip of this interpreter's installation,
    whatever the path says. :class:`ValueError` for a command that is not known."""
    name, *arguments = act
    if name in _MODULES:
        return [sys.executable, "-P", "-m", _MODULES[name], *arguments]
    if name in _PLAIN:
        return list(act)
    raise ValueError(f"not run by itself: {name}")


def _run(act: Act, environ: Mapping[str, str]) -> tuple[int, str]:
    try:
        done = subprocess.run(
            words_of(act),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=dict(environ),
            timeout=SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        return 1, str(problem)
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return done.returncode, lines[-1][:300] if lines and done.returncode else ""
