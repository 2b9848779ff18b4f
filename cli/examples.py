"""Examples and exit codes at the end of a command's help, in one form for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import click

C = TypeVar("C", bound=click.Command)

#: How any command may end; each says besides what is its own.
COMMON: Mapping[int, str] = {
    0: "done",
    1: "failed",
    2: "wrong use, or a setting that cannot be used",
    4: "no service is reachable",
    130: "interrupted",
}


@dataclass(frozen=True, slots=True)
class Examples:
    """``lines`` are command lines, each with what it does; ``exits`` what exit codes mean for this
    command beside, or other than, what they mean for all."""

    lines: tuple[tuple[str, str], ...]
    exits: Mapping[int, str]


_OF: dict[click.Command, Examples] = {}


def examples(*lines: tuple[str, str], exits: Mapping[int, str] | None = None) -> Callable[[C], C]:
    """Put ``lines`` and ``exits`` at the end of the command's help. Goes above ``@click.command``.
    An epilog that the command has comes after them."""
    told = Examples(lines, exits or {})

    def put(command: C) -> C:
        _OF[command] = told
        # \b: click leaves the lines as they are.
        parts = ["\b\nExamples:\n" + "\n".join(f"  {line}\n      {what}" for line, what in lines)]
        if told.exits:
            codes = "\n".join(f"  {code:<4}{what}" for code, what in sorted(told.exits.items()))
            parts.append(f"\b\nExit codes, beside those of all commands:\n{codes}")
        command.epilog = "\n\n".join([*parts, *([command.epilog] if command.epilog else [])])
        return command

    return put


def examples_of(command: click.Command) -> Examples | None:
    """What was put there; None for a command without."""
    return _OF.get(command)
