"""Candidates by float32 always hold what an exhaustive ranking by float64 begins with."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store_worker import nearness
from store_worker.nearness import Best, Block, exact_scores, lengths_of, multiplied, rankable

SPACES = ["cosine", "ip", "l2"]


def exhaustive(space, query, vectors, k):
    """Rows of the ``k`` best, equal ones by row, among those that can be ranked."""
    usable = np.flatnonzero(rankable(space, lengths_of(vectors)))
    scores = exact_scores(space, query, vectors[usable])
    return [row for _, row in sorted(zip((-scores).tolist(), usable.tolist(), strict=True))[:k]]


def candidates(space, query, vectors, k, block=7):
    rows = np.arange(len(vectors))

    def thin(some):
        best = exhaustive(space, query, vectors[some], k)
        return some[best], exact_scores(space, query, vectors[some[best]])

    best = Best(space, query, k, thin)
    for start in range(0, len(vectors), block):
        part = vectors[start : start + block]
        lengths = lengths_of(part)
        usable = rankable(space, lengths)
        products = multiplied(part, best.factor[None, :])
        best.offer(Block(rows[start : start + block], part, lengths, usable), products[0])
    return best.rows()


numbers = st.sampled_from([0.0, 1.0, -1.0, 2.0, 0.5, 3.0, 1e-3, 1e4])


@st.composite
def few_values(draw):
    """Vectors of few values: many are equal, or parallel."""
    d = draw(st.integers(1, 5))
    vector = st.lists(numbers, min_size=d, max_size=d)
    vectors = np.array(draw(st.lists(vector, min_size=1, max_size=60)), np.float32)
    query = np.array(draw(vector), np.float32)
    if not query.any():
        query[0] = 1.0
    return query, vectors, draw(st.integers(1, 12))


@st.composite
def a_crowd(draw):
    """Vectors around one point, as near to each other as float32 can tell or hardly farther, and a
    query at some distance from them: float32 puts them in a wrong order."""
    chance = np.random.default_rng(draw(st.integers(0, 2**32)))
    d, n = draw(st.integers(2, 48)), draw(st.integers(2, 60))
    point = chance.standard_normal(d) * draw(st.sampled_from([1e-3, 1.0, 1e3]))
    apart = draw(st.sampled_from([1e-7, 1e-6, 1e-4]))
    vectors = point * (1 + apart * chance.integers(-2, 3, (n, d)))
    query = point * (1 + draw(st.sampled_from([1e-6, 1e-3, 1.0])) * chance.standard_normal(d))
    return query.astype(np.float32), vectors.astype(np.float32), draw(st.integers(1, 12))


cases = st.one_of(few_values(), a_crowd())


@pytest.mark.parametrize("crowd", [4, nearness.CROWD])
@pytest.mark.parametrize("space", SPACES)
def test_candidates_hold_what_an_exhaustive_ranking_begins_with(space, crowd):
    @settings(max_examples=250, deadline=None)
    @given(cases)
    def check(case):
        query, vectors, k = case
        rows = candidates(space, query, vectors, k)
        best = exhaustive(space, query, vectors[np.sort(rows)], k)
        assert np.sort(rows)[best].tolist() == exhaustive(space, query, vectors, k)
        assert len(set(rows.tolist())) == len(rows)
        assert len(rows) <= max(k + crowd, 1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nearness, "CROWD", crowd)
        check()


@pytest.mark.parametrize("space", SPACES)
def test_of_many_vectors_that_differ_few_are_candidates(space):
    chance = np.random.default_rng(1)
    vectors = chance.standard_normal((20_000, 64)).astype(np.float32)
    query = chance.standard_normal(64).astype(np.float32)
    rows = candidates(space, query, vectors, 10, block=4096)
    assert set(exhaustive(space, query, vectors, 10)) <= set(rows.tolist())
    assert len(rows) <= 12


def test_the_likeliest_candidate_comes_first():
    chance = np.random.default_rng(2)
    vectors = chance.standard_normal((1000, 32)).astype(np.float32)
    query = chance.standard_normal(32).astype(np.float32)
    assert candidates("cosine", query, vectors, 5)[:5].tolist() == exhaustive(
        "cosine", query, vectors, 5
    )


@pytest.mark.parametrize("queries", [1, 3, 20])
def test_the_error_of_products_stays_within_the_slack(queries):
    chance = np.random.default_rng(3)
    vectors = chance.standard_normal((3000, 1024)).astype(np.float32)
    wanted = chance.standard_normal((queries, 1024)).astype(np.float32)
    error = np.abs(multiplied(vectors, wanted) - wanted.astype(float) @ vectors.astype(float).T)
    bound = np.outer(lengths_of(wanted), lengths_of(vectors)) * nearness._slack(1024)
    assert (error <= bound).all()


@pytest.mark.parametrize("space", SPACES)
def test_a_product_beyond_float32_hides_nothing(space):
    # In float32 their products with the query are infinite, and no numbers at all.
    big = np.array([[1.5e19, 1.5e19], [1.8e19, 1e18], [1.6e19, -1.8e19], [1.0, 1.0]], np.float32)
    big = np.concatenate((big, -big))
    for query in big * np.float32(8):
        rows = np.sort(candidates(space, query, big, 1, block=4))
        best = exhaustive(space, query, big[rows], 1)
        assert rows[best].tolist() == exhaustive(space, query, big, 1)


def test_a_vector_that_has_no_score_is_no_candidate():
    vectors = np.array([[0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0], [1.0, 0.0]], np.float32)
    query = np.array([1.0, 1.0], np.float32)
    assert candidates("cosine", query, vectors, 4).tolist() == [3]
    # It has no direction, but a distance.
    assert sorted(candidates("l2", query, vectors, 4).tolist()) == [0, 3]


def test_equal_vectors_have_equal_scores_wherever_they_stand():
    chance = np.random.default_rng(4)
    vectors = np.repeat(chance.standard_normal((1, 384)).astype(np.float32), 5001, axis=0)
    query = chance.standard_normal(384).astype(np.float32)
    for space in SPACES:
        assert len(set(exact_scores(space, query, vectors).tolist())) == 1
