"""A file of settings in the user's editor: a copy is edited, checked, and put in its place."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from cli.output import Output
from thoth_core.errors import SettingsError

_EMPTY = """\
# Settings of Thoth, as NAME = value. thoth config show lists them; docs/configuration.md explains
# them. Keys belong in .env.
"""


def edited(output: Output, target: Path, cwd: Path) -> bool:
    """Have the user edit the file; whether it was changed. Raises :class:`SettingsError` if what
    was written cannot be used and is not edited again."""
    from thoth_core.settings_edit import read, write

    before = read(target)
    # mkstemp's mode is 0600: there may be a key in it.
    descriptor, name = tempfile.mkstemp(prefix="thoth-", suffix=".toml")
    copy, keep = Path(name), False
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(before or _EMPTY)
        while True:
            _run_editor(copy)
            after = read(copy)
            if after == (before or _EMPTY):
                return False
            if read(target) != before:
                keep = True
                raise SettingsError(
                    f"{target} was not changed",
                    cause="somebody else has changed it meanwhile",
                    fix=f"thoth config edit; what was written is in {copy}",
                )
            try:
                write(target, after, cwd, os.environ)
            except SettingsError as problem:
                if not _again(output, problem):
                    keep = True
                    output.warn(f"what was written is in {copy}; {target} is as it was")
                    raise
            else:
                return True
    finally:
        if not keep:
            copy.unlink(missing_ok=True)


def _again(output: Output, problem: SettingsError) -> bool:
    if not sys.stdin.isatty():
        return False
    output.warn(f"{problem.message}: {problem.cause}" if problem.cause else problem.message)
    return click.confirm("edit it again?", default=True, err=True)


def _run_editor(copy: Path) -> None:
    command = os.environ.get("VISUAL") or os.environ.get("EDITOR") or _usual()
    try:
        code = subprocess.run([*shlex.split(command), str(copy)], check=False).returncode
    except (OSError, ValueError) as problem:
        raise SettingsError(
            f"the editor {command!r} cannot be started",
            cause=str(problem),
            fix="export VISUAL=nano",
        ) from problem
    if code != 0:
        raise SettingsError(
            f"the editor {command!r} ended with {code}", cause="nothing was changed"
        )


def _usual() -> str:
    found = next((name for name in ("sensible-editor", "nano", "vi") if shutil.which(name)), None)
    if found is None:
        raise SettingsError("there is no editor", fix="export VISUAL=the name of yours")
    return found
