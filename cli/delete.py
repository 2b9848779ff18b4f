"""``thoth delete``."""

from __future__ import annotations

import click

from cli.confirm import confirm
from cli.examples import examples
from cli.options import Options, collection_option, common, parse_filter


@examples(
    ('thoth delete --where \'{"source": "/home/me/old.md"}\' --yes', "the chunks of a file"),
    ("thoth delete --collection notes --id a1 --id a2", "two chunks; asks first, on a terminal"),
    exits={2: "not on a terminal, and without --yes"},
)
@click.command()
@click.option("--id", "ids", multiple=True, metavar="ID", help="A chunk; may be given often.")
@click.option("--where", metavar="JSON", help="Chunks whose metadata is so.")
@click.option("--where-document", metavar="JSON", help="Chunks whose text is so.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@common
@collection_option
@click.pass_obj
def delete(
    options: Options,
    ids: tuple[str, ...],
    where: str | None,
    where_document: str | None,
    yes: bool,
) -> None:
    """Delete chunks by id or by filter."""
    filters = parse_filter(where, "--where"), parse_filter(where_document, "--where-document")
    if not ids and not any(filters):
        raise click.UsageError("say what to delete: --id, --where or --where-document")
    what = f"{len(ids)} chunks" if ids and not any(filters) else "all chunks that match"
    confirm(f"delete {what}?", yes)
    with options.thoth() as thoth:
        deleted = thoth.delete(list(ids) or None, *filters, collection=options.collection)
    if options.output.json:
        options.output.document({"deleted": deleted})
    else:
        options.output.line(f"deleted: {deleted}")
