"""``thoth ingest``."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from cli.cost import say_cost
from cli.examples import examples
from cli.options import Options, collection_option, common
from cli.output import Output
from thoth_core.errors import EXIT_FAILED, EXIT_PARTLY, InvalidInput

if TYPE_CHECKING:
    from cli.ingest_words import Telling
    from thoth_core import DryRunReport, IngestReport, Thoth


@examples(
    ("thoth ingest docs/", "a folder; what has not changed is skipped"),
    (
        "thoth ingest --collection notes docs/ask.md docs/export.md",
        "files, into a collection of their own",
    ),
    ("thoth ingest --prune docs/", "also remove what is stored of files that are gone"),
    ("thoth ingest --dry-run docs/", "what would be embedded, and what that would cost"),
    ("date | thoth ingest - --name today", "a text on standard input"),
    ("thoth ingest --events docs/", "one JSON event a file as it goes on, for a program"),
    exits={
        1: "every file failed",
        3: "some files failed, the others are stored; the report names them",
    },
)
@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "--dry-run", is_flag=True, help="Only say what would be embedded, and what that would cost."
)
@click.option("--prune", is_flag=True, help="Remove what is stored of files that are gone.")
@click.option("--no-ignore", is_flag=True, help="Heed no .gitignore and no .thothignore.")
@click.option("--name", help="What a text on standard input is to be known as; else it is -.")
@click.option("--events", is_flag=True, help="One JSON event a file while it goes on.")
@common
@collection_option
@click.pass_obj
def ingest(
    options: Options,
    paths: tuple[str, ...],
    dry_run: bool,
    prune: bool,
    no_ignore: bool,
    name: str | None,
    events: bool,
) -> int:
    """Read, chunk and store files and folders; what has not changed is skipped.

    PATH is a file, a folder, or - for a text on standard input, which takes the place of what was
    there under its --name. A file that was moved within PATH
    keeps its vectors; with --prune documents below PATH whose file is gone, or ignored now, are
    removed. Exits with 3 if some files failed; the report names them. With --dry-run nothing is
    embedded, stored or removed.
    """
    if "-" in paths and len(paths) > 1:
        raise click.UsageError("- stands alone: standard input is one text")
    if name is not None and paths != ("-",):
        raise click.UsageError("--name is for a text on standard input; files have their paths")
    if "-" in paths and prune:
        raise click.UsageError("--prune is for files and folders, not for standard input")
    from cli.ingest_words import Telling
    from thoth_core import IngestReport

    output = options.output
    if events:
        output.json = True
    telling = Telling(output, events=events)
    report: IngestReport | DryRunReport
    with options.thoth() as thoth:
        try:
            if paths == ("-",):
                report = _standard_input(
                    thoth, name or "-", options.collection, telling, dry_run=dry_run
                )
            else:
                report = thoth.ingest(
                    paths,
                    options.collection,
                    telling.progress,
                    on_file=telling.file,
                    prune=prune,
                    ignore=not no_ignore,
                    dry_run=dry_run,
                )
        except KeyboardInterrupt:
            telling.end()
            if not dry_run:
                output.note("what is stored stays; the same command goes on where this one stopped")
            raise
        finally:
            telling.end()
    if isinstance(report, IngestReport):
        say_cost(output, report.cost)
    if events:
        output.event({"event": "done"} | report.to_dict())
    elif output.json:
        output.document(report.to_dict())
    elif isinstance(report, IngestReport):
        say(output, report)
    else:
        from cli.dry_run import say as say_dry

        say_dry(output, report)
    return exit_code(report)


def _standard_input(
    thoth: Thoth, name: str, collection: str | None, telling: Telling, *, dry_run: bool
) -> IngestReport | DryRunReport:
    from thoth_core import IngestReport
    from thoth_core.documents.decoding import decode

    try:
        text = decode(sys.stdin.buffer.read())
    except InvalidInput as error:
        if not dry_run:
            return IngestReport(failed=[(name, error)])
        # One of no files has all else that is in such a report.
        report = thoth.ingest([], collection, dry_run=True)
        return replace(report, failed=[(name, error)])
    if dry_run:
        return thoth.ingest_text(text, name, collection, telling.progress, dry_run=True)
    return thoth.ingest_text(text, name, collection, telling.progress)


def exit_code(report: IngestReport | DryRunReport) -> int:
    """0 if all went well, 3 if a part did, 1 if nothing did."""
    if not report.failed:
        return 0
    done = report.new or report.changed or report.unchanged or report.moved or report.removed
    return EXIT_PARTLY if done else EXIT_FAILED


def say(output: Output, report: IngestReport, *, files: bool = True) -> None:
    """The report, for people; without ``files`` only its sums."""
    from cli.ingest_words import chunks, counts, gone, say_files, skipped

    if files:
        say_files(output, report)
    output.line(f"files: {counts(report)}")
    if report.skipped:
        output.line(f"skipped: {skipped(report)}")
    output.line(f"chunks: {chunks(report)}")
    if report.gone:
        output.note(f"{gone(report.gone)}: thoth ingest --prune removes what is stored of them")
