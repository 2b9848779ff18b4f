"""``thoth query``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from cli import passages
from cli.examples import examples
from cli.harmless import harmless, one_line
from cli.narrow_options import here, narrow_options
from cli.options import Options, collection_option, common, parse_filter
from cli.places import place, short_id
from cli.terminal import color_option, shows_bold, width

if TYPE_CHECKING:
    from cli.output import Output
    from thoth_core import Hit

#: Characters of a passage where there is no terminal, and its lines on one.
_SHOWN, _LINES = 300, 4
_INDENT = "   "


@examples(
    ('thoth query "what happens to a late frame?"', "the nearest passages, best first"),
    ('thoth query "a late frame" -k 10 --json', "ten of them, for a program"),
    (
        "thoth query \"a late frame\" --source 'docs/*.md' --since 7d",
        "only in these files, and stored in the last week",
    ),
    (
        'thoth query "a late frame" --where \'{"title": "The protocol"}\'',
        "only in chunks with this metadata",
    ),
    (
        'thoth query "a late frame" --where-document \'{"$contains": "epoch"}\'',
        "only in chunks with this word",
    ),
    exits={5: "a key or a quota that is refused, with a model of a provider"},
)
@click.command()
@click.argument("text")
@click.option("-k", type=click.IntRange(min=1), help="How many hits; default RAG_RETRIEVAL_K.")
@narrow_options
@click.option("--where", metavar="JSON", help="Only chunks whose metadata is so.")
@click.option("--where-document", metavar="JSON", help="Only chunks whose text is so.")
@click.option("--full", is_flag=True, help="Whole passages, not the best of each.")
@color_option
@common
@collection_option
@click.pass_obj
def query(
    options: Options,
    text: str,
    k: int | None,
    source: tuple[str, ...],
    since: str | None,
    where: str | None,
    where_document: str | None,
    full: bool,
    color: str,
) -> None:
    """Find the chunks nearest to TEXT, best first.

    The words of TEXT are marked in each passage, and the passage is cut to the part with the most
    of them. The id below it is what thoth show takes.
    """
    filters = parse_filter(where, "--where"), parse_filter(where_document, "--where-document")
    with options.thoth() as thoth:
        hits = thoth.query(
            text, k, *filters, collection=options.collection, source=source or None, since=since
        )
        collection = options.collection or thoth.settings.collection_name
    output = options.output
    if output.json:
        results = [
            {
                "id": hit.id,
                "text": hit.text,
                "source": hit.source,
                "score": hit.score,
                "metadata": hit.metadata,
            }
            for hit in hits
        ]
        output.document({"query": text, "collection": collection, "results": results})
        return
    _show(output, text, hits, full, shows_bold(output.out, color))
    if not hits:
        narrow = where or where_document or source or since
        which = " that matches" if narrow else ""
        output.note(f"nothing{which} was found in the collection {collection}")


def _show(output: Output, text: str, hits: Sequence[Hit], full: bool, bold: bool) -> None:
    folder, cells = here(), width(output.out)
    words = passages.words_of(text)
    for n, hit in enumerate(hits, 1):
        where = place(hit.source, hit.metadata, folder) or short_id(hit.id)
        output.line(f"{n}. {hit.score:.4f}  {where}")
        for line in _lines(hit.text or "", words, cells, full):
            output.styled(_INDENT + (passages.marked(line, words) if bold else line))
        label = f"id: {short_id(hit.id)}"
        output.styled(_INDENT + (f"{passages.DIM}{label}{passages.PLAIN}" if bold else label))


def _lines(text: str, words: frozenset[str], cells: int | None, full: bool) -> list[str]:
    if full:
        return harmless(text).expandtabs().splitlines()
    line = one_line(text)
    if cells is None:
        return [passages.excerpt(line, words, _SHOWN)]
    room = cells - len(_INDENT)
    lines = [*passages.wrapped(passages.excerpt(line, words, room * _LINES), room)]
    # Wide characters take more room than they count.
    return lines if len(lines) <= _LINES + 1 else [*lines[:_LINES], lines[_LINES][:-1] + "…"]
