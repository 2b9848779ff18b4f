"""``thoth verify``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from cli.examples import examples
from cli.options import Options, common
from thoth_core.errors import EXIT_FAILED


@examples(
    ("thoth verify", "the index against what is stored"),
    exits={1: "something was wrong, and is being mended"},
)
@click.command()
@common
@click.pass_obj
def verify(options: Options) -> int:
    """Check the files of the index, compare all of it with the ledger, and search for a sample.

    What is wrong is mended by itself: the index is rebuilt from the ledger, nothing is embedded
    again, and searches are answered meanwhile. Exit code 1 if anything was wrong.
    """
    with options.thoth() as thoth:
        report = thoth.verify()
    output = options.output
    good = not report["findings"] and not report["differing"]
    # The search of the index is approximate; the store says whether too much was missed.
    good = good and (report["index_state"] == "healthy" or not _missed(report))
    if output.json:
        output.document({"good": good, **report})
        return 0 if good else EXIT_FAILED
    for finding in report["findings"]:
        output.line(f"damaged: {finding}")
    if report["differing"]:
        output.line(f"{report['differing']:,} of {report['rows']:,} rows were not as stored")
    if "asked" in report:
        few = ", as an approximate search may" if _missed(report) and good else ""
        output.line(f"found: {report['found']} of {report['asked']} sampled vectors{few}")
    output.line(f"rows: {report['rows']:,}")
    output.line(f"index: {report['index_state']}")
    return 0 if good else EXIT_FAILED


def _missed(report: Mapping[str, Any]) -> int:
    return int(report.get("asked", 0)) - int(report.get("found", 0))
