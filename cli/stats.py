"""``thoth stats``."""

from __future__ import annotations

import click

from cli.options import Options, collection_option, common


@click.command()
@common
@collection_option
@click.pass_obj
def stats(options: Options) -> None:
    """How much is stored, in all collections or in one, and how much room it takes."""
    with options.thoth() as thoth:
        found = thoth.stats(options.collection)
    output = options.output
    if output.json:
        output.document(found)
        return
    for c in found.get("collections") or ():
        model = c.get("model")
        name = model.get("name") if isinstance(model, dict) else model
        output.line(
            f"{c.get('name')}\t{c.get('chunks', 0)} chunks\t{c.get('documents', 0)} documents"
            f"\t{name or '-'}"
        )
    for name in ("ledger_bytes", "index_bytes"):
        if isinstance(found.get(name), int):
            output.line(f"{name.removesuffix('_bytes')}: {found[name] / 1e6:,.1f} MB")
