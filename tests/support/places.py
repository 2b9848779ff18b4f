"""Where known sentences stand, by the chunks that are made of a file."""

from __future__ import annotations

from thoth_core.chunking import Chunk, chunk
from thoth_core.documents.base import Content
from thoth_core.encoding import load_encoding


def chunks_of(content: Content, size: int = 60, overlap: int = 8) -> list[Chunk]:
    """The chunks of ``content``; checked to leave nothing out."""
    encoding = load_encoding("cl100k_base")
    chunks = chunk(
        content.text, size=size, overlap=overlap, tokenizer=encoding, layout=content.layout
    )
    covered = 0
    for each in chunks:
        assert content.text[each.start : each.end] == each.text
        assert not content.text[covered : each.start].strip(), "a character was left out"
        covered = each.end
    assert not content.text[covered:].strip()
    return chunks


def chunk_with(chunks: list[Chunk], sentence: str) -> Chunk:
    """The first chunk that holds ``sentence``."""
    return next(each for each in chunks if sentence in each.text)
