"""Asking before something is lost."""

from __future__ import annotations

import sys

import click


def confirm(question: str, yes: bool) -> None:
    """Ask on a terminal; where nobody can answer, ``--yes`` must have been said.

    Raises a usage error if it was not, and :class:`click.Abort` if the answer is no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} There is no terminal to ask: add --yes")
    click.confirm(question, abort=True, err=True)
