from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from thoth_core.errors import InvalidInput
from thoth_core.vector_checks import check_vectors


def test_good_vectors_become_float32_rows() -> None:
    for given_array in (
        [[1, 0], [0, 2]],
        np.eye(2),
        np.asfortranarray(np.eye(2, dtype=np.float16)),
    ):
        vectors = check_vectors(given_array, 2)
        assert vectors.dtype == np.float32 and vectors.flags.c_contiguous
        assert vectors.shape == (2, 2)


def test_no_vectors_have_the_dimension_that_was_asked_for() -> None:
    assert check_vectors(np.zeros((0, 0)), 3).shape == (0, 3)
    assert check_vectors(np.zeros((0, 3), np.float32), 3).shape == (0, 3)


@pytest.mark.parametrize(
    ("row", "word"),
    [
        ([np.nan, 1], "NaN"),
        ([np.inf, 1], "infinity"),
        ([1e300, 1], "infinity"),
        ([0, 0], "zero"),
        ([-0.0, 0], "zero"),
        ([1e-30, 0], "too short"),
        ([1e-300, 0], "zero"),
        ([3e38, 3e38], "too long"),
    ],
)
def test_a_row_without_a_direction_is_named(row: list[float], word: str) -> None:
    with pytest.raises(InvalidInput, match=word) as caught:
        check_vectors([[1.0, 0.0], row, [0.0, 1.0], row], 2)
    assert caught.value.indices == [1, 3]
    assert "1, 3" in caught.value.message


@pytest.mark.parametrize(
    ("array", "word"),
    [
        ([[1.0, 2.0]], "2 dimensions, 3 are wanted"),
        ([1.0, 2.0, 3.0], "shape"),
        (np.zeros((1, 1, 3)), "shape"),
        ([["a", "b", "c"]], "type"),
        ([[True, False, True]], "type"),
        (np.ones((1, 3), complex), "type"),
        ([[1.0], [1.0, 2.0]], "vectors"),
        ([[1.0, None, 2.0]], "vectors"),
        (np.zeros((2, 0)), "dimension"),
    ],
)
def test_what_is_no_array_of_such_rows_is_refused(array: Any, word: str) -> None:
    with pytest.raises(InvalidInput, match=word):
        check_vectors(array, None if word == "dimension" else 3)


def test_any_dimension_is_taken_where_none_is_known() -> None:
    assert check_vectors([[1.0, 2.0, 3.0, 4.0]], None).shape == (1, 4)


@given(npst.arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(1, 4))))
def test_what_is_let_through_can_be_normalised(array: Any) -> None:
    try:
        vectors = check_vectors(array)
    except InvalidInput as error:
        assert error.indices and set(error.indices) <= set(range(len(array)))
        return
    wide = vectors.astype(np.float64)
    unit = (wide / np.linalg.norm(wide, axis=1, keepdims=True)).astype(np.float32)
    assert np.allclose((unit.astype(np.float64) ** 2).sum(axis=1), 1, atol=1e-5)
    squares = np.square(wide).sum(axis=1).astype(np.float32)
    assert np.isfinite(squares).all() and (squares > 0).all()
