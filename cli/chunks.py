"""``thoth chunks``."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.examples import examples
from cli.harmless import harmless, name
from cli.narrow_options import here
from cli.options import Options, common
from cli.passages import DIM, PLAIN
from cli.places import place
from cli.terminal import color_option, shows_bold

if TYPE_CHECKING:
    from thoth_core.chunking import Chunk
    from thoth_core.documents.base import Document, FileBytes


@examples(
    ("thoth chunks docs/ask.md", "each chunk with its place, and its tokens"),
    ("thoth chunks docs/ask.md --size 200 --overlap 20", "in smaller ones"),
    ("cat docs/ask.md | thoth chunks - --name page.md --json", "standard input, for a program"),
)
@click.command()
@click.argument("file", metavar="FILE")
@click.option("--size", metavar="TOKENS", help="Instead of RAG_CHUNK_SIZE.")
@click.option("--overlap", metavar="TOKENS", help="Instead of RAG_CHUNK_OVERLAP.")
@click.option("--name", "called", metavar="NAME", help="What - is called, for its suffix.")
@color_option
@common
@click.pass_obj
def chunks(
    options: Options,
    file: str,
    size: str | None,
    overlap: str | None,
    called: str | None,
    color: str,
) -> None:
    """Show the chunks that would be made of a file, and their places in it.

    FILE may be - for standard input. No service is needed, and nothing is stored.
    """
    if called is not None and file != "-":
        raise click.UsageError("--name is for -, standard input")
    from thoth_core.chunking import chunk
    from thoth_core.client.reading import Reading
    from thoth_core.encoding import load_encoding

    given = {"chunk_size": size, "chunk_overlap": overlap}
    settings = options.settings(**{key: each for key, each in given.items() if each is not None})
    encoding = load_encoding(settings.chunk_encoding)
    held = _standard_input(called) if file == "-" else _file(file)
    with Reading(settings) as reading:
        document = reading.document(held)
    made = chunk(
        document.text,
        size=settings.chunk_size,
        overlap=settings.chunk_overlap,
        tokenizer=encoding,
        layout=document.layout,
    )
    notes = [document.note] if document.note else []
    if not made and not notes:
        notes.append("there is no text in it")
    if encoding.substituted:
        notes.append(f"{encoding.asked} is not on this machine: {encoding.name} counts instead")
    if options.output.json:
        options.output.document(
            {
                "source": document.source,
                "format": held.format.name,
                "title": document.title,
                "notes": notes,
                "encoding": encoding.name,
                "size": settings.chunk_size,
                "overlap": settings.chunk_overlap,
                "chunks": [_told(document, each) for each in made],
            }
        )
        return
    _show(options, held, document, made, notes, color)


def _file(path: str) -> FileBytes:
    from thoth_core.documents.base import read_file

    return read_file(path)


def _standard_input(called: str | None) -> FileBytes:
    from thoth_core.documents.base import MAX_FILE_BYTES, FileBytes, file_error, format_of
    from thoth_core.errors import InvalidInput

    data = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise file_error(InvalidInput, "-", f"it is larger than {MAX_FILE_BYTES // 2**20} MB")
    digest = hashlib.sha256(data).hexdigest()
    return FileBytes(called or "-", data, digest, format_of(Path(called or "-"), data))


def _told(document: Document, each: Chunk) -> dict[str, Any]:
    from thoth_core.client.packs import metadata_of

    metadata = metadata_of(document.source, each, document.title)
    return {"text": each.text, "tokens": each.tokens, "metadata": metadata}


def _show(
    options: Options,
    held: FileBytes,
    document: Document,
    made: list[Chunk],
    notes: list[str],
    color: str,
) -> None:
    output, folder = options.output, here()
    bold = shows_bold(output.out, color)
    for note in notes:
        output.note(f"note: {note}")
    for each in made:
        where = place(document.source, _told(document, each)["metadata"], folder)
        label = f"--- {each.ordinal}  {where}  ({each.tokens} tokens)"
        output.styled(f"{DIM}{label}{PLAIN}" if bold else label)
        output.line(harmless(each.text))
    tokens = sum(each.tokens for each in made)
    count = f"{len(made):,} chunk{'' if len(made) == 1 else 's'}"
    output.note(f"{count}, {tokens:,} tokens, of {name(document.source)} ({held.format.name})")
