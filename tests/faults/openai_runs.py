"""Ingests of the language reference, the demo's corpus, with a model behind the test server."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np

from tests.conftest import Make
from tests.support.openai_books import Request, needed_tokens
from tests.support.openai_server import OpenAIServer
from tests.support.openai_vectors import hashed
from tests.support.service import RealService
from thoth_core.chunking import chunk
from thoth_core.encoding import load_encoding
from thoth_core.ids import chunk_id

MODEL, WIDTH = "openai/text-embedding-3-small", 1536
COLLECTION = "thoth_knowledge"
#: As in the demo. Small batches, so that a run has enough requests for a share of them to fail.
CHUNK = {"RAG_CHUNK_SIZE": "180", "RAG_CHUNK_OVERLAP": "20", "RAG_EMBEDDING_BATCH_SIZE": "10"}


def settings_of(server: OpenAIServer) -> dict[str, str]:
    return {"OPENAI_BASE_URL": server.base_url, "API_OPENAI_KEY": server.key}


def make(make_service: Make, server: OpenAIServer, **more: str) -> RealService:
    """Not started yet."""
    return make_service(MODEL, **{**CHUNK, **settings_of(server), **more})


def corpus(folder: Path, every: int = 1) -> Path:
    """The language reference, one file a topic, or each ``every``-th topic of it."""
    folder.mkdir()
    for topic in sorted(topics)[::every]:
        (folder / f"{topic}.txt").write_text(topics[topic], encoding="utf-8")
    return folder


def expected(folder: Path, collection: str = COLLECTION) -> dict[str, str]:
    """Id to text of what an ingest of ``folder`` must store, worked out without the service."""
    encoding = load_encoding("cl100k_base")
    found = {}
    for path in sorted(folder.iterdir()):
        for piece in chunk(path.read_text(), size=180, overlap=20, tokenizer=encoding):
            found[chunk_id(collection, str(path), piece.ordinal, piece.text)] = piece.text
    return found


def ingest(service: RealService, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """The command, to its end; it starts the service where none runs."""
    return service.run("thoth", "ingest", str(folder), "--json", *more, timeout=110)


def report_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["files"]["failed"] == [], report
    return dict(report)


def check_stored(service: RealService, wanted: dict[str, str]) -> None:
    """Every chunk is stored once, with its own text and with the vector of that text."""
    texts, vectors = stored(service)
    assert texts == wanted
    ids = sorted(wanted)
    right = hashed([wanted[id] for id in ids], WIDTH)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    cosines = (np.stack([vectors[id] for id in ids]) * right).sum(axis=1)
    assert cosines.min() > 0.99999, ids[int(cosines.argmin())]


def stored(service: RealService) -> tuple[dict[str, str | None], dict[str, Any]]:
    with service.client() as thoth:
        rows = list(thoth.get(include=["vectors"]))
        assert thoth.count() == len(rows) == len({row.id for row in rows})
        return {row.id: row.text for row in rows}, {row.id: row.vector for row in rows}


def check_paid(server: OpenAIServer, texts: Iterable[str]) -> None:
    """Each text was delivered once, and nothing was billed but that and what got lost."""
    needed, books = set(texts), server.books
    assert set(books.times_billed()) == needed
    twice = {text: n for text, n in books.times_delivered().items() if n != 1}
    assert not twice, f"{len(twice)} texts were delivered more than once"
    assert books.billed_tokens == needed_tokens(needed) + books.lost_tokens


def figures(server: OpenAIServer) -> str:
    """For the reader of a test's output (pytest -rP)."""
    books = server.books
    answered = Counter(each.fault or each.status for each in books.embeddings)
    return (
        f"{len(books.embeddings)} requests {dict(answered)}; tokens billed {books.billed_tokens}, "
        f"of them lost {books.lost_tokens}"
    )


def texts_of(requests: Iterable[Request]) -> Counter[str]:
    return Counter(text for each in requests for text in each.inputs)
