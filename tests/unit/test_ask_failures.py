"""What a chat server's failures mean, and what is asked in another way."""

from __future__ import annotations

import email.utils

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thoth_core.asking.failures import (
    BROKEN,
    CONNECT,
    DROPPED,
    LONGEST_PAUSE,
    LONGEST_WAIT,
    SILENT,
    STATUS,
    TRIES,
    Asked,
    Failure,
    error_of,
    pause,
    shown,
    status_in,
    why_waiting,
)
from thoth_core.asking.request import adapted, first_request, model_name
from thoth_core.asking.threshold import MEASURED, near_enough, threshold_for
from thoth_core.errors import (
    AuthenticationFailed,
    DeadlineExceeded,
    InternalError,
    ModelNotFound,
    Overloaded,
    QuotaExceeded,
    RequestTooLarge,
    ServiceUnavailable,
    SettingsError,
    ThothError,
)
from thoth_core.provider import is_local
from thoth_core.provider_errors import retry_after
from thoth_core.setting_specs import BY_FIELD, BadValue

AT = Asked("http://127.0.0.1:8080/v1", "mine", "RAG_QA_MODEL")
_NOW = 1_750_000_000.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "2", "retry-after-ms": "1500"}, 2.0),
        ({"retry-after-ms": "nonsense", "retry-after": "3"}, 3.0),
        ({"retry-after": email.utils.formatdate(_NOW + 7, usegmt=True)}, 7.0),
        ({"retry-after": email.utils.formatdate(_NOW - 7, usegmt=True)}, 0.0),
        ({"retry-after": "-1"}, 0.0),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
    ],
)
def test_when_to_come_again(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, _NOW) == seconds


_FAILURES = st.builds(
    Failure,
    kind=st.sampled_from([STATUS, CONNECT, DROPPED, SILENT, BROKEN]),
    status=st.integers(400, 599),
    code=st.sampled_from(["", "insufficient_quota", "model_not_found", "rate_limit_exceeded"]),
    retry_after=st.one_of(st.none(), st.floats(0, 1e6)),
)


@given(_FAILURES, st.integers(1, 10), st.floats(0, 1))
def test_a_pause_is_bounded_and_no_shorter_than_asked(
    failure: Failure, tries: int, chance: float
) -> None:
    wait = pause(failure, tries, chance)
    if wait is None:
        return
    assert tries < TRIES
    assert failure.kind in (STATUS, DROPPED, BROKEN)
    assert (failure.kind, failure.code) != (STATUS, "insufficient_quota")
    if failure.retry_after is not None:
        assert failure.retry_after <= wait <= LONGEST_WAIT + 0.25
    else:
        assert 0 < wait <= LONGEST_PAUSE


def test_pauses_grow() -> None:
    waits = [pause(Failure(STATUS, 500), tries, 1.0) for tries in range(1, TRIES + 1)]
    assert waits == [0.5, 1.0, 2.0, 4.0, None]


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (Failure(STATUS, 401), AuthenticationFailed),
        (Failure(STATUS, 403), AuthenticationFailed),
        (Failure(STATUS, 402), QuotaExceeded),
        (Failure(STATUS, 429, code="insufficient_quota"), QuotaExceeded),
        (Failure(STATUS, 429, retry_after=7200.2), Overloaded),
        (Failure(STATUS, 404, code="model_not_found"), ModelNotFound),
        (Failure(STATUS, 404, message="model 'mine' not found, try pulling it"), ModelNotFound),
        (Failure(STATUS, 404, message="Not Found"), SettingsError),
        (Failure(STATUS, 400, code="context_length_exceeded"), RequestTooLarge),
        (Failure(STATUS, 400, message="exceeds the context length"), RequestTooLarge),
        (Failure(STATUS, 413), RequestTooLarge),
        (Failure(STATUS, 400, message="bad"), SettingsError),
        (Failure(STATUS, 503), ServiceUnavailable),
        (Failure(STATUS, 302), InternalError),
        (Failure(CONNECT), ServiceUnavailable),
        (Failure(DROPPED), ServiceUnavailable),
        (Failure(BROKEN), ServiceUnavailable),
        (Failure(SILENT), DeadlineExceeded),
    ],
)
def test_which_error_it_is(failure: Failure, error: type[ThothError]) -> None:
    found = error_of(failure, AT)
    assert type(found) is error
    if error is ModelNotFound:
        assert "'mine'" in found.message
        assert "RAG_QA_MODEL" in found.fix
    elif error is not RequestTooLarge:
        assert AT.base_url in found.message


@given(_FAILURES)
def test_each_failure_is_an_error_that_says_what_and_why(failure: Failure) -> None:
    error = error_of(failure, AT)
    assert error.message
    assert why_waiting(failure, 1.0)


def test_the_key_is_taken_out_of_what_a_server_says() -> None:
    key = "sk-proj-0123456789"
    assert key not in shown(f"wrong key {key}: {key}", key)
    assert shown("\x1b[31ma\nb\0c", "") == "[31ma b c"
    assert len(shown("x" * 5000, "")) == 300
    # Without a key nothing is taken out.
    assert shown("none at all", "") == "none at all"


def test_the_status_in_mid_answer() -> None:
    assert [status_in(code) for code in ("429", "server_error", "", "7")] == [429, 500, 500, 500]


def test_what_a_server_does_not_take_is_left_out_once() -> None:
    request = first_request("openai/m", [], temperature=0.2, max_tokens=7)
    assert request["model"] == "m"
    refused = Failure(STATUS, 400, param="max_tokens", message="Unsupported parameter")
    other = adapted(request, refused)
    assert other is not None
    assert other["max_completion_tokens"] == 7
    assert "max_tokens" not in other
    assert adapted(other, refused) is None
    hot = Failure(STATUS, 400, message="temperature is not supported with this model")
    assert "temperature" not in (adapted(other, hot) or {"temperature": 1})
    odd = Failure(STATUS, 422, message="Extra inputs are not permitted: stream_options")
    assert "stream_options" not in (adapted(other, odd) or {"stream_options": 1})
    # About something else.
    for failure in (
        Failure(STATUS, 500, param="max_tokens"),
        Failure(STATUS, 400, message="temperature must be at most 1"),
        Failure(STATUS, 400, param="messages", message="max_tokens is not supported"),
    ):
        assert adapted(request, failure) is None


@given(
    st.lists(
        st.builds(
            Failure,
            st.just(STATUS),
            st.just(400),
            param=st.sampled_from(["max_tokens", "temperature", "stream_options", "model"]),
        ),
        max_size=20,
    )
)
def test_adapting_ends(some: list[Failure]) -> None:
    request = first_request("m", [], temperature=0.2, max_tokens=7)
    times = 0
    for failure in some:
        other = adapted(request, failure)
        if other is not None:
            request, times = other, times + 1
    assert times <= 3
    assert {"model", "messages", "stream"} <= set(request)


def test_names_and_addresses() -> None:
    assert model_name("openai/gpt-4o-mini") == "gpt-4o-mini"
    assert model_name("organisation/model") == "organisation/model"
    for url in ("http://127.0.0.1:1/v1", "http://localhost/v1", "http://[::1]:8/v1"):
        assert is_local(url)
    for url in ("https://api.openai.com/v1", "http://10.0.0.1/v1", "http://localhost.evil/"):
        assert not is_local(url)


# ---- near enough


def test_only_measured_models_have_a_threshold() -> None:
    measured = MEASURED["all-MiniLM-L6-v2"]
    assert threshold_for("all-MiniLM-L6-v2") == measured
    assert threshold_for("sentence-transformers/all-MiniLM-L6-v2") == measured
    for other in (None, "", "openai/text-embedding-3-small", "mine/all-MiniLM-L6-v2"):
        assert threshold_for(other) is None
    assert threshold_for("all-MiniLM-L6-v2", 0.7) == 0.7
    assert threshold_for(None, -1.0) == -1.0


@given(st.lists(st.floats(-1, 1)), st.one_of(st.none(), st.floats(-1, 1)))
def test_the_best_passage_decides(scores: list[float], threshold: float | None) -> None:
    wanted = bool(scores) and (threshold is None or max(scores) >= threshold)
    assert near_enough(scores, threshold) is wanted


def test_the_setting() -> None:
    parse = BY_FIELD["ask_threshold"].parse
    assert (parse("AUTO"), parse("0.3"), parse("-1")) == ("auto", 0.3, -1.0)
    for bad in ("2", "nan", "near"):
        with pytest.raises(BadValue, match="auto, or a number"):
            parse(bad)
