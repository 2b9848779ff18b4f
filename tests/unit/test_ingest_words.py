from __future__ import annotations

import io

from cli.ingest_words import say_files, skipped
from cli.output import Output
from thoth_core import IngestReport
from thoth_core.client.ingest_account import OTHER, Account


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


def test_endings_that_no_reader_knows_are_named_those_of_most_files_first() -> None:
    report = IngestReport(skipped={"unsupported": 12, "hidden": 1})
    assert skipped(report) == "1 hidden, 12 unsupported"
    report.endings = {".xlsx": 2, "": 4, ".a": 2, ".png": 1, ".svg": 1, ".zip": 1, ".z": 1}
    assert skipped(report) == (
        "1 hidden, 12 unsupported (4 without an ending, 2 .a, 2 .xlsx, 1 .png, 1 .svg, …)"
    )


def test_an_ending_writes_no_line_of_its_own() -> None:
    report = IngestReport(skipped={"unsupported": 1}, endings={".p\nfiles: 99 n": 1})
    assert "\n" not in skipped(report)


def test_endings_without_end_are_counted_together() -> None:
    account = Account(None, None)
    for n in range(1000):
        account.unsupported(f".{n}")
    account.unsupported(".XLSX" + "x" * 99)
    account.unsupported(".0")
    endings = account.report.endings
    assert sum(endings.values()) == 1002 and len(endings) <= 201
    assert endings[".0"] == 2 and endings[OTHER] == 801
    bad = Account(None, None)
    bad.unsupported(".\udcff")
    bad.unsupported(".PNG")
    assert bad.report.endings == {".\\udcff": 1, ".png": 1}
