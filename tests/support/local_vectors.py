"""The vectors of Thoth's own engine for the test server, so that what it finds is what is meant."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Any

from tests.support.openai_vectors import Embed


def minilm() -> Embed:
    """All-MiniLM-L6-v2 on one thread, about 16,000 tokens a second; loaded at the first texts, and
    each text computed once."""
    from embed_worker.engines import load_engine
    from embed_worker.engines.base import Options

    lock = threading.Lock()
    engines: list[Any] = []
    known: dict[str, Any] = {}

    def embed(texts: Sequence[str]) -> list[Any]:
        with lock:
            if not engines:
                engines.append(load_engine(Options("all-MiniLM-L6-v2"), logging.getLogger("test")))
            new = [text for text in dict.fromkeys(texts) if text not in known]
            made = engines[0].embed(new, "document", lambda: None)
            assert not made.errors, made.errors
            known.update(zip(new, made.vectors, strict=True))
            return [known[text] for text in texts]

    return embed
