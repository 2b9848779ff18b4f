"""``thoth export`` and ``thoth import``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from cli.completion import complete_collections
from cli.examples import examples
from cli.options import F, Options, common
from cli.output import Output, Progress

_FILE = click.Path(path_type=Path)


def _collections(help: str) -> Callable[[F], F]:
    return click.option(
        "--collection",
        "collections",
        multiple=True,
        metavar="NAME",
        help=help,
        shell_complete=complete_collections,
    )


@examples(
    ("thoth export notes.zip", "all collections"),
    ("thoth export notes.zip --collection notes", "one; may be given often"),
)
@click.command()
@click.argument("file", type=_FILE)
@_collections("Only this one; may be given often.")
@common
@click.pass_obj
def export(options: Options, file: Path, collections: tuple[str, ...]) -> None:
    """Write all collections, or some, to FILE: texts, metadata and vectors.

    They are as they are at one moment, also while others write. FILE is a ZIP of JSON lines, which
    thoth import reads, and anything else that reads JSON.
    """
    _no_stream(file, "a ZIP file is written in more than one pass")
    progress = Progress(options.output, "chunks")
    with options.thoth() as thoth:
        try:
            report = thoth.export(file, _chosen(options, collections), progress.update)
        finally:
            progress.end()
    if options.output.json:
        options.output.document(
            {
                "file": report.path,
                "bytes": report.bytes,
                "collections": report.collections,
                "begun_anew": report.begun_anew,
            }
        )
        return
    _say(options.output, report.collections)
    options.output.line(f"{report.path}: {report.chunks} chunks, {report.bytes / 1e6:,.1f} MB")


@examples(
    ("thoth import notes.zip", "all collections of the file, under their names"),
    ("thoth import notes.zip --collection notes --as notes-2", "one, under another name"),
    exits={1: "the file is damaged, or a name is taken; nothing was stored"},
)
@click.command(name="import")
@click.argument("file", type=_FILE)
@_collections("Only this one of the file; may be given often.")
@click.option("--as", "as_name", metavar="NAME", help="The name that a single one is to have.")
@common
@click.pass_obj
def import_(
    options: Options, file: Path, collections: tuple[str, ...], as_name: str | None
) -> None:
    """Bring in what thoth export wrote to FILE, all of it or nothing. Embeds nothing.

    A file that is damaged is refused before anything is stored, and so is a collection whose name
    is taken. An import that was interrupted goes on when it is run again.
    """
    _no_stream(file, "the file is read twice: first to check it, then to import it")
    progress = Progress(options.output, "chunks")
    with options.thoth() as thoth:
        try:
            report = thoth.import_(file, _chosen(options, collections), as_name, progress.update)
        finally:
            progress.end()
    if options.output.json:
        options.output.document(
            {
                "file": report.path,
                "collections": report.collections,
                "resumed": report.resumed,
            }
        )
        return
    _say(options.output, report.collections)
    options.output.line(f"imported: {report.chunks} chunks")


def _chosen(options: Options, collections: tuple[str, ...]) -> list[str] | None:
    # thoth --collection NAME export FILE
    return list(collections) or ([options.collection] if options.collection else None)


def _no_stream(file: Path, why: str) -> None:
    if str(file) == "-":
        raise click.UsageError(f"a file is needed, not a stream: {why}")


def _say(output: Output, collections: list[dict[str, Any]]) -> None:
    for each in collections:
        output.line(f"{each['name']}\t{each['chunks']} chunks\t{each['documents']} documents")
