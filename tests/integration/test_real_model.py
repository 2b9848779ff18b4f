"""The whole length with the real model on real text: the Python language reference."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import pytest

from embed_worker.engines.converted_model import LEAST_COSINE
from embed_worker.engines.openvino_run import has_bf16
from tests.support.service import RealService

MODEL = "all-MiniLM-L6-v2"
#: Two models, the service's and the one here, are loaded on two cores.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def real() -> Iterator[RealService]:
    service = RealService.make(MODEL, THOTH_EMBED_WORKERS="1")
    try:
        yield service.start()
    finally:
        service.close()


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.einsum("ij,ij->i", a, b) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))


def test_vectors_are_those_of_sentence_transformers(real: RealService, reference: object) -> None:
    chance = random.Random(1)
    paragraphs = [p.strip() for t in topics.values() for p in t.split("\n\n") if p.strip()]
    within = [p for p in paragraphs if len(reference.tokenizer.tokenize(p)) <= 254]  # type: ignore[attr-defined]
    texts = chance.sample(within, 200)
    wanted = reference.encode(texts, normalize_embeddings=True)  # type: ignore[attr-defined]
    with real.client() as thoth:
        vectors = thoth.embed(texts)
    assert vectors.dtype == np.float32
    assert vectors.shape == (200, 384)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert cosines(vectors, wanted).min() >= LEAST_COSINE["bf16" if has_bf16() else "fp32"]


def test_its_workers_have_loaded_openvino_and_no_torch(real: RealService) -> None:
    for worker in real.status()["workers"]:
        if worker["role"] == "embed":
            maps = Path(f"/proc/{worker['pid']}/maps").read_text()
            assert "/openvino/" in maps
            for name in ("torch", "transformers", "chromadb"):
                assert f"/{name}/" not in maps


def test_a_question_finds_its_topic_and_the_score_is_the_cosine(real: RealService) -> None:
    folder = real.root / "reference"
    folder.mkdir()
    wanted = ("with", "context-managers", "yield", "import", "operator-summary", "strings")
    for name in wanted:
        (folder / f"{name}.txt").write_text(topics[name])
    done = real.run("thoth", "ingest", str(folder), "--json", timeout=120)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["files"]["new"] == len(wanted)
    assert report["chunks"] == report["embedded"] > len(wanted)
    # Most chunks of 500 tokens are longer than the model reads.
    assert report["windowed"] > 0

    question = "how do I write a context manager?"
    done = real.run("thoth", "query", question, "--json", "-k", "4")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    hits = answer["results"]
    assert len(hits) == 4
    sources = {hit["source"] for hit in hits}
    assert any(source.endswith(("with.txt", "context-managers.txt")) for source in sources)
    scores = [hit["score"] for hit in hits]
    assert scores == sorted(scores, reverse=True)
    with real.client() as thoth:
        asked = thoth.embed([question])[0]
        for hit in hits:
            got = thoth.get(ids=[hit["id"]], include=["vectors"])
            stored = got.vectors[0]
            by_hand = float(asked @ stored / (np.linalg.norm(asked) * np.linalg.norm(stored)))
            assert hit["score"] == pytest.approx(by_hand, abs=1e-3)


def test_a_second_run_over_the_same_files_embeds_nothing(real: RealService) -> None:
    folder = real.root / "again"
    folder.mkdir()
    (folder / "a.txt").write_text(topics["lambda"])
    first = json.loads(real.run("thoth", "ingest", str(folder), "--json").stdout)
    second = json.loads(real.run("thoth", "ingest", str(folder), "--json").stdout)
    assert first["files"]["new"] == 1
    assert (second["files"]["unchanged"], second["embedded"]) == (1, 0)
