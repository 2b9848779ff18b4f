"""The options that narrow a search, and the folder that patterns and places start from."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from cli.completion import complete_sources

F = TypeVar("F", bound=Callable[..., Any])


def narrow_options(command: F) -> F:
    """``--source`` and ``--since``; their values are the arguments ``source`` and ``since``."""
    command = click.option(
        "--since",
        metavar="WHEN",
        help="Only documents stored since: a date, a time, or 7d, 12h, 30m ago.",
    )(command)
    return click.option(
        "--source",
        multiple=True,
        metavar="GLOB",
        shell_complete=complete_sources,
        help="Only sources like notes/*.md, docs/ or *.pdf; may be given often.",
    )(command)


def here() -> str:
    """The current folder, or nothing where it is gone."""
    try:
        return os.getcwd()  # noqa: PTH109
    except OSError:
        return ""
