"""``thoth ingest --dry-run``: what it says to people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.ingest_words import counts, say_files, skipped
from cli.output import Output
from thoth_core.prices import cost_words

if TYPE_CHECKING:
    from thoth_core import DryRunReport


def say(output: Output, report: DryRunReport) -> None:
    """A table on standard output; what is wrong with files, and what is odd, on standard error."""
    say_files(output, report)
    repeated = (
        f"; {report.repeated:,} more repeat a text that is to be embedded"
        if report.repeated
        else ""
    )
    old = report.unchanged_chunks
    where = f", {old:,} of them in unchanged files" if old else ""
    rows = [
        ("collection", report.collection),
        ("model", report.model),
        ("files", counts(report)),
        *([("skipped", skipped(report))] if report.skipped else []),
        ("chunks", f"{report.chunks:,} in new and changed files"),
        ("stored already", f"{report.stored:,}, with a vector of this model{where}{repeated}"),
        ("to embed", f"{report.to_embed:,} chunks, {report.tokens_to_embed:,} tokens"),
        ("tokens", f"{report.tokens:,} in new and changed files, counted with {report.encoding}"),
        ("price", cost_words(report.model, report.cost)),
    ]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        output.line(f"{name:<{width}}  {value}")
    output.note("nothing was embedded or stored: this was a dry run")
