"""Calls with a text that harms the worker which embeds it, and what must come of them."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np

from embed_worker.engines.fake import hashed_vector
from tests.chaos import stable
from tests.chaos.journal import Journal
from thoth_core import Thoth
from thoth_core.errors import PoisonInput


class Poisoner:
    """May be used by several threads. ``unit_timeout`` is the service's, in seconds, and
    ``memory_mb`` what a worker of it may have before it is replaced."""

    KINDS = ("poison text", "native hold of the GIL", "memory over the limit")

    def __init__(
        self, thoth: Thoth, folder: Path, dimension: int, *, unit_timeout: float, memory_mb: int
    ) -> None:
        self._known = thoth.settings.embedding_model.startswith("fake/")
        self._thoth = thoth
        self._memory = memory_mb
        self._journal = Journal(folder / "poisoner-0.jsonl", 0)
        self._dimension = dimension
        self._timeout = unit_timeout

    def close(self) -> None:
        self._journal.write("dropped", messages=self._thoth._connection.dropped)
        self._thoth.close()
        self._journal.close()

    def send(self, kind: str, seed: int) -> None:
        """Make one call; what is wrong with its answer is in the journal."""
        chance = random.Random(f"{kind} {seed}")
        texts = [f"{seed} {text}" for text in chance.sample(stable.texts(), chance.randint(2, 60))]
        place = chance.randrange(len(texts))
        if kind == "poison text":
            word = chance.choice(["!segv", "!abort", "!exit3"])
        elif kind == "memory over the limit":
            word = f"!grow:{self._memory}"
        else:
            # Too long for the service's patience.
            word = f"!gil:{self._timeout * 1.5:.1f}"
        texts[place] = f"{word} {texts[place]}"
        bad = [] if word.startswith("!grow") else [place]

        def call() -> None:
            try:
                vectors = self._thoth.embed(texts)
            except PoisonInput as problem:
                self._check(kind, texts, problem.partial, problem.indices, bad)
                raise
            self._check(kind, texts, vectors, [], bad)

        self._journal.ask(kind, call)

    def _check(
        self, kind: str, texts: list[str], vectors: Any, refused: list[int], bad: list[int]
    ) -> None:
        if refused != bad:
            self._wrong(f"{kind}: the texts {bad} are bad, and {refused} are refused")
        good = [row for row in range(len(texts)) if row not in {*bad, *refused}]
        expected = np.array([hashed_vector(texts[row], self._dimension) for row in good])
        if self._known and not np.allclose(vectors[good], expected, atol=1e-6):
            self._wrong(f"{kind}: vectors of the good texts are not theirs")

    def _wrong(self, what: str) -> None:
        self._journal.write("wrong", what=what)
