"""``thoth``: the command line over a running service, which it starts if need be.

Imports no more than it must: ``thoth --help`` is there before the finger has left the key.
"""

from __future__ import annotations

import sys

import click

from cli.examples import examples
from cli.lazy import LazyGroup
from cli.options import collection_option, common
from cli.run import run

COMMANDS = {
    "ingest": ("cli.ingest", "ingest", "Read, chunk and store files and folders."),
    "watch": ("cli.watch_folders", "watch", "Keep a collection in step with folders."),
    "query": ("cli.query", "query", "Find the chunks nearest to a text."),
    "ask": ("cli.ask", "ask", "Have a question answered from what is stored, with citations."),
    "chunks": ("cli.chunks", "chunks", "Show what chunks would be made of a file."),
    "show": ("cli.show", "show", "Show one chunk wholly, and its neighbours."),
    "sources": ("cli.sources", "sources", "List what the chunks come from."),
    "embed": ("cli.embed", "embed", "Turn texts into vectors."),
    "collections": ("cli.collections", "collections", "List, create, rename, reembed, delete."),
    "stats": ("cli.stats", "stats", "How much is stored."),
    "verify": ("cli.verify", "verify", "Check the index against what is stored."),
    "doctor": ("cli.doctor", "doctor", "What is wrong, and the command that mends it."),
    "compact": ("cli.compact", "compact", "Give back the disk that is not used any more."),
    "export": ("cli.transfer", "export", "Write collections to a file that others can read."),
    "import": ("cli.transfer", "import_", "Bring in what export wrote."),
    "rescue": ("cli.rescue", "rescue", "Bring in a Chroma directory, healthy or damaged."),
    "salvage": ("cli.salvage", "salvage", "Save what is left of a damaged ledger."),
    "quarantine": (
        "cli.quarantine",
        "quarantine",
        "Texts that crash the model: list, clear, retry.",
    ),
    "delete": ("cli.delete", "delete", "Delete chunks by source, by id or by filter."),
    "completion": ("cli.completion_script", "completion", "Print what has a shell complete words."),
    "config": ("cli.config", "config", "Show the settings and where they come from."),
}


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from thoth_core import __version__

        click.echo(f"thoth {__version__}")
        ctx.exit()


@examples(
    ("thoth ingest docs/", "read and store a folder; again after every change"),
    ('thoth query "what happens to a late frame?"', "the nearest passages"),
    ("thoth collections", "what there is"),
)
@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="The service itself: thoth-supervisor --help",
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version)
@common
@collection_option
def thoth() -> None:
    """Embed text, store it, and find it again. Starts its service by itself."""


def main() -> None:
    """The console script."""
    sys.exit(run(thoth, "thoth"))


if __name__ == "__main__":
    main()
