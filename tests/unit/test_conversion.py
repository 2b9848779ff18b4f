"""When a converted model is near enough to be used."""

from __future__ import annotations

import math

import numpy as np
import pytest

from embed_worker.conversion import least_cosine
from embed_worker.engines.converted_model import LEAST_COSINE

NEAR = np.array([[1.0, 0.0], [0.0, 1.0]], dtype=np.float32)
LACKS = np.array([[1.0, 0.0], [np.nan, np.nan]], dtype=np.float32)


@pytest.mark.parametrize("found", [[NEAR, NEAR, LACKS], [NEAR, LACKS, NEAR], [LACKS, NEAR, NEAR]])
def test_one_row_that_is_no_number_is_enough_to_refuse_it(found: list[np.ndarray]) -> None:
    least = least_cosine([NEAR] * 3, found)
    assert math.isnan(least)
    assert not least >= LEAST_COSINE["fp32"]


def test_the_worst_row_of_all_counts() -> None:
    off = np.array([[1.0, 0.0], [0.6, 0.8]], dtype=np.float32)
    assert least_cosine([NEAR, NEAR], [off, NEAR]) == pytest.approx(0.8)
    assert least_cosine([NEAR], [NEAR]) == 1.0
