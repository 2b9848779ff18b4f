"""How near the service's vectors are to those of sentence-transformers in fp32, and whether a
search finds the same.

    python -m benchmarks.accuracy             # three minutes
    python -m benchmarks.accuracy --quick     # half a one

For each precision that this processor has: real texts that the model reads whole, texts of all
lengths that are cut where sentence-transformers cuts them, and the ranking that ``query`` gives,
beside the exact ranking of the reference vectors.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.alone import run_alone
from benchmarks.figures import overlap
from benchmarks.speed_texts import MODEL, pieces, texts
from embed_worker.engines.openvino_run import has_bf16
from embed_worker.models import find_model
from tests.support.service import RealService
from thoth_core.cores import available_cores
from thoth_core.vectors import Vectors

_K = 10
#: The least cosine and the least agreement that will do, by precision.
LEAST = {"bf16": 0.9999, "fp32": 0.999999}
LEAST_OVERLAP = {"bf16": 0.99, "fp32": 0.99}


def measure(quick: bool) -> dict[str, Any]:
    count, queries = (100, 40) if quick else (1000, 200)
    within, asked = texts("mixed", count, seed=51), texts("short", queries, seed=53)
    lengths = all_lengths(count, seed=52)
    given = {"within": within, "all_lengths": lengths, "queries": asked}
    embed = _reference()
    reference = {name: embed(each) for name, each in given.items()}
    best = ranking(reference["queries"], reference["within"], _K)
    counts = pieces(lengths)
    return {
        "texts": count,
        "queries": queries,
        "k": _K,
        "pieces_of_all_lengths": [min(counts), max(counts)],
        "precisions": {
            name: _precision(name, given, reference, best)
            for name in ("bf16", "fp32")
            if name == "fp32" or has_bf16()
        },
    }


def _precision(
    name: str,
    given: dict[str, list[str]],
    reference: dict[str, Vectors],
    best: list[list[int]],
) -> dict[str, float]:
    # A text within the limit is not touched by the rule for longer ones.
    service = RealService.make(
        MODEL,
        THOTH_EMBED_WORKERS=str(available_cores()),
        THOTH_PRECISION=name,
        THOTH_LONG_TEXT="truncate",
    )
    try:
        service.start()
        with service.client() as client:
            vectors = {kind: client.embed(given[kind]) for kind in ("within", "all_lengths")}
            ids = [str(row) for row in range(len(given["within"]))]
            client.upsert(ids, vectors["within"], given["within"])
            hits = client.query_many(given["queries"], k=_K)
    finally:
        service.close()
    found = [[int(hit.id) for hit in each] for each in hits]
    return {
        "least_cosine": least_cosine(vectors["within"], reference["within"]),
        "least_cosine_all_lengths": least_cosine(vectors["all_lengths"], reference["all_lengths"]),
        "overlap": overlap(found, best),
        "same_first": overlap([each[:1] for each in found], [each[:1] for each in best]),
    }


def all_lengths(count: int, seed: int) -> list[str]:
    """Texts from one word to several times what the model reads."""
    chance = random.Random(seed)
    passages = texts("mixed", 200, seed=seed)
    found: dict[str, None] = {}
    while len(found) < count:
        words = " ".join(chance.sample(passages, chance.randint(1, 4))).split()
        found[" ".join(words[: chance.randint(1, len(words))])] = None
    return list(found)


def least_cosine(vectors: Vectors, reference: Vectors) -> float:
    """Of unit vectors, row by row; in float64, because a sum in float32 is off by a good part of
    the millionth that is looked for."""
    wide = vectors.astype(np.float64), reference.astype(np.float64)
    return float((wide[0] * wide[1]).sum(axis=1).min())


def ranking(queries: Vectors, vectors: Vectors, k: int) -> list[list[int]]:
    """The rows of ``vectors`` that are nearest to each query, the best first."""
    scores = queries.astype(np.float64) @ vectors.astype(np.float64).T
    return [[int(i) for i in row] for row in np.argsort(-scores, axis=1, kind="stable")[:, :k]]


def _reference() -> Callable[[list[str]], Vectors]:
    os.environ["HF_HUB_OFFLINE"] = "1"
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.disable_progress_bar()
    model = SentenceTransformer(str(find_model(MODEL).folder), device="cpu")
    return lambda given: np.asarray(model.encode(given, normalize_embeddings=True))


def show(found: dict[str, Any]) -> None:
    least, most = found["pieces_of_all_lengths"]
    print(f"\nbeside sentence-transformers in fp32, {found['texts']} texts of each kind")
    print(f"{'':46} {'bf16':>10} {'fp32':>10}")
    for name, what, least_of in (
        ("least_cosine", "least cosine, within the limit", LEAST),
        ("least_cosine_all_lengths", f"least cosine, {least} to {most} word pieces, cut", LEAST),
        ("overlap", f"top {found['k']} of {found['queries']} queries that agree", LEAST_OVERLAP),
        ("same_first", "the same best hit", {}),
    ):
        told = ""
        for precision in ("bf16", "fp32"):
            each = found["precisions"].get(precision)
            if each is None:
                told += f" {'':10}"
            else:
                low = each[name] < least_of.get(precision, 0.0)
                told += f" {each[name]:10.7f}{' (too low)' if low else ''}"
        print(f"{what:46}{told}")


if __name__ == "__main__":
    run_alone(__doc__, measure, show)
