"""``thoth watch``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.examples import examples
from cli.options import Options, collection_option, common

if TYPE_CHECKING:
    from thoth_core import FileOutcome


@examples(
    ("thoth watch docs/", "a folder, until Ctrl-C"),
    ("thoth watch --events docs/ old/", "two folders, one JSON event a file, for a program"),
)
@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="FOLDER...")
@click.option("--no-ignore", is_flag=True, help="Heed no .gitignore and no .thothignore.")
@click.option("--events", is_flag=True, help="One JSON event a file, and one a run.")
@common
@collection_option
@click.pass_obj
def watch(options: Options, paths: tuple[str, ...], no_ignore: bool, events: bool) -> int:
    """Keep the collection in step with folders, until Ctrl-C.

    First everything is ingested as by thoth ingest --prune; then what is written, changed, renamed
    or deleted is taken a moment later, by the same rules. With --json there is one document a run.
    """
    from cli.ingest import say
    from cli.ingest_words import Telling, said

    output = options.output
    as_json = events or output.json
    # Errors at the end are documents too.
    output.json = as_json
    telling = Telling(output, events=events)
    first = True

    def tell(each: FileOutcome) -> None:
        if as_json:
            telling.file(each)
        elif not first or each.outcome == "failed":
            telling.end()
            output.line(said(each))
            output.flush()

    with options.thoth() as thoth:
        try:
            for run in thoth.watch(
                paths,
                options.collection,
                None if events else telling.progress,
                on_file=tell,
                ignore=not no_ignore,
                on_event=output.note,
            ):
                telling.end()
                report = run.report
                if as_json:
                    what = {"event": "synced", "whole": run.whole}
                    output.event(what | report.to_dict())
                elif first:
                    say(output, report, files=False)
                    output.flush()
                    output.note(f"watching {', '.join(paths)}; Ctrl-C ends it")
                first = False
        finally:
            telling.end()
    return 0
