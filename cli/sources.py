"""``thoth sources``."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from cli.completion import complete_sources
from cli.examples import examples
from cli.harmless import escaped_json, name
from cli.narrow_options import here
from cli.options import Options, collection_option, common
from cli.output import SCHEMA_VERSION, Output
from cli.places import moment, relative
from thoth_core.errors import ThothError

if TYPE_CHECKING:
    from thoth_core import Source

_TOGETHER = 500


@examples(
    ("thoth sources", "each document, with its chunks and when it was stored"),
    (
        "thoth sources 'docs/**/*.md' '*.pdf' --since 7d",
        "those that match, stored in the last week",
    ),
    ("thoth sources --limit 20 --json", "for a program"),
)
@click.command()
@click.argument("globs", metavar="[GLOB]...", nargs=-1, shell_complete=complete_sources)
@click.option("--since", metavar="WHEN", help="Only documents stored since, as for thoth query.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="So many at most.")
@common
@collection_option
@click.pass_obj
def sources(options: Options, globs: tuple[str, ...], since: str | None, limit: int | None) -> int:
    """What the chunks come from: each source with its chunks, and when it was stored.

    All of them, or those that a GLOB matches: notes/*.md, docs/ or *.pdf. They are read and printed
    page by page.
    """
    output = options.output
    with options.thoth() as thoth:
        collection = options.collection or thoth.settings.collection_name
        found = thoth.sources(list(globs) or None, since, options.collection)
        some = itertools.islice(found, limit)
        # What is wrong at all is said before anything of the result.
        first = next(some, None)
        every = itertools.chain([first], some) if first is not None else iter(())
        if output.json:
            return _as_json(output, collection, every)
        folder = here()
        for each in every:
            bad = "" if each.complete or each.stored is None else "\tincomplete"
            where = name(relative(each.source, folder))
            output.line(f"{where}\t{each.chunks} chunks\t{moment(each.stored)}{bad}")
    if first is None:
        which = " that matches" if globs or since else ""
        output.note(f"no source{which} is in the collection {collection}")
    return 0


def _as_json(output: Output, collection: str, found: Iterator[Source]) -> int:
    """One document, written as it comes: a collection may have more sources than memory holds."""
    head = json.dumps({"schema_version": SCHEMA_VERSION, "collection": collection})
    output.piece(f'{head[:-1]}, "sources": [')
    between = ""
    try:
        while some := [json.dumps(each.to_dict()) for each in itertools.islice(found, _TOGETHER)]:
            output.piece(between + escaped_json(", ".join(some)))
            between = ", "
    except ThothError as error:
        told = {"code": error.code, "message": error.message}
        output.piece(f'], "error": {json.dumps(told)}}}\n')
        # The document is there; the rest is for whoever watches.
        output.json = False
        output.error(error)
        return error.exit_code
    output.piece("]}\n")
    return 0
