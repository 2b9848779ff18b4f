"""How a command ends: which exit code, and what is said. Nobody sees a traceback unasked."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

import click

from cli.options import Options
from thoth_core.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE, SettingsError, ThothError


class UsageProblem(SettingsError):
    """What click found wrong with the command line, in the form that all errors have."""


def run(command: click.Command, name: str, arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = Options()
    # For errors that come before the options are read.
    options.output.json = "--json" in given
    try:
        code = command.main(given, prog_name=name, standalone_mode=False, obj=options)
        sys.stdout.flush()
    except click.exceptions.Abort:
        code = _interrupted(options)
    except KeyboardInterrupt:
        code = _interrupted(options)
    except click.exceptions.Exit as end:
        code = end.exit_code
    except click.ClickException as problem:
        code = _usage(options, problem, name)
    except BrokenPipeError:
        code = _reader_gone()
    except ThothError as error:
        code = _failed(options, error, error.exit_code)
    except Exception as problem:
        code = _failed(options, problem, EXIT_FAILED)
    return code if isinstance(code, int) else 0


def _failed(options: Options, error: BaseException, code: int) -> int:
    try:
        options.output.error(error)
        sys.stdout.flush()
    except BrokenPipeError:
        _reader_gone()
    return code


def _usage(options: Options, problem: click.ClickException, name: str) -> int:
    path = name
    if isinstance(problem, click.UsageError) and problem.ctx is not None:
        path = problem.ctx.command_path
    error = UsageProblem(problem.format_message(), fix=f"{path} --help")
    return _failed(options, error, EXIT_USAGE)


def _interrupted(options: Options) -> int:
    # A second Ctrl-C while we clean up ends us without a word.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    options.output.warn("interrupted")
    return EXIT_INTERRUPTED


def _reader_gone() -> int:
    # ``thoth … | head``: nobody reads any more. Standard output is replaced, so that flushing it
    # at the interpreter's end does not complain.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + signal.SIGPIPE
