"""``thoth collections``: list, create, rename, reembed, delete."""

from __future__ import annotations

import click

from cli.completion import complete_collections
from cli.confirm import confirm
from cli.cost import say_cost
from cli.examples import examples
from cli.options import Options, common
from cli.output import Progress


@examples(
    ("thoth collections", "all of them"),
    ("thoth collections create notes", "an empty one"),
)
@click.group(invoke_without_command=True)
@common
@click.pass_context
def collections(ctx: click.Context) -> None:
    """List, create, rename, reembed and delete collections. Without a command: list."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_)


@examples(
    ("thoth collections list", "name, chunks, model, dimension"),
    ("thoth collections list --json", "for a program"),
)
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


@examples(
    ("thoth collections create notes", "not an error if it is there"),
)
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


@examples(
    ("thoth collections rename notes notes-of-2026", "notes is free then"),
    exits={1: "there is no such collection, or one that has the new name"},
)
@collections.command()
@click.argument("name", shell_complete=complete_collections)
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


@examples(
    ("thoth collections reembed notes --model all-MiniLM-L6-v2", "with this model from now on"),
    ("thoth collections reembed notes --abort --yes", "give up a run that was interrupted"),
)
@collections.command()
@click.argument("name", shell_complete=complete_collections)
@click.option("--model", metavar="MODEL", help="The model that is to embed it.")
@click.option("--abort", is_flag=True, help="Give up what an earlier run has made.")
@click.option("--yes", is_flag=True, help="Do not ask before it is given up.")
@common
@click.pass_obj
def reembed(options: Options, name: str, model: str | None, abort: bool, yes: bool) -> None:
    """Embed the texts of a collection with another model: ids, texts and metadata stay.

    What is there serves until all is embedded; then it is replaced in one step. Run it again if it
    was interrupted: it goes on where it was.
    """
    from thoth_core.client.reembed import named

    if abort == (model is not None):
        raise click.UsageError("--model MODEL is needed, or --abort and nothing else")
    output = options.output
    if model is None:
        confirm(f"give up what is embedded of {name} with another model?", yes)
        with options.thoth() as thoth:
            aborted = thoth.abort_reembed(name)
        if output.json:
            output.document({"collection": name, "aborted": aborted})
        else:
            output.line(f"{name}: {'given up' if aborted else 'there was nothing to give up'}")
        return
    progress = Progress(output, "chunks")
    # If none runs, the one that is started runs this model.
    with options.thoth(embedding_model=model) as thoth:
        try:
            report = thoth.reembed(name, model, progress.update)
        finally:
            progress.end()
    if output.json:
        output.document({"model": model, **report.to_dict()})
        say_cost(output, report.cost)
        return
    if report.already:
        output.line(f"{name}: is of {model} already")
        return
    output.line(
        f"{name}: {report.chunks} chunks are of {model} now"
        f" ({report.embedded} embedded, {report.reused} reused)"
    )
    say_cost(output, report.cost)
    usual, asked = options.settings().embedding_model, named(model)
    if usual != asked:
        output.note(f"RAG_EMBEDDING_MODEL is {usual} still: set it to {asked}")


@examples(
    ("thoth collections delete notes", "asks first, on a terminal"),
    ("thoth collections delete notes --yes", "does not ask, as in a script"),
    exits={2: "not on a terminal, and without --yes"},
)
@collections.command()
@click.argument("name", shell_complete=complete_collections)
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
