"""Vectors of queries that were asked before: people ask the same again, and page through it. Pure.

An engine around an engine, so that all else is as it was. Documents are not remembered: the ledger
does that, for good.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np

from embed_worker.engines.base import Embedded, Engine, EngineInfo, Progress, Vectors

#: Bytes of texts and vectors: some two thousand short queries of 384 dimensions.
BOUND = 4 * 1024 * 1024
#: What a string, a row and their place in the dictionary take besides what is in them.
_EACH = 400
_NEARLY = 1e-3


@dataclass(frozen=True, slots=True)
class _Known:
    vector: Vectors
    tokens: int
    windowed: bool
    size: int


class QueryVectors:
    """``engine``, with the vectors of the queries that were asked last. ``bound`` in bytes. For
    several threads at once with a ``lock``, and an engine that is."""

    def __init__(
        self,
        engine: Engine,
        bound: int = BOUND,
        lock: AbstractContextManager[object] | None = None,
    ) -> None:
        self._engine = engine
        self._bound = bound
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self.bytes = 0
        self._lock = nullcontext() if lock is None else lock

    @property
    def info(self) -> EngineInfo:
        return self._engine.info

    def threads(self) -> dict[str, int]:
        return self._engine.threads()

    def embed(self, texts: Sequence[str], purpose: str, progress: Progress) -> Embedded:
        if purpose != "query":
            return self._engine.embed(texts, purpose, progress)
        # Not a string is for the engine to refuse.
        with self._lock:
            found = [self._get(text) for text in texts]
        known = [each for each in found if each is not None]
        new = [i for i, each in enumerate(found) if each is None]
        if not new and texts:
            return Embedded(
                np.stack([each.vector for each in known]),
                [each.tokens for each in known],
                [each.windowed for each in known],
            )
        # All of them, also those that are known: calls of several queries are rare, and the engine
        # answers for a call as a whole.
        made = self._engine.embed(texts, purpose, progress)
        with self._lock:
            self._remember(texts, new, made)
        return made

    def _remember(self, texts: Sequence[str], new: Sequence[int], made: Embedded) -> None:
        for i in new:
            # Whatever else the worker refuses, and it may be another vector the next time.
            unit = abs(float(np.linalg.norm(made.vectors[i])) - 1.0) < _NEARLY
            if unit and i not in made.errors:
                self._put(texts[i], made.vectors[i].copy(), made.tokens[i], made.windowed[i])

    def _get(self, text: object) -> _Known | None:
        if not isinstance(text, str) or text not in self._known:
            return None
        self._known.move_to_end(text)
        return self._known[text]

    def _put(self, text: str, vector: Vectors, tokens: int, windowed: bool) -> None:
        size = 4 * len(text) + vector.nbytes + _EACH
        if size > self._bound:
            return
        old = self._known.pop(text, None)
        self.bytes += size - (0 if old is None else old.size)
        self._known[text] = _Known(vector, tokens, windowed, size)
        while self.bytes > self._bound:
            _, oldest = self._known.popitem(last=False)
            self.bytes -= oldest.size
