"""``thoth rescue``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.examples import examples
from cli.options import Options, common
from cli.output import Output, Progress
from thoth_core.errors import EXIT_FAILED, EXIT_PARTLY

if TYPE_CHECKING:
    from thoth_core.client.rescue_report import RescuedCollection, RescueReport

#: Rows named on the terminal; --json names more.
_NAMED = 5
_LEFT_OUT = (
    "rows without a vector were left out; where it is known which model made the others they are "
    "embedded anew: thoth rescue DIRECTORY --model NAME"
)
_TO_BE_LEFT_OUT = "rows without a vector are brought in only with --model NAME, embedded anew by it"


@examples(
    ("thoth rescue old/vector_db --check", "only look"),
    ("thoth rescue old/vector_db", "bring everything in"),
    (
        "thoth rescue old/vector_db --collection notes --as notes-2",
        "one collection, under another name",
    ),
    exits={
        1: "with --check: it is damaged",
        3: "some rows could not be brought in as they were",
    },
)
@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--collection",
    "collections",
    multiple=True,
    metavar="NAME",
    help="Only this one; may be given often.",
)
@click.option("--as", "as_name", metavar="NAME", help="The name that a single one is to have.")
@click.option("--model", metavar="NAME", help="The model that made the vectors.")
@click.option("--check", is_flag=True, help="Only report; exit with 1 if it is damaged.")
@common
@click.pass_obj
def rescue(
    options: Options,
    directory: Path,
    collections: tuple[str, ...],
    as_name: str | None,
    model: str | None,
    check: bool,
) -> int:
    """Bring in a Chroma DIRECTORY that any program made, healthy or damaged.

    It is read as plain files and never written to: ids, texts, metadata and vectors come as they
    are, collections keep their names. Exits with 3 if a row could not be brought in as it was.
    """
    output = options.output
    chosen = list(collections) or ([options.collection] if options.collection else None)
    if check:
        from thoth_core.client.rescue_read import look

        report = look(directory, chosen)
        _say(output, report, stored=False)
        return EXIT_FAILED if report.findings else 0
    progress = Progress(output, "rows")
    with options.thoth() as thoth:
        try:
            report = thoth.rescue(directory, chosen, as_name, model, progress.update)
        finally:
            progress.end()
    _say(output, report, stored=True)
    return 0 if report.whole else EXIT_PARTLY


def _say(output: Output, report: RescueReport, *, stored: bool) -> None:
    if output.json:
        output.document(report.to_dict())
        return
    for finding in report.findings:
        output.line(f"damaged: {finding}")
    for loss in report.losses:
        output.line(f"unreadable: {loss}")
    for each in report.collections:
        output.line(_line(each))
        for note in dict.fromkeys(each.notes):
            output.line(f"  {note}")
        if each.without_vector and not each.model:
            output.line(f"  {_LEFT_OUT if stored else _TO_BE_LEFT_OUT}")
        if each.values_left_out:
            output.line(f"  {each.values_left_out:,} values of metadata cannot be kept")
        for id, reason in each.reasons[:_NAMED]:
            output.line(f"  refused: {id}: {reason}")
        if each.refused > _NAMED:
            output.line(f"  refused: {each.refused:,} in all")
    if stored:
        output.line(f"brought in: {report.stored:,} rows")
    elif not report.findings:
        output.line("nothing is damaged")


def _line(each: RescuedCollection) -> str:
    found = [
        f"{count:,} {where}"
        for count, where in (
            (each.from_index, "from the index"),
            (each.from_log, "from the log"),
            (each.from_chroma, "by Chroma itself"),
        )
        if count
    ]
    parts = [
        each.name if each.to == each.name else f"{each.name} as {each.to}",
        f"{each.rows:,} rows",
        f"{each.vectors:,} vectors" + (f" ({', '.join(found)})" if found else ""),
    ]
    if each.model:
        parts.append(f"of {each.model}")
    if each.embedded:
        parts.append(f"{each.embedded:,} embedded anew")
    parts.append(f"{each.without_vector:,} without a vector")
    return "\t".join(parts)
