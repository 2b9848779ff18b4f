"""``thoth delete``."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import click

from cli.completion import complete_sources
from cli.confirm import confirm
from cli.examples import examples
from cli.harmless import name
from cli.narrow_options import here
from cli.options import Options, collection_option, common, parse_filter
from cli.places import relative

if TYPE_CHECKING:
    from thoth_core import Source, Thoth

#: Sources that are named in the question, and that go in one call.
_NAMED, _TOGETHER = 3, 1000


@examples(
    ("thoth delete --source 'notes/old/*.md' --yes", "all chunks of these files"),
    ('thoth delete --where \'{"lang": "de"}\' --yes', "chunks whose metadata is so"),
    ("thoth delete --collection notes --id a1 --id a2", "two chunks; asks first, on a terminal"),
    exits={2: "not on a terminal, and without --yes"},
)
@click.command()
@click.option(
    "--source",
    "globs",
    multiple=True,
    metavar="GLOB",
    shell_complete=complete_sources,
    help="All of sources like notes/*.md, docs/ or *.pdf; may be given often.",
)
@click.option("--id", "ids", multiple=True, metavar="ID", help="A chunk; may be given often.")
@click.option("--where", metavar="JSON", help="Chunks whose metadata is so.")
@click.option("--where-document", metavar="JSON", help="Chunks whose text is so.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@common
@collection_option
@click.pass_obj
def delete(
    options: Options,
    globs: tuple[str, ...],
    ids: tuple[str, ...],
    where: str | None,
    where_document: str | None,
    yes: bool,
) -> None:
    """Delete chunks by source, by id or by filter.

    A file that is still there is stored again by the next ingest of its folder.
    """
    filters = parse_filter(where, "--where"), parse_filter(where_document, "--where-document")
    if not globs and not ids and not any(filters):
        raise click.UsageError("say what to delete: --source, --id, --where or --where-document")
    if globs and (ids or any(filters)):
        raise click.UsageError("--source goes alone: with --where, name the source in the filter")
    with options.thoth() as thoth:
        if globs:
            known = thoth.sources(list(globs), collection=options.collection)
            # Of a file without text nothing is stored but that it was read.
            found = [each for each in known if each.chunks]
            if found:
                confirm(_question(found), yes)
            else:
                options.output.note("no source that matches is in the collection")
            deleted = sum(_delete(thoth, found, options.collection))
        else:
            what = f"{len(ids)} chunks" if ids and not any(filters) else "all chunks that match"
            confirm(f"delete {what}?", yes)
            deleted = thoth.delete(list(ids) or None, *filters, collection=options.collection)
    if options.output.json:
        options.output.document({"deleted": deleted})
    else:
        options.output.line(f"deleted: {deleted}")


def _question(found: list[Source]) -> str:
    folder = here()
    names = [name(relative(each.source, folder)) for each in found[:_NAMED]]
    more = f" and {len(found) - _NAMED:,} more" if len(found) > _NAMED else ""
    chunks = sum(each.chunks for each in found)
    return f"delete {chunks:,} chunks, all of {', '.join(names)}{more}?"


def _delete(thoth: Thoth, found: list[Source], collection: str | None) -> list[int]:
    some = iter(each.source for each in found)
    return [
        thoth.delete(where={"source": {"$in": together}}, collection=collection)
        for together in iter(lambda: list(itertools.islice(some, _TOGETHER)), [])
    ]
