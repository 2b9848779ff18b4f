"""``thoth collections``: list, create, rename, delete."""

from __future__ import annotations

import click

from cli.confirm import confirm
from cli.options import Options, common


@click.group(invoke_without_command=True)
@common
@click.pass_context
def collections(ctx: click.Context) -> None:
    """List, create, rename and delete collections. Without a command: list."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_)


@collections.command("list")
@common
@click.pass_obj
def list_(options: Options) -> None:
    """Name, model, dimension and number of chunks of each."""
    with options.thoth() as thoth:
        found = thoth.collections()
    output = options.output
    if output.json:
        rows = [
            {"name": c.name, "model": c.model, "dimension": c.dimension, "count": c.count}
            for c in found
        ]
        output.document({"collections": rows})
        return
    for c in found:
        output.line(f"{c.name}\t{c.count} chunks\t{c.model or '-'}\t{c.dimension or '-'}")
    if not found:
        output.note("there is no collection yet; thoth ingest makes one")


@collections.command()
@click.argument("name")
@common
@click.pass_obj
def create(options: Options, name: str) -> None:
    """Make an empty collection. Not an error if it is there."""
    with options.thoth() as thoth:
        created = thoth.create_collection(name)
    if options.output.json:
        options.output.document({"collection": name, "created": created})
    else:
        options.output.line(f"{name}: {'created' if created else 'was there already'}")


@collections.command()
@click.argument("name")
@click.argument("to")
@common
@click.pass_obj
def rename(options: Options, name: str, to: str) -> None:
    """Give the collection NAME the name TO."""
    with options.thoth() as thoth:
        thoth.rename_collection(name, to)
    if options.output.json:
        options.output.document({"collection": name, "renamed_to": to})
    else:
        options.output.line(f"{name}: renamed to {to}")


@collections.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@common
@click.pass_obj
def delete(options: Options, name: str, yes: bool) -> None:
    """Delete a collection and all its chunks."""
    confirm(f"delete the collection {name} and all its chunks?", yes)
    with options.thoth() as thoth:
        deleted = thoth.delete_collection(name)
    if options.output.json:
        options.output.document({"collection": name, "deleted": deleted})
    else:
        options.output.line(f"{name}: {'deleted' if deleted else 'was not there'}")
