"""On a real GPU: what the tests with stand-ins take for granted. Skipped where there is none."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from embed_worker.engines import load_engine
from embed_worker.engines.base import Options
from embed_worker.engines.half_precision import LEAST, least_cosine
from tests.support.service import RealService
from thoth_core.devices import cuda_devices

LOG = logging.getLogger("test.gpu")
MODEL = "all-MiniLM-L6-v2"
TEXTS = [f"{n} greenhouses and a longer row of words " * (n % 30 + 1) for n in range(3000)]


@pytest.fixture(scope="module", autouse=True)
def gpus() -> Iterator[int]:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("torch finds no GPU here")
    patch = pytest.MonkeyPatch()
    patch.setenv("HF_HUB_OFFLINE", "1")
    yield int(torch.cuda.device_count())
    patch.undo()


def _quiet() -> None:
    """A progress callback that does nothing."""


def _vectors(engine: Any, texts: list[str]) -> Any:
    made = engine.embed(texts, "document", _quiet)
    assert not made.errors
    return made.vectors


def test_devices_are_counted_as_torch_counts_them(gpus: int) -> None:
    assert cuda_devices(os.environ) == gpus


def test_its_vectors_are_near_to_those_of_the_cpu() -> None:
    engine = load_engine(Options(MODEL, device="cuda", batch_size=2048), LOG)
    exact = load_engine(
        Options(MODEL, "sentence_transformers", device="cpu", precision="fp32"), LOG
    )
    assert engine.info.versions["engine"] == "sentence_transformers"
    assert engine.info.precision in ("fp16", "bf16")
    assert engine.info.identity() == exact.info.identity()
    assert engine.info.credit.items > 64
    some = TEXTS[:200]
    assert least_cosine(_vectors(exact, some), _vectors(engine, some)) >= LEAST


def test_a_device_with_little_memory_computes_the_same_in_smaller_calls() -> None:
    import torch

    engine: Any = load_engine(Options(MODEL, device="cuda:0", batch_size=2048), LOG)
    plenty = _vectors(engine, TEXTS)
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    try:
        # What the model takes, and a little for its work.
        room = torch.cuda.memory_reserved(0) + 64 * 1024 * 1024
        torch.cuda.set_per_process_memory_fraction(room / total, 0)
        cramped = _vectors(engine, TEXTS)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, 0)
    assert engine._room.tokens < engine._room.most
    assert least_cosine(plenty, cramped) >= LEAST


def test_a_service_has_a_worker_a_device(gpus: int) -> None:
    service = RealService.make(MODEL, HF_HUB_OFFLINE="1")
    del service.env["THOTH_EMBED_WORKERS"]
    try:
        service.start()
        bulk = [w for w in service.status()["workers"] if w["lane"] == "bulk"]
        assert len(bulk) == gpus
        with service.client() as client:
            vectors = client.embed(TEXTS)
            alone = client.embed(TEXTS[:3])
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
        assert least_cosine(vectors[:3], alone) >= LEAST
    finally:
        service.close()
