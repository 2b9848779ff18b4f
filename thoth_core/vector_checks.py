"""Checks of a caller's own vectors. Apart from ``validation`` because it needs numpy, which the
supervisor does not load."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from thoth_core.errors import InvalidInput
from thoth_core.vectors import Vectors

#: Indexes named in one message; ``indices`` has them all.
_NAMED = 10
_SINGLE = np.finfo(np.float32)


def check_vectors(array: npt.ArrayLike, dimension: int | None = None) -> Vectors:
    """``array`` as contiguous float32 of shape (n, dimension).

    Raises :class:`InvalidInput` that names the indexes of rows with a NaN or an infinity, and of
    rows without a direction: zero, or so small or large that float32 cannot hold their squared
    length, of which an index would make zero or NaN. ``dimension`` None takes any.
    """
    try:
        given: npt.NDArray[Any] = np.asarray(array)
    except (ValueError, TypeError) as problem:
        raise InvalidInput(
            "the vectors are no array of numbers", cause=str(problem), rule="rows of equal length"
        ) from problem
    if given.dtype.kind not in "fiu" and given.size:
        raise InvalidInput(
            f"the vectors are of type {given.dtype}",
            cause="vectors are real numbers, rows of equal length",
            rule="real numbers",
        )
    if given.ndim != 2:
        raise InvalidInput(
            f"the vectors have the shape {given.shape}",
            cause="an array of shape (n, dimension) is wanted",
            fix="one vector is array[None, :]" if given.ndim == 1 else "",
            rule="shape (n, dimension)",
        )
    if dimension is not None and given.shape[1] != dimension and given.size:
        raise InvalidInput(
            f"the vectors have {given.shape[1]} dimensions, {dimension} are wanted",
            cause="all vectors of a collection have the dimension of its model",
            indices=range(len(given)),
            rule="dimension",
        )
    if len(given) and not given.shape[1]:
        raise InvalidInput("the vectors have no dimension", rule="dimension")
    # A float64 beyond float32 becomes an infinity here and is named below.
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        vectors: Vectors = np.ascontiguousarray(given, dtype=np.float32)
        # einsum adds up in float64 and makes no array of the squares.
        squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    if not len(vectors) and dimension is not None:
        return np.zeros((0, dimension), np.float32)
    # The sum is finite only if every element is: float64 holds any sum of float32 squares.
    _refuse(~np.isfinite(squares), "has a NaN or an infinity", "every number is finite")
    _refuse(squares == 0, "is zero", "a vector has a direction")
    outside = (squares < float(_SINGLE.tiny)) | (squares > float(_SINGLE.max))
    _refuse(outside, "is too short or too long to be normalised", "the length fits in float32")
    return vectors


def _refuse(bad: npt.NDArray[np.bool_], what: str, rule: str) -> None:
    if not bad.any():
        return
    indices = [int(i) for i in np.flatnonzero(bad)]
    named = ", ".join(str(i) for i in indices[:_NAMED]) + (", …" if len(indices) > _NAMED else "")
    raise InvalidInput(
        f"vector {named} {what}",
        cause=rule,
        fix="leave these rows out or mend them",
        indices=indices,
        rule=rule,
    )
