"""What is believed of a provider, and what comes of its errors."""

from __future__ import annotations

import base64
import email.utils
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from embed_worker import provider_answers as answers
from embed_worker.provider_answers import Again, BadAnswer, NoFloats, Refused, vectors_of, verdict
from thoth_core.errors import AuthenticationFailed, ModelNotFound, QuotaExceeded, SettingsError
from thoth_core.provider_errors import without_keys

NOW = 1_790_000_000.0
VECTORS = arrays.arrays(
    np.float32, (5, 4), elements=st.floats(-1, 1, width=32).filter(lambda x: abs(x) > 1e-3)
)


def _verdict(status: int | None, tries: int = 1, chance: float = 0.0, **more: Any) -> Any:
    error, headers = more.pop("error", {}), more.pop("headers", {})
    assert not more
    return verdict(
        status,
        error,
        headers,
        model="m",
        server="https://example.org/v1",
        tries=tries,
        chance=chance,
        wall=NOW,
    )


@given(VECTORS, st.permutations(range(5)), st.booleans())
def test_vectors_come_in_the_order_of_the_inputs_and_of_unit_length(
    rows: np.ndarray, order: list[int], as_base64: bool
) -> None:
    def shown(row: np.ndarray) -> object:
        return base64.b64encode(row.tobytes()).decode() if as_base64 else row.tolist()

    made = vectors_of([(n, shown(rows[n])) for n in order], 5, 4)
    assert made.dtype == np.float32
    want = rows / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    np.testing.assert_allclose(made, want, atol=1e-6)


@pytest.mark.parametrize(
    "data",
    [
        [(0, [1.0, 0.0])],
        [(0, [1.0, 0.0]), (0, [0.0, 1.0])],
        [(0, [1.0, 0.0]), (2, [0.0, 1.0])],
        [(0, [1.0, 0.0]), (-1, [0.0, 1.0])],
        [(0, [1.0, 0.0]), ("1", [0.0, 1.0])],
        [(0, [1.0, 0.0]), (True, [0.0, 1.0])],
        [(0, [1.0, 0.0]), (1, [0.0, 1.0, 0.0])],
        [(0, [1.0, 0.0, 0.0]), (1, [0.0, 1.0, 0.0])],
        [(0, [1.0, 0.0]), (1, [float("nan"), 1.0])],
        [(0, [1.0, 0.0]), (1, [1e300, 1.0])],
        [(0, [1.0, 0.0]), (1, [0.0, 0.0])],
        [(0, [1.0, 0.0]), (1, None)],
        [(0, [1.0, 0.0]), (1, "no base64!")],
        [(0, [1.0, 0.0]), (1, "AAAA")],
        [(0, [1.0, 0.0]), (1, [[0.0, 1.0]])],
        [(0, [1.0, 0.0]), (1, ["a", "b"])],
    ],
)
def test_what_cannot_be_the_answer_is_not_believed(data: Any) -> None:
    with pytest.raises(BadAnswer):
        vectors_of(data, 2, 2)


def test_a_key_that_is_refused_is_permanent_and_not_shown() -> None:
    for status in (401, 403):
        found = _verdict(status, error={"message": "Incorrect API key provided: sk-proj-abc123."})
        assert isinstance(found, AuthenticationFailed)
        assert "abc123" not in str(found)
        assert "thoth-supervisor reload" in found.fix
    assert "secret" not in without_keys("your key secret-of-mine is wrong", "secret-of-mine")


def test_no_quota_is_permanent_and_too_many_requests_are_not() -> None:
    for where in ("code", "type"):
        assert isinstance(_verdict(429, error={where: "insufficient_quota"}), QuotaExceeded)
        assert isinstance(_verdict(429, error={where: "billing_not_active"}), QuotaExceeded)
    assert isinstance(_verdict(402), QuotaExceeded)
    assert _verdict(429, headers={"retry-after": "2"}) == Again(2.0, told=True)
    assert _verdict(429, headers={"retry-after": "2", "retry-after-ms": "2500"}).wait == 2.5
    assert _verdict(429, headers={"retry-after-ms": "1", "retry-after": "2"}).wait == 2.0
    date = email.utils.formatdate(NOW + 7, usegmt=True)
    assert _verdict(429, headers={"retry-after": date}) == Again(7.0, told=True)
    assert _verdict(429, headers={"retry-after": "x"}) == Again(answers.FIRST_WAIT, told=True)
    for status in (500, 502, 503):
        assert _verdict(status, headers={"retry-after": "3"}) == Again(3.0, told=True)


def test_at_once_again_and_again_is_not_sent_as_fast_as_it_is_refused() -> None:
    past = email.utils.formatdate(NOW - 30, usegmt=True)
    for text in ("0", "0.02", past):
        headers = {"retry-after": text}
        assert _verdict(429, headers=headers).wait < 0.1
        assert 0.5 <= _verdict(429, tries=3, chance=1.0, headers=headers).wait <= 1.0
    assert _verdict(429, tries=9, headers={"retry-after": "7"}).wait == 7.0


@given(st.integers(1, 2000), st.floats(0, 1), st.sampled_from([None, 408, 409, 500, 502, 503, 529]))
def test_waits_grow_and_have_a_bound(tries: int, chance: float, status: int | None) -> None:
    found = _verdict(status, tries, chance)
    assert isinstance(found, Again)
    assert not found.told
    most = min(answers.LONGEST_WAIT, answers.FIRST_WAIT * 2 ** min(tries - 1, 20))
    assert most / 2 <= found.wait <= most


def test_what_is_wrong_with_the_call_is_said_once() -> None:
    no_model = "The model 'm' does not exist"
    assert isinstance(_verdict(404, error={"message": no_model}), ModelNotFound)
    found = _verdict(404, error={"message": "Invalid URL (POST /embeddings)"})
    assert isinstance(found, SettingsError)
    assert "OPENAI_BASE_URL" in found.fix
    assert isinstance(_verdict(400, error={"code": "model_not_found"}), ModelNotFound)
    assert isinstance(_verdict(400, error={"param": "dimensions"}), SettingsError)
    assert isinstance(_verdict(400, error={"message": "unknown encoding_format"}), NoFloats)
    assert _verdict(400, error={"message": "too long"}) == Refused("too long")
    assert _verdict(422) == Refused("HTTP 422")


def test_vectors_of_another_length_are_told_apart_from_a_spoilt_answer() -> None:
    with pytest.raises(answers.OtherLength) as found:
        vectors_of([(0, [1.0, 0.0, 0.0]), (1, [0.0, 1.0, 0.0])], 2, 2)
    assert found.value.length == 3
