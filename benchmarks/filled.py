"""A service whose store has many chunks, made fast: with vectors of our own.

They lie in crowds around the vectors of real texts, so that a search for a text meets a graph like
that of real chunks. Their texts are of the length of a chunk.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.speed_texts import texts
from benchmarks.vectors import Batch, batches
from thoth_core import Thoth
from thoth_core.vectors import Vectors

BATCH = 500
_CENTRES = 200
#: Length of what is added to a centre, which has length 1: neighbours in a crowd have a cosine of
#: about 0.67 then.
_SPREAD = 0.7


def centres(client: Thoth) -> Vectors:
    """Vectors of real texts of all lengths, as the service computes them."""
    return client.embed(texts("mixed", _CENTRES, seed=11))


def around(middle: Vectors, count: int, seed: int) -> Vectors:
    """``count`` unit vectors in crowds around those of ``middle``, the same for the same seed."""
    chance = np.random.default_rng(seed)
    dimension = middle.shape[1]
    made = chance.standard_normal((count, dimension), np.float32)
    made *= _SPREAD / np.sqrt(dimension, dtype=np.float32)
    made += middle[chance.integers(0, len(middle), count)]
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    return made


def upsert(client: Thoth, batch: Batch) -> None:
    client.upsert(batch.ids, batch.vectors, batch.texts, batch.metadatas)


def fill(client: Thoth, count: int, again: int = 0) -> dict[str, Any]:
    """``count`` chunks in the default collection, and the first ``again`` of them once more: with
    these the index comes nearer to the next time that it is written to the disk, and the store
    stays as large as it is."""
    vectors = around(centres(client), count, seed=1)
    for batch in batches(vectors, BATCH):
        upsert(client, batch)
    for batch in batches(vectors[:again], BATCH):
        # Another metadata, or nothing would be changed.
        batch.metadatas[:] = [{**each, "again": 1} for each in batch.metadatas]
        upsert(client, batch)
    assert client.count() == count
    return {"chunks": count, "texts_of_crowds": _CENTRES}
