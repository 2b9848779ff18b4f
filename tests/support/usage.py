"""Command lines of ours held against what click knows of them, without running anything."""

from __future__ import annotations

import click

from cli.main import thoth
from cli.supervisor import supervisor

PROGRAMS: dict[str, click.Command] = {"thoth": thoth, "thoth-supervisor": supervisor}


def check_usage(words: list[str], *, whole: bool) -> None:
    """Raises what click finds wrong. Not ``whole``: arguments may be left out, as where a command
    is only spoken of."""
    program, *arguments = words
    command = PROGRAMS[program]
    context = click.Context(command, info_name=program)
    try:
        while isinstance(command, click.Group):
            context = command.make_context(program, arguments, parent=None)
            rest = [*context._protected_args, *context.args]
            if not rest:
                return
            _, found, arguments = command.resolve_command(context, rest)
            assert found is not None
            command = found
        command.make_context(words[-1], arguments, parent=context)
    except click.exceptions.Exit:
        pass  # --help and --version
    except click.exceptions.NoArgsIsHelpError:
        pass
    except click.MissingParameter:
        if whole:
            raise
