"""How near vectors are to a query: exactly, and quickly with a bound on the error. Pure.

A score is higher the nearer a vector is, in every space. :func:`exact_scores`, in float64, is what
decides the order of hits. :class:`Best` goes through many vectors in float32, which is several
times as fast, and keeps every one that may be among the best by the exact score: a float32 sum of
products in whatever order is off by no more than :func:`_slack` allows.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thoth_core.vectors import Vectors

Rows = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: Candidates of one query kept before they are thinned out by their exact scores, beyond those
#: wanted. Many vectors that are equal, or nearly, bring so many.
CROWD = 8192
#: Unit roundoff of float32.
_ROUNDOFF = 2.0**-24
#: Queries from which on a product of two matrices is faster, and vectors that a cache holds.
_TOGETHER = 8
_CACHED = 1024
#: Vectors whose float64 copies are alive at once.
_SLICE = 4096


@dataclass(frozen=True)
class Block:
    """Vectors (n, d) with their rows, lengths, and which of them count."""

    rows: Rows
    vectors: Vectors
    lengths: Doubles
    usable: Mask

    @functools.cached_property
    def inverses(self) -> Vectors:
        """One divided by the length, 0 for a vector that has none."""
        inverses = np.zeros(len(self.lengths), np.float32)
        np.divide(1.0, self.lengths, out=inverses, where=self.lengths > 0, casting="same_kind")
        return inverses


def lengths_of(vectors: Vectors) -> Doubles:
    """Euclidean lengths (n,), in float64."""
    with np.errstate(invalid="ignore", over="ignore"):
        squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
        return np.asarray(np.sqrt(squares), np.float64)


def rankable(space: str, lengths: Doubles) -> Mask:
    """Which vectors of these lengths can have a score: a zero vector has no direction."""
    finite: Mask = np.isfinite(lengths)
    return finite & (lengths > 0) if space == "cosine" else finite


def exact_scores(space: str, query: Vectors, vectors: Vectors) -> Doubles:
    """The scores (n,) of ``vectors`` (n, d) for ``query`` (d,): the cosine similarity, the inner
    product (ip), or the squared distance with a minus sign (l2)."""
    out = np.empty(len(vectors), np.float64)
    wanted = query.astype(np.float64)
    if space == "cosine":
        wanted /= np.linalg.norm(wanted)
    # einsum treats every row alike, so equal vectors get equal scores; BLAS need not.
    for start in range(0, len(vectors), _SLICE):
        rows = vectors[start : start + _SLICE].astype(np.float64)
        part = out[start : start + _SLICE]
        if space == "l2":
            rows -= wanted
            np.negative(np.einsum("ij,ij->i", rows, rows), out=part)
            continue
        np.einsum("ij,j->i", rows, wanted, out=part)
        if space == "cosine":
            part /= np.sqrt(np.einsum("ij,ij->i", rows, rows))
            np.clip(part, -1.0, 1.0, out=part)
    return out


def multiplied(vectors: Vectors, factors: Vectors) -> Vectors:
    """The inner products (m, n) of ``factors`` (m, d) with ``vectors`` (n, d), in float32."""
    with np.errstate(over="ignore", invalid="ignore"):
        if len(factors) >= _TOGETHER:
            return np.ascontiguousarray((vectors @ factors.T).T)
        out = np.empty((len(factors), len(vectors)), np.float32)
        # One by one they are read as fast as memory gives them, five times as fast as BLAS
        # multiplies a matrix with a vector; a part that several queries need stays in the cache.
        part = len(vectors) if len(factors) == 1 else _CACHED
        for start in range(0, len(vectors), part or 1):
            rows = vectors[start : start + part, None, :]
            for line, factor in zip(out, factors, strict=True):
                np.matmul(rows, factor[:, None], out=line[start : start + part, None, None])
        return out


#: Given rows, those of them that are among the k best of a query by exact score and id, with their
#: exact scores.
Thin = Callable[[Rows], tuple[Rows, Doubles]]


class Best:
    """The candidates for the ``k`` best of one query, while blocks go by.

    ``thin`` is asked when there are :data:`CROWD` more than wanted.
    """

    def __init__(self, space: str, query: Vectors, k: int, thin: Thin) -> None:
        self.space = space
        self.k = k
        self._thin = thin
        wanted = query.astype(np.float64)
        self._length = float(np.sqrt(np.dot(wanted, wanted)))
        self._slack = _slack(query.shape[0])
        #: What the query is multiplied with.
        self.factor: Vectors = query if space != "cosine" else _unit(wanted, self._length)
        # No candidate whose score is below this can be among the best.
        self._floor = -np.inf
        self._rows: Rows = np.empty(0, np.int64)
        self._scores: Doubles = np.empty(0, np.float64)
        self._errors: Doubles = np.empty(0, np.float64)

    def offer(self, block: Block, products: Vectors) -> None:
        """Take note of a block; ``products`` (n,) are its vectors times :attr:`factor`."""
        with np.errstate(over="ignore", invalid="ignore"):
            if self.space == "cosine":
                self._offer_cosine(block, products)
            else:
                self._offer_raw(block, products)
        if len(self._rows) > 2 * self.k + CROWD // 8:
            self._settle()

    def rows(self) -> Rows:
        """The candidates, the best first as far as float32 can tell."""
        self._settle()
        order = np.argsort(-self._scores, kind="stable")
        return self._rows[order]

    def _offer_cosine(self, block: Block, products: Vectors) -> None:
        # One error for all: this is what runs a hundred thousand times a search, in float32.
        scores = products * block.inverses
        if not block.usable.all():
            scores[~block.usable] = -np.inf
        error = self._slack
        if self._floor == -np.inf and len(scores) > self.k:
            place = len(scores) - self.k
            self._floor = float(np.partition(scores, place)[place]) - error
        least = np.nextafter(np.float32(self._floor - error), np.float32(-np.inf))
        kept = np.flatnonzero((scores >= least) & (scores > -np.inf))
        self._take(block.rows[kept], scores[kept].astype(np.float64), np.full(len(kept), error))

    def _offer_raw(self, block: Block, products: Vectors) -> None:
        scores = products.astype(np.float64)
        errors = self._slack * self._length * block.lengths + _TINY
        if self.space == "l2":
            # The distance without the part that is the same for all.
            scores *= 2.0
            scores -= np.square(block.lengths)
            errors *= 2.0
            errors += np.square(block.lengths) * _DOUBLE + self._length**2 * _DOUBLE
        scores[~block.usable], errors[~block.usable] = -np.inf, 0.0
        # A product beyond float32 says nothing.
        unknown = block.usable & ~np.isfinite(scores)
        scores[unknown], errors[unknown] = 0.0, np.inf
        if self._floor == -np.inf and len(scores) > self.k:
            place = len(scores) - self.k
            self._floor = float(np.partition(scores - errors, place)[place])
        kept = np.flatnonzero((scores + errors >= self._floor) & (scores > -np.inf))
        self._take(block.rows[kept], scores[kept], errors[kept])

    def _take(self, rows: Rows, scores: Doubles, errors: Doubles) -> None:
        self._rows = np.concatenate((self._rows, rows))
        self._scores = np.concatenate((self._scores, scores))
        self._errors = np.concatenate((self._errors, errors))

    def _settle(self) -> None:
        """Raise the floor to what is known now, and drop what is below it."""
        if len(self._rows) <= self.k:
            return
        place = len(self._rows) - self.k
        self._floor = max(
            self._floor, float(np.partition(self._scores - self._errors, place)[place])
        )
        kept = self._scores + self._errors >= self._floor
        self._rows, self._scores = self._rows[kept], self._scores[kept]
        self._errors = self._errors[kept]
        if len(self._rows) > self.k + CROWD:
            self._rows, exact = self._thin(self._rows)
            self._scores = exact + self._length**2 if self.space == "l2" else exact
            self._errors = np.abs(self._scores) * _DOUBLE + _TINY
            if self.space == "l2":
                self._errors += self._length**2 * _DOUBLE
            # No floor from the exact scores themselves: all that equal the last one stay in play.
            if len(self._rows) >= self.k:
                self._floor = max(self._floor, float(np.min(self._scores - self._errors)))


#: Errors of float64, of however long a sum: 2^-53 times some thousands.
_DOUBLE = 2.0**-38
#: What products may lose that are too small for float32.
_TINY = 2.0**-112


def _slack(dimension: int) -> float:
    """The most by which a float32 product of two unit vectors can be off: d roundings of the sum,
    and a few of the lengths and their inverses."""
    return 1.02 * (dimension + 8) * _ROUNDOFF


def _unit(vector: Doubles, length: float) -> Vectors:
    return (vector / length if length > 0 else vector).astype(np.float32)
