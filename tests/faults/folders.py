"""Folders of small files whose ingest takes a known time, and what an ingest of them stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.service import RealService

#: About 600 tokens by the supervisor's estimate, so that a unit holds about a hundred of them.
FILLER = "abcdefghi " * 240
#: Tokens of a chunk: a file is one chunk.
SETTINGS = {"RAG_CHUNK_SIZE": "2000", "RAG_CHUNK_OVERLAP": "0"}


def make_files(folder: Path, count: int, seconds: float) -> Path:
    """``count`` files; where faults are allowed, each takes ``seconds`` to embed."""
    folder.mkdir()
    for number in range(count):
        text = f"!slow:{seconds} this is the file number {number} {FILLER}"
        (folder / f"file-{number:04}.txt").write_text(text)
    return folder


def stored(service: RealService) -> dict[str, tuple[str | None, Any, bytes]]:
    """Everything in the default collection: text, metadata and vector by id."""
    with service.client() as thoth:
        rows = list(thoth.get(include=["vectors"]))
        assert thoth.count() == len(rows), "an id is there twice"
        assert len({row.id for row in rows}) == len(rows)
        for row in rows:
            assert row.vector is not None
        return {
            row.id: (row.text, row.metadata, row.vector.tobytes())
            for row in rows
            if row.vector is not None
        }


def stored_undisturbed(service: RealService, folder: Path) -> dict[str, Any]:
    """What one run, to which nothing happens, stores of ``folder`` in the fresh ``service``."""
    done = service.start(all_ready=False).run("thoth", "ingest", str(folder))
    assert done.returncode == 0, done.stderr
    return stored(service)
