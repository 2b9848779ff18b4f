"""``thoth stats``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from cli.examples import examples
from cli.options import Options, collection_option, common

#: Unused bytes that are worth a word.
WORTH_IT = 8 * 1024 * 1024


@examples(
    ("thoth stats", "chunks of each collection, and what all of it takes on the disk"),
    ("thoth stats --collection notes --json", "one collection, for a program"),
)
@click.command()
@common
@collection_option
@click.pass_obj
def stats(options: Options) -> None:
    """How much is stored, in all collections or in one, and how much room all of it takes."""
    with options.thoth() as thoth:
        found = thoth.stats(options.collection)
    output = options.output
    if output.json:
        output.document(found)
        return
    for c in found.get("collections") or ():
        output.line(
            f"{c.get('name')}\t{c.get('chunks', 0)} chunks\t{c.get('documents', 0)} documents"
            f"\t{_name(c.get('model'))}"
        )
        made = c.get("reembed")
        if isinstance(made, Mapping):
            name = _name(made.get("model"))
            output.line(
                f"  {made.get('chunks', 0)} of them are embedded with {name} so far: thoth "
                f"collections reembed {c.get('name')} --model {name} goes on, --abort gives up"
            )
    for line in _totals(found):
        output.line(line)


def _name(model: Any) -> str:
    name = model.get("name") if isinstance(model, Mapping) else model
    return str(name or "-")


def _totals(found: Mapping[str, Any]) -> list[str]:
    lines = []
    if isinstance(found.get("chunks"), int):
        lines.append(f"total: {found['chunks']:,} chunks, {found.get('vectors', 0):,} vectors")
    for name in ("ledger", "index"):
        size, each = found.get(f"{name}_bytes"), found.get(f"{name}_bytes_per_chunk")
        if isinstance(size, int):
            a_chunk = f", {each:,} bytes a chunk" if isinstance(each, int) else ""
            free = found.get(f"{name}_free_bytes") or 0
            unused = f", {free / 1e6:,.1f} MB unused (thoth compact)" if free > WORTH_IT else ""
            lines.append(f"{name}: {size / 1e6:,.1f} MB{a_chunk}{unused}")
    if found.get("staged"):
        lines.append(f"staged: {found['staged']:,} chunks of documents that are not complete yet")
    if found.get("unindexed"):
        lines.append(
            f"unindexed: {found['unindexed']:,} chunks that no index takes; they are searched by "
            "scan (thoth-supervisor status names them)"
        )
    return lines
