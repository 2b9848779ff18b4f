"""How a command ends: which exit code, and what is said. Nobody sees a traceback unasked."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import TextIO

import click

from cli.options import Options
from cli.output import ReaderGone
from thoth_core.errors import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_USAGE,
    SettingsError,
    StorageError,
    ThothError,
)


class UsageProblem(SettingsError):
    """What click found wrong with the command line, in the form that all errors have."""


def run(command: click.Command, name: str, arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code."""
    _open_closed_streams()
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = Options()
    # For errors that come before the options are read.
    options.output.json = "--json" in given
    try:
        code = command.main(given, prog_name=name, standalone_mode=False, obj=options)
        options.output.flush()
    except click.exceptions.Abort as abort:
        code = _interrupted(options, abort.__cause__)
    except KeyboardInterrupt as interrupt:
        code = _interrupted(options, interrupt)
    except click.exceptions.Exit as end:
        code = end.exit_code
    except click.ClickException as problem:
        code = _usage(options, problem, name)
    except ReaderGone:
        _write_no_more(sys.stdout)
        code = 128 + signal.SIGPIPE
    except ThothError as error:
        code = _failed(options, error, error.exit_code)
    except Exception as problem:
        code = _failed(options, problem, EXIT_FAILED)
    try:
        sys.stderr.flush()
    except OSError:
        _write_no_more(sys.stderr)
    return code if isinstance(code, int) else 0


def _failed(options: Options, error: BaseException, code: int) -> int:
    try:
        options.output.error(error)
        options.output.flush()
    except (ReaderGone, StorageError):
        _write_no_more(sys.stdout)
    return code


def _usage(options: Options, problem: click.ClickException, name: str) -> int:
    path = name
    if isinstance(problem, click.UsageError) and problem.ctx is not None:
        path = problem.ctx.command_path
    if isinstance(problem, click.exceptions.NoArgsIsHelpError):
        options.output.warn(problem.format_message())
        return EXIT_USAGE
    error = UsageProblem(problem.format_message(), fix=f"{path} --help")
    return _failed(options, error, EXIT_USAGE)


def _interrupted(options: Options, interrupt: BaseException | None) -> int:
    # A second Ctrl-C while we clean up ends us without a word.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    options.output.warn("interrupted")
    for note in getattr(interrupt, "__notes__", ()):
        options.output.note(note)
    return EXIT_INTERRUPTED


def _write_no_more(stream: TextIO) -> None:
    # Its descriptor is replaced, so that flushing it at the interpreter's end does not complain.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    # A stream without a descriptor is nothing that the interpreter flushes.
    with contextlib.suppress(OSError, ValueError):
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _open_closed_streams() -> None:
    """``thoth … <&-``: what the caller has closed is empty, and takes what it gets."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115 - to the very end
