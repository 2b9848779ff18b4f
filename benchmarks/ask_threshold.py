"""How near the nearest passage is to questions that a collection answers, and to those it does not.

    python -m benchmarks.ask_threshold            # a minute and a half, the service's default model
    python -m benchmarks.ask_threshold --quick    # one chunk size

What comes of it is the table in ``thoth_core/asking/threshold.py``: below which score ``ask`` says
"not in this collection" by itself. The corpus is Python's language reference, the questions are
those of ``tests/support/questions.py``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from benchmarks.alone import run_alone
from tests.support.questions import ANSWERED, FAR, NEAR, write_reference
from tests.support.service import RealService
from thoth_core.asking.threshold import threshold_for

MODEL = os.environ.get("RAG_EMBEDDING_MODEL", "all-MiniLM-L6-v2")
#: Tokens a chunk; the first is the default of RAG_CHUNK_SIZE.
SIZES = ((500, 50), (150, 15))


def measure(quick: bool) -> dict[str, Any]:
    sizes = SIZES[:1] if quick else SIZES
    return {"model": MODEL, "sizes": [_at(size, overlap) for size, overlap in sizes]}


def _at(size: int, overlap: int) -> dict[str, Any]:
    service = RealService.make(
        MODEL, RAG_CHUNK_SIZE=str(size), RAG_CHUNK_OVERLAP=str(overlap), THOTH_EMBED_WORKERS="2"
    )
    try:
        service.start()
        with service.client() as thoth:
            report = thoth.ingest([write_reference(service.root / "reference")])
            kinds = {"answered": tuple(ANSWERED), "near": NEAR, "far": FAR}
            hits = {name: thoth.query_many(asked, k=4) for name, asked in kinds.items()}
    finally:
        service.close()
    best = {
        name: {text: found[0].score for text, found in zip(kinds[name], each, strict=True)}
        for name, each in hits.items()
    }
    right = sum(
        any(Path(hit.source).stem in ANSWERED[text] for hit in found)
        for text, found in zip(ANSWERED, hits["answered"], strict=True)
    )
    return {"chunk_size": size, "chunks": report.chunks, "right_topic_in_4": right, "best": best}


def refused(best: dict[str, dict[str, float]], threshold: float) -> dict[str, int]:
    """How many questions of each kind would be refused."""
    return {name: sum(score < threshold for score in each.values()) for name, each in best.items()}


def show(found: dict[str, Any]) -> None:
    print(f"model {found['model']}; threshold in use: {threshold_for(found['model'])}")
    for each in found["sizes"]:
        best = each["best"]
        print(
            f"\n{each['chunks']} chunks of {each['chunk_size']} tokens at most; the right topic is "
            f"among the four nearest for {each['right_topic_in_4']} of {len(ANSWERED)}"
        )
        for name, scores in best.items():
            some = sorted(scores.values())
            row = "  ".join(f"{some[int(q * (len(some) - 1))]:.3f}" for q in (0, 0.1, 0.5, 0.9, 1))
            print(f"  {name:9} least, 10 %, median, 90 %, most:  {row}")
        for name, which in (("answered", min), ("near", max), ("far", max)):
            text = which(best[name], key=lambda t, scores=best[name]: scores[t])
            print(f"  {which.__name__} of {name}: {best[name][text]:.3f}  {text}")
        print("  threshold   refused of answered, near, far")
        for step in range(10, 66, 5):
            many = refused(best, step / 100)
            print(
                f"       {step / 100:.2f}   {many['answered']:8} {many['near']:8} {many['far']:4}"
            )


if __name__ == "__main__":
    run_alone(__doc__, measure, show)
