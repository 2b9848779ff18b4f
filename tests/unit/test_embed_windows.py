from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embed_worker.windows import LongTexts, Piece, plan, pool, spans
from thoth_core.errors import SettingsError


@given(st.integers(0, 5000), st.integers(1, 300), st.data())
def test_windows_cover_every_token_with_the_given_overlap(
    count: int, size: int, data: st.DataObject
) -> None:
    overlap = data.draw(st.integers(0, size - 1))
    if count > 2000 and size - overlap < 4:
        count = 2000
    found = spans(count, size, overlap)
    assert found[0][0] == 0
    assert found[-1][1] == count
    for start, end in found:
        assert end - start <= size
    for (_, end), (start, _) in itertools.pairwise(found):
        assert start == end - overlap
    # All but the last are full, and the last has something of its own.
    assert all(end - start == size for start, end in found[:-1])
    assert len(found) == 1 or found[-1][1] > found[-2][1]


@pytest.mark.parametrize("overlap", [-1, 10, 11])
def test_an_overlap_that_would_never_advance_is_refused(overlap: int) -> None:
    with pytest.raises(ValueError, match="overlap"):
        spans(100, 10, overlap)


@given(st.lists(st.integers(0, 2000), max_size=30), st.integers(8, 500))
def test_only_texts_over_the_limit_are_cut(counts: list[int], size: int) -> None:
    made = plan(counts, LongTexts("window", size))
    assert made.windowed == [count > size for count in counts]
    assert made.tokens == counts
    assert not made.errors
    for index, count in enumerate(counts):
        mine = [p for p in made.pieces if p.text == index]
        assert set().union(*(range(p.start, p.end) for p in mine)) == set(range(count))


def test_truncate_reads_the_beginning_only() -> None:
    made = plan([10, 25], LongTexts("truncate", 16))
    assert made.pieces == [Piece(0, 0, 10), Piece(1, 0, 16)]
    assert made.tokens == [10, 16]
    assert made.windowed == [False, False]


def test_error_refuses_the_long_text_by_index_and_embeds_the_others() -> None:
    made = plan([10, 1234, 16], LongTexts("error", 16))
    assert [p.text for p in made.pieces] == [0, 2]
    (error,) = made.errors.values()
    assert error.indices == [1]
    assert error.details["tokens"] == 1234
    assert error.details["max_tokens"] == 16
    assert "1,234" in error.message
    assert "16" in error.message
    assert "THOTH_LONG_TEXT=window" in error.fix


@pytest.mark.parametrize("policy", ["window", "truncate", "error"])
def test_a_model_without_a_limit_reads_everything(policy: str) -> None:
    made = plan([100_000], LongTexts(policy, None))
    assert made.pieces == [Piece(0, 0, 100_000)]
    assert LongTexts(policy, None).describe() == "whole"


def test_an_unknown_policy_is_a_settings_error_that_names_the_right_ones() -> None:
    with pytest.raises(SettingsError) as caught:
        LongTexts("cut", 256)
    assert "window, truncate, error" in caught.value.cause


def test_a_limit_too_small_for_windows_is_refused() -> None:
    with pytest.raises(SettingsError):
        LongTexts("window", 3)


def test_rules_that_give_other_vectors_have_other_descriptions() -> None:
    window = LongTexts("window", 254).describe()
    assert window == "window tokens=254 overlap=31 pooling=token-mean"
    assert LongTexts("window", 510).describe() != window
    assert LongTexts("truncate", 254).describe() != window
    assert LongTexts("error", 254).describe() == LongTexts("truncate", 254).describe()


def test_pooling_weighs_windows_by_their_tokens() -> None:
    pieces = [Piece(0, 0, 30), Piece(0, 20, 30)]
    vectors = np.array([[1, 0], [0, 1]], dtype=np.float32)
    got = pool(pieces, vectors, 1)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, [np.array([3, 1]) / np.sqrt(10)], atol=1e-7)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=8), st.integers(0, 2**32 - 1))
def test_pooled_vectors_have_unit_length_and_single_ones_stay_bit_for_bit(
    pieces_of: list[int], seed: int
) -> None:
    pieces = [
        Piece(t, 10 * n, 10 * n + 10) for t, many in enumerate(pieces_of) for n in range(many)
    ]
    raw = np.random.default_rng(seed).standard_normal((len(pieces), 16))
    vectors = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
    got = pool(pieces, vectors, len(pieces_of))
    np.testing.assert_allclose(np.linalg.norm(got, axis=1), 1, atol=1e-6)
    for row, piece in enumerate(pieces):
        if pieces_of[piece.text] == 1:
            assert (got[piece.text] == vectors[row]).all()


def test_windows_that_cancel_out_and_refused_texts_give_zeros() -> None:
    pieces = [Piece(1, 0, 10), Piece(1, 5, 15)]
    got = pool(pieces, np.array([[1, 0], [-1, 0]], dtype=np.float32), 2)
    assert not got.any()
