"""``thoth compact``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from cli.examples import examples
from cli.options import Options, common
from thoth_core.errors import EXIT_FAILED, EXIT_PARTLY, from_dict


@examples(
    ("thoth compact", "after many deletes"),
    exits={1: "neither ledger nor index could be compacted", 3: "one of the two could not"},
)
@click.command()
@common
@click.pass_obj
def compact(options: Options) -> int:
    """Give back the disk that ledger and index keep and do not use any more.

    After many deletes, or a collection that was embedded anew. Reads and writes go on meanwhile.
    Exit code 3 if only one of the two could be done, 1 if neither.
    """
    with options.thoth() as thoth:
        report = thoth.compact()
    output = options.output
    parts = {name: report.get(name) or {} for name in ("ledger", "index")}
    bad = [name for name, part in parts.items() if part.get("problem")]
    if output.json:
        output.document(report)
    else:
        for name, part in parts.items():
            if "after" in part:
                output.line(f"{name}: {_megabytes(part, 'before')} -> {_megabytes(part, 'after')}")
        for name in bad:
            output.warn(f"{name}: {from_dict(parts[name]['problem'])}")
    if not bad:
        return 0
    return EXIT_FAILED if len(bad) == len(parts) else EXIT_PARTLY


def _megabytes(part: Mapping[str, Any], name: str) -> str:
    return f"{int(part.get(name) or 0) / 1e6:,.1f} MB"
