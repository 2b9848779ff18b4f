"""Which precision is computed in, by the vectors that it makes."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
import pytest

from embed_worker.engines import half_precision
from embed_worker.engines.base import Vectors
from embed_worker.engines.half_precision import LEAST, choose, least_cosine
from thoth_core.errors import SettingsError

LOG = logging.getLogger("test.half")
GPU = ("fp16", "bf16")


@pytest.fixture(autouse=True)
def _names_for_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(half_precision, "rounded", lambda model, precision: f"{model} {precision}")


def vectors(**cosines: float) -> Callable[[str, str], Vectors]:
    """Two rows by precision, the second of which has this cosine to that of fp32."""

    def compute(model: str, precision: str) -> Vectors:
        assert model == ("m" if precision == "fp32" else f"m {precision}")
        cosine = cosines.get(precision, 1.0)
        return np.array([[1, 0], [cosine, np.sqrt(1 - cosine**2)]], dtype=np.float32)

    return compute


def never(model: str, precision: str) -> Vectors:
    raise AssertionError("nothing is to be computed")


def test_the_first_that_is_near_enough_is_taken() -> None:
    assert choose("m", "auto", GPU, vectors(), LOG) == ("m fp16", "fp16")
    assert choose("m", "auto", GPU, vectors(fp16=LEAST + 1e-5), LOG) == ("m fp16", "fp16")
    assert choose("m", "auto", GPU, vectors(fp16=LEAST - 1e-5), LOG) == ("m bf16", "bf16")


def test_numbers_that_fp16_cannot_hold_are_not_near() -> None:
    assert choose("m", "auto", GPU, vectors(fp16=float("nan")), LOG) == ("m bf16", "bf16")


def test_fp32_is_left_and_the_log_says_why(caplog: pytest.LogCaptureFixture) -> None:
    assert choose("m", "auto", GPU, vectors(fp16=0.9, bf16=0.95), LOG) == ("m", "fp32")
    [said] = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert "fp16 has a cosine of 0.900000" in said
    assert "bf16 has a cosine of 0.950000" in said


def test_where_nothing_is_faster_than_fp32_nothing_is_tried() -> None:
    assert choose("m", "auto", (), never, LOG) == ("m", "fp32")
    assert choose("m", "fp32", GPU, never, LOG) == ("m", "fp32")


def test_what_is_asked_for_is_taken_or_refused() -> None:
    assert choose("m", "bf16", (), vectors(), LOG) == ("m bf16", "bf16")
    with pytest.raises(SettingsError) as caught:
        choose("m", "bf16", GPU, vectors(bf16=0.99), LOG)
    assert "THOTH_PRECISION is bf16" in caught.value.message
    assert "0.990000" in caught.value.cause


def test_the_least_cosine_is_over_rows() -> None:
    one = np.eye(3, dtype=np.float32)
    assert least_cosine(one, one) == 1.0
    assert least_cosine(one, one[[0, 2, 1]]) == 0.0
