"""Texts through a model that reads rows of token ids, whatever computes it: counted, cut into
windows, put into batches by their real length, and their vectors put together again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from embed_worker.batching import Bounds, form_batches
from embed_worker.engines.base import Embedded, Progress, Vectors
from embed_worker.windows import LongTexts, plan, pool

#: From what a model takes for some rows to their unit vectors, float32 (rows, dimension).
Run = Callable[[dict[str, Any]], Vectors]


class Rows(Protocol):
    """The rows of a model for texts with one prompt before them.

    ``size``: tokens of a text that one row holds, None without a limit; ``added``: tokens that a
    row has besides, the prompt's and special ones; ``reproducible``: whether rows can be made from
    ids at all; if not, counts are estimates.
    """

    size: int | None
    added: int
    reproducible: bool

    def tokenise(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text with its prompt, whole and without special ones."""
        ...

    def count(self, ids: Sequence[int]) -> int:
        """Tokens of the text itself in what ``tokenise`` gave."""
        ...

    def row(self, ids: Sequence[int], start: int, end: int) -> list[int]:
        """The model's row for tokens ``start`` to ``end`` of a text: each window has the prompt."""
        ...

    def features(self, rows: Sequence[Sequence[int]]) -> dict[str, Any]:
        """What the model takes for ``rows``: arrays of shape (len(rows), longest row)."""
        ...

    def library_features(self, texts: Sequence[str]) -> dict[str, Any]:
        """What the library itself makes of ``texts``, where rows are not reproducible."""
        ...


def embed_rows(
    texts: Sequence[str],
    rows: Rows,
    rule: LongTexts,
    bounds: Bounds,
    dimension: int,
    run: Run,
    progress: Progress,
) -> Embedded:
    """The outcome for ``texts``, as an engine's ``embed`` gives it."""
    if not texts:
        return Embedded(np.empty((0, dimension), dtype=np.float32), [], [])
    tokens = rows.tokenise(texts)
    progress()
    made = plan([rows.count(each) for each in tokens], rule)
    vectors = np.empty((len(made.pieces), dimension), dtype=np.float32)
    lengths = [piece.tokens + rows.added for piece in made.pieces]
    for batch in form_batches(lengths, bounds):
        pieces = [made.pieces[row] for row in batch]
        if rows.reproducible:
            features = rows.features([rows.row(tokens[p.text], p.start, p.end) for p in pieces])
        else:
            features = rows.library_features([texts[p.text] for p in pieces])
        vectors[batch] = run(features)
        progress()
    return Embedded(
        pool(made.pieces, vectors, len(texts)), made.tokens, made.windowed, dict(made.errors)
    )


def padded(
    rows: Sequence[Sequence[int]],
    names: frozenset[str],
    pad: int,
    left: bool,
    length: int | None = None,
) -> dict[str, Any]:
    """int64 arrays (len(rows), ``length``) by the ``names`` of a model's inputs; ``length`` is the
    longest row's if not given."""
    longest = max(len(row) for row in rows) if length is None else length
    ids = np.full((len(rows), longest), pad, dtype=np.int64)
    mask = np.zeros((len(rows), longest), dtype=np.int64)
    for position, row in enumerate(rows):
        where = slice(longest - len(row), longest) if left else slice(0, len(row))
        ids[position, where] = row
        mask[position, where] = 1
    made = {"input_ids": ids, "attention_mask": mask}
    if "token_type_ids" in names:
        made["token_type_ids"] = np.zeros_like(ids)
    return made
