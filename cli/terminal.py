"""What standard output is: how wide, and whether it shows bold."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import Any, TextIO, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

#: Cells of a line of text at most: longer ones are hard to read.
WIDEST = 100
_NARROWEST = 20


def color_option(command: F) -> F:
    """``--color``; its value is the argument ``color``."""
    return click.option(
        "--color",
        type=click.Choice(["auto", "always", "never"]),
        default="auto",
        help="Mark the words in bold; auto: on a terminal.",
    )(command)


def shows_bold(out: TextIO, color: str) -> bool:
    """Whether words are to be marked on ``out``. ``NO_COLOR`` and ``TERM=dumb`` turn it off where
    nothing was said on the command line."""
    if color != "auto":
        return color == "always"
    dumb = os.environ.get("TERM", "") in ("", "dumb")
    return out.isatty() and not dumb and not os.environ.get("NO_COLOR")


def width(out: TextIO) -> int | None:
    """Cells in a line of text, None if ``out`` is no terminal."""
    if not out.isatty():
        return None
    return max(_NARROWEST, min(shutil.get_terminal_size().columns - 1, WIDEST))
