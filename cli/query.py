"""``thoth query``."""

from __future__ import annotations

import click

from cli.options import Options, collection_option, common, parse_filter

_SHOWN = 300


@click.command()
@click.argument("text")
@click.option("-k", type=click.IntRange(min=1), help="How many hits; default RAG_RETRIEVAL_K.")
@click.option("--where", metavar="JSON", help="Only chunks whose metadata is so.")
@click.option("--where-document", metavar="JSON", help="Only chunks whose text is so.")
@common
@collection_option
@click.pass_obj
def query(
    options: Options, text: str, k: int | None, where: str | None, where_document: str | None
) -> None:
    """Find the chunks nearest to TEXT, best first."""
    filters = parse_filter(where, "--where"), parse_filter(where_document, "--where-document")
    with options.thoth() as thoth:
        hits = thoth.query(text, k, *filters, collection=options.collection)
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
    for n, hit in enumerate(hits, 1):
        line = hit.metadata.get("line_start")
        place = hit.source + (f":{line}" if line is not None else "")
        output.line(f"{n}. {hit.score:.4f}  {place or hit.id}")
        shown = " ".join((hit.text or "").split())
        output.line("   " + (shown if len(shown) <= _SHOWN else shown[: _SHOWN - 1] + "…"))
    if not hits:
        which = " that matches the filter" if where or where_document else ""
        output.note(f"nothing{which} was found in the collection {collection}")
