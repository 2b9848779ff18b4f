from __future__ import annotations

import io

from cli.ingest_words import say_files
from cli.output import Output
from thoth_core import IngestReport


def test_a_note_that_is_true_of_many_files_names_three_of_them() -> None:
    err = io.StringIO()
    report = IngestReport(notes=[(f"/x/{n}", "there is no text in it") for n in range(9)])
    report.notes.insert(4, ("/x/odd\n", "it is no UTF-8"))
    say_files(Output(err=err), report)
    assert err.getvalue().splitlines() == [
        "note: /x/0: there is no text in it",
        "note: /x/1: there is no text in it",
        "note: /x/2: there is no text in it",
        "note: 6 more files of which the same is true: there is no text in it",
        "note: /x/odd\\n: it is no UTF-8",
    ]
