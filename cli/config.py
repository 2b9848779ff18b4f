"""``thoth config show``."""

from __future__ import annotations

import os

import click

from cli.options import Options, common


@click.group()
@common
def config() -> None:
    """Show the settings and where they come from."""


@config.command()
@common
@click.pass_obj
def show(options: Options) -> None:
    """Each setting with its value and where that came from; keys are masked.

    Also which names are set that look like settings and that nothing reads.
    """
    from thoth_core.settings import unknown_names

    settings = options.settings()
    rows = settings.describe()
    unread = [*unknown_names(os.environ), *settings.unread]
    output = options.output
    if output.json:
        output.document(
            {
                "settings": rows,
                "unread": [{"name": name, "why": why} for name, why in unread],
                "data_dir": str(settings.data_dir),
                "service_dir": str(settings.service_dir),
            }
        )
        return
    width = max(len(str(row["name"])) for row in rows)
    for row in rows:
        value = "" if row["value"] is None else row["value"]
        output.line(f"{row['name']:<{width}} = {value}  ({row['origin']})")
    for name, why in unread:
        output.line(f"nothing reads {name}: {why}")
