"""The torch engine as it is on a GPU, as far as a CPU can show it: half precision with the real
model, memory that does not do, and what becomes of a worker whose GPU is none."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest

from embed_worker.engines import cuda, load_engine
from embed_worker.engines.base import Options
from embed_worker.engines.half_precision import LEAST, least_cosine
from embed_worker.engines.sentence_transformers import (
    GPU_UNIT_TOKENS,
    SentenceTransformersEngine,
    gpu_credit,
    load,
)
from embed_worker.models import find_model
from tests.support.service import RealService
from thoth_core.errors import SettingsError

LOG = logging.getLogger("test.embed")
MODEL = "all-MiniLM-L6-v2"
TEXTS = [f"{n} greenhouses and a longer row of words " * (n % 7 + 1) for n in range(40)]
pytestmark = pytest.mark.usefixtures("offline")


@pytest.fixture(scope="module")
def exact() -> SentenceTransformersEngine:
    return load(Options(MODEL, place="cpu"), LOG)


def _quiet() -> None:
    """A progress callback that does nothing."""


def _vectors(engine: Any, texts: list[str] = TEXTS) -> Any:
    made = engine.embed(texts, "document", _quiet)
    assert not made.errors
    return made.vectors


def _gpu(monkeypatch: pytest.MonkeyPatch, *fast: str) -> None:
    """Have the CPU taken for a GPU that computes these fast."""
    monkeypatch.setattr(cuda, "there", lambda torch, place, options, log: "cpu")
    monkeypatch.setattr(cuda, "half_precisions", lambda torch, device: fast)


def test_the_cpu_computes_in_fp32_unless_it_is_told(exact: SentenceTransformersEngine) -> None:
    assert exact.info.precision == "fp32"
    half = load(Options(MODEL, place="cpu", precision="bf16"), LOG)
    assert half.info.precision == "bf16"
    assert half.info.identity() == exact.info.identity()
    made = _vectors(half)
    assert made.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(made, axis=1), 1, atol=1e-5)
    assert LEAST <= least_cosine(_vectors(exact), made) < 1 - 1e-6


def test_fp16_is_refused_on_a_cpu() -> None:
    with pytest.raises(SettingsError, match="THOTH_PRECISION is fp16"):
        load(Options(MODEL, place="cpu", precision="fp16"), LOG)


def test_a_gpu_computes_in_fp16(
    monkeypatch: pytest.MonkeyPatch, exact: SentenceTransformersEngine
) -> None:
    import torch

    _gpu(monkeypatch, "fp16", "bf16")
    half = load(Options(MODEL, place="cuda:0"), LOG)
    assert half.info.precision == "fp16"
    assert {p.dtype for p in half._model.parameters()} == {torch.float16}
    cosine = least_cosine(_vectors(exact), _vectors(half))
    assert 1 - 1e-5 < cosine < 1 - 1e-9
    # What is left of the one in fp32 is nothing but the choice.
    assert load(Options(MODEL, place="cuda:0", precision="fp32"), LOG).info.precision == "fp32"


def test_where_fp16_is_too_far_off_bf16_is_computed_in(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from embed_worker.engines import half_precision

    exactly = half_precision.rounded

    def overflowing(model: Any, precision: str) -> Any:
        made = exactly(model, precision)
        if precision == "fp16":
            for parameter in made.parameters():
                parameter.data *= 70_000
        return made

    monkeypatch.setattr(half_precision, "rounded", overflowing)
    _gpu(monkeypatch, "fp16", "bf16")
    assert load(Options(MODEL, place="cuda:0"), LOG).info.precision == "bf16"
    _gpu(monkeypatch, "fp16")
    assert load(Options(MODEL, place="cuda:0"), LOG).info.precision == "fp32"
    assert "computing in fp32, slower: fp16 has a cosine of" in caplog.text


class Cramped:
    """The model on a device whose memory does for so many tokens a call."""

    def __init__(self, model: Any, tokens: int) -> None:
        self._model, self._tokens = model, tokens
        self.calls: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def __getitem__(self, index: int) -> Any:
        return self._model[index]

    def __call__(self, features: dict[str, Any]) -> Any:
        import torch

        rows, longest = features["input_ids"].shape
        self.calls.append(rows * longest)
        if rows * longest > self._tokens:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return self._model(features)


def test_a_call_that_memory_refuses_is_made_smaller(
    exact: SentenceTransformersEngine, caplog: pytest.LogCaptureFixture
) -> None:
    cramped = Cramped(exact._model, 300)
    engine = SentenceTransformersEngine(cramped, find_model(MODEL), Options(MODEL), LOG)
    assert least_cosine(_vectors(exact), _vectors(engine)) > 1 - 1e-6
    assert "has no memory for a call" in caplog.text
    cramped.calls.clear()
    _vectors(engine)
    assert max(cramped.calls) <= 300


def test_a_text_that_memory_does_not_do_for_alone_fails_alone(
    exact: SentenceTransformersEngine,
) -> None:
    from embed_worker.careful import embed_carefully

    engine = SentenceTransformersEngine(
        Cramped(exact._model, 130), find_model(MODEL), Options(MODEL), LOG
    )
    made = embed_carefully(engine, [*TEXTS[:5], "word " * 200], "document", _quiet, LOG)
    assert list(made.errors) == [5]
    assert made.errors[5].details["exception"] == "OutOfMemoryError"
    assert least_cosine(_vectors(exact, TEXTS[:5]), made.vectors[:5]) > 1 - 1e-6


def test_another_failure_ends_the_process_if_the_device_is_lost(
    monkeypatch: pytest.MonkeyPatch, exact: SentenceTransformersEngine
) -> None:
    import os

    class Ended(BaseException):
        pass

    def abort() -> None:
        raise Ended

    class Broken(Cramped):
        def __call__(self, features: dict[str, Any]) -> Any:
            if self.calls:
                raise RuntimeError("CUDA error: an illegal memory access was encountered")
            return self._model(features)

    broken = Broken(exact._model, 0)
    engine = SentenceTransformersEngine(broken, find_model(MODEL), Options(MODEL), LOG)
    broken.calls.append(1)
    engine._gpu = True
    monkeypatch.setattr(os, "abort", abort)
    monkeypatch.setattr(cuda, "is_lost", lambda torch, device: False)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        engine.embed(["a"], "document", _quiet)
    monkeypatch.setattr(cuda, "is_lost", lambda torch, device: True)
    with pytest.raises(Ended):
        engine.embed(["a"], "document", _quiet)


@pytest.mark.skipif("__import__('torch').cuda.is_available()", reason="this machine has a GPU")
def test_a_worker_whose_gpu_is_none_computes_on_the_cpu_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine = load_engine(Options(MODEL, place="cuda:0"), LOG)
    assert engine.info.versions["engine"] == "openvino"
    [said] = [r.getMessage() for r in caplog.records if "though there is a GPU" in r.getMessage()]
    assert "finds no GPU that it can use" in said
    torch = load_engine(Options(MODEL, place="cuda:0", engine="sentence_transformers"), LOG)
    assert torch.info.versions["engine"] == "sentence_transformers"
    assert torch.info.precision == "fp32"


@pytest.mark.skipif("__import__('torch').cuda.is_available()", reason="this machine has a GPU")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_who_asks_for_a_gpu_that_is_none_is_told_so(device: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_engine(Options(MODEL, device=device), LOG)
    assert f"THOTH_DEVICE is {device}" in caught.value.message
    assert caught.value.fix == "THOTH_DEVICE=auto"


@pytest.mark.skipif("__import__('torch').cuda.is_available()", reason="this machine has a GPU")
def test_a_service_that_is_to_have_a_gpu_says_at_its_start_that_there_is_none() -> None:
    service = RealService.make(MODEL, THOTH_DEVICE="cuda", HF_HUB_OFFLINE="1")
    try:
        done = service.run("thoth-supervisor", "start", timeout=90)
        assert done.returncode == 2, done.stderr
        assert "THOTH_DEVICE is cuda, and cuda:0 cannot be computed on" in done.stderr
        assert "finds no GPU that it can use" in done.stderr
        assert "fix: THOTH_DEVICE=auto" in done.stderr
    finally:
        service.close()


def test_openvino_on_a_gpu_is_refused() -> None:
    with pytest.raises(SettingsError, match="THOTH_ENGINE is openvino"):
        load_engine(Options(MODEL, engine="openvino", device="cuda"), LOG)


def test_the_memory_of_a_gpu_that_does_not_hold_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    import sentence_transformers
    import torch

    def full(*about: Any, **more: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 28 GiB.")

    monkeypatch.setattr(cuda, "there", lambda torch, place, options, log: "cuda:0")
    monkeypatch.setattr(cuda, "half_precisions", lambda torch, device: ("fp16",))
    monkeypatch.setattr(sentence_transformers, "SentenceTransformer", full)
    with pytest.raises(SettingsError, match="does not do for all-MiniLM-L6-v2"):
        load_engine(Options(MODEL, device="cuda"), LOG)
    engine = load_engine(Options(MODEL, place="cuda:0"), LOG)
    assert engine.info.versions["engine"] == "openvino"


def test_units_for_a_gpu_are_large_and_fit_in_a_message() -> None:
    fast = gpu_credit(speed=500_000, dimension=384)
    # A fifth of a second.
    assert (fast.units, fast.items, fast.tokens) == (2, 2048, 100_000)
    assert gpu_credit(speed=1e9, dimension=384).tokens == GPU_UNIT_TOKENS
    wide = gpu_credit(speed=500_000, dimension=8192)
    assert wide.items * 8192 * 4 <= 16 * 1024 * 1024
