"""``thoth show``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from cli.examples import examples
from cli.harmless import harmless, name
from cli.narrow_options import here
from cli.options import Options, collection_option, common
from cli.passages import DIM, PLAIN
from cli.places import moment, place
from cli.terminal import color_option, shows_bold

if TYPE_CHECKING:
    from cli.output import Output
    from thoth_core import Row, Shown

#: What the place says already.
_PLACE = frozenset({"source", "page", "page_end", "heading", "line_start", "line_end"})


@examples(
    ("thoth show 3f2a9c81d0b7", "by the id that thoth query prints, or its beginning"),
    ("thoth show 3f2a9c81d0b7 --context 2", "also two chunks before and after it in its document"),
)
@click.command()
@click.argument("id")
@click.option(
    "--context",
    type=click.IntRange(0, 100),
    default=0,
    metavar="N",
    help="Also N chunks before and after it in its document.",
)
@color_option
@common
@collection_option
@click.pass_obj
def show(options: Options, id: str, context: int, color: str) -> None:
    """Show one chunk wholly: text, metadata, and where it stands.

    ID may be cut to its beginning, as thoth query prints it, as long as no other id begins so.
    """
    with options.thoth() as thoth:
        found = thoth.show(id, context, options.collection)
        collection = options.collection or thoth.settings.collection_name
    output = options.output
    if output.json:
        output.document(
            {
                "collection": collection,
                **_told(found.chunk),
                "stored": None if found.stored is None else found.stored.isoformat(),
                "before": [_told(each) for each in found.before],
                "after": [_told(each) for each in found.after],
            }
        )
        return
    _show(output, found, shows_bold(output.out, color))


def _told(row: Row) -> dict[str, Any]:
    metadata = row.metadata or {}
    source = str(metadata.get("source", ""))
    return {"id": row.id, "text": row.text, "source": source, "metadata": metadata}


def _show(output: Output, found: Shown, bold: bool) -> None:
    def label(text: str) -> None:
        output.styled(f"{DIM}{text}{PLAIN}" if bold else text)

    folder, metadata = here(), found.chunk.metadata or {}
    label(f"id: {name(found.chunk.id)}")
    where = _place(found.chunk, folder)
    if where:
        label(f"place: {where}")
    if found.stored is not None:
        label(f"stored: {moment(found.stored)}")
    for key, value in metadata.items():
        if key not in _PLACE:
            label(f"{name(key)}: {_value(value)}")
    around = [*found.before, found.chunk, *found.after]
    for each in around:
        output.line()
        if len(around) > 1:
            mark = ">" if each is found.chunk else "-"
            label(f"{mark} {name(each.id)}  {_place(each, folder)}")
        output.line(harmless(each.text) if each.text is not None else "(no text)")


def _place(row: Row, folder: str) -> str:
    metadata = row.metadata or {}
    return place(str(metadata.get("source", "")), metadata, folder)


def _value(value: Any) -> str:
    return name(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
