"""``thoth salvage``."""

from __future__ import annotations

from pathlib import Path

import click

from cli.options import Options, common
from thoth_core.errors import EXIT_PARTLY


@click.command()
@click.argument("ledger", type=click.Path(path_type=Path))
@click.argument("file", type=click.Path(path_type=Path))
@common
@click.pass_obj
def salvage(options: Options, ledger: Path, file: Path) -> int:
    """Write what can be read of a damaged LEDGER to FILE, for thoth import.

    LEDGER is the folder with ledger.sqlite3 in it, or that file; nothing is written there, and no
    service is needed. Exits with 3 if something could not be read.
    """
    from thoth_core.ledger_salvage import salvage as work

    report, output = work(ledger, file), options.output
    if output.json:
        output.document(
            {
                "file": str(file),
                "bytes": report.bytes,
                "collections": report.collections,
                "gaps": report.gaps,
                "garbled": report.garbled,
                "missing": report.missing,
            }
        )
    else:
        for each in report.collections:
            output.line(f"{each['name']}\t{each['chunks']} chunks\t{each['documents']} documents")
        lost = "an unknown number of" if report.missing is None else report.missing
        output.line(
            "everything could be read"
            if report.whole
            else f"lost: {lost} chunks ({report.gaps} unreadable places, {report.garbled} garbled)"
        )
        output.note(f"bring it in: thoth import {file}")
    return 0 if report.whole else EXIT_PARTLY
