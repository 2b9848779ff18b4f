"""``thoth salvage``."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from cli.examples import examples
from cli.options import Options, common
from thoth_core.errors import EXIT_PARTLY, InvalidInput

#: A ledger, and what SQLite keeps beside it.
_BESIDE = ("", "-wal", "-shm", "-journal")


@examples(
    (
        "thoth salvage damaged saved.zip",
        "damaged has ledger.sqlite3 in it; then: thoth import saved.zip",
    ),
    exits={3: "something could not be read"},
)
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
    from thoth_core.ledger_salvage import NAME
    from thoth_core.ledger_salvage import salvage as work

    _check_target(ledger / NAME if ledger.is_dir() else ledger, file)
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
        output.note(f"bring it in: thoth import {shlex.quote(str(file))}")
    return 0 if report.whole else EXIT_PARTLY


def _check_target(ledger: Path, file: Path) -> None:
    for suffix in _BESIDE:
        part = ledger.with_name(ledger.name + suffix)
        # One that is not there yet would be taken for a part of the ledger later.
        same = file.resolve() == part.resolve()
        if same or (file.exists() and part.exists() and file.samefile(part)):
            raise InvalidInput(
                f"{file} is a part of the ledger that is to be read",
                cause="what is saved takes the place of the file that it is written to",
                fix="name another file",
            )
