"""The test server as the official client sees it: each fault is an error that the client raises."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from typing import Any

import numpy as np
import openai
import pytest

from tests.support.openai_books import needed_tokens, tokens_of
from tests.support.openai_errors import spoken
from tests.support.openai_faults import KINDS, Fault, at, share, starting_at
from tests.support.openai_limits import Limits
from tests.support.openai_server import OpenAIServer
from tests.support.service import wait_for
from thoth_core.encoding import load_encoding

SMALL, LARGE, ADA = "text-embedding-3-small", "text-embedding-3-large", "text-embedding-ada-002"
TEXTS = ["one text", "and another one", "a third"]


@pytest.fixture(scope="module")
def connect() -> Iterator[Callable[[OpenAIServer], openai.OpenAI]]:
    """Clients that share one pool of connections, which is what takes time to make."""
    http = openai.DefaultHttpxClient()

    def make(server: OpenAIServer, key: str | None = None) -> openai.OpenAI:
        return openai.OpenAI(
            api_key=key or server.key,
            base_url=server.base_url,
            max_retries=0,
            timeout=20,
            http_client=http,
        )

    yield make
    http.close()


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


@pytest.fixture
def client(server: OpenAIServer, connect: Any) -> openai.OpenAI:
    return connect(server)


def rows(made: Any) -> np.ndarray:
    return np.array([each.embedding for each in made.data], dtype=np.float32)


# -- embeddings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "width"), [(SMALL, 1536), (LARGE, 3072), (ADA, 1536)])
def test_vectors_are_unit_length_and_the_same_each_time(
    client: openai.OpenAI, model: str, width: int
) -> None:
    floats = client.embeddings.create(model=model, input=TEXTS, encoding_format="float")
    packed = client.embeddings.create(model=model, input=TEXTS)

    assert rows(floats).shape == (3, width)
    assert np.allclose(np.linalg.norm(rows(floats), axis=1), 1, atol=1e-6)
    assert np.array_equal(rows(floats), rows(packed))
    assert not np.allclose(rows(floats)[0], rows(floats)[1])
    assert floats.usage.prompt_tokens == sum(map(tokens_of, TEXTS)) == 7


def test_texts_as_tokens_are_the_same_texts(server: OpenAIServer, client: openai.OpenAI) -> None:
    tokens = [load_encoding("cl100k_base").tokens(text) for text in TEXTS]

    as_text = client.embeddings.create(model=SMALL, input=TEXTS)
    as_tokens = client.embeddings.create(model=SMALL, input=tokens)
    one = client.embeddings.create(model=SMALL, input=tokens[2])

    assert np.array_equal(rows(as_text), rows(as_tokens))
    assert np.array_equal(rows(one)[0], rows(as_text)[2])
    assert server.books.times_delivered() == {TEXTS[0]: 2, TEXTS[1]: 2, TEXTS[2]: 3}


def test_fewer_dimensions_are_the_first_ones_made_unit_length(client: openai.OpenAI) -> None:
    whole = rows(client.embeddings.create(model=LARGE, input="x"))[0]
    part = rows(client.embeddings.create(model=LARGE, input="x", dimensions=256))[0]

    assert np.allclose(part, whole[:256] / np.linalg.norm(whole[:256]), atol=1e-6)


def test_vectors_of_an_engine_keep_their_cosines(server: OpenAIServer, connect: Any) -> None:
    given = np.array([[3.0, 4.0], [4.0, 3.0]])
    server.embed = lambda texts: given

    made = rows(connect(server).embeddings.create(model=SMALL, input=["a", "b"]))

    assert made.shape == (2, 1536)
    assert made[0] @ made[1] == pytest.approx(24 / 25)


LONG = "word " * 8193
REFUSED = {
    "an empty text": ({"input": ["x", ""]}, "'$.input' is invalid"),
    "no text": ({"input": []}, "'$.input' is invalid"),
    "2,049 texts": ({"input": ["x"] * 2049}, "maximum length 2048, but got an array with length"),
    "a long text": (
        {"input": LONG},
        "maximum context length is 8192 tokens, however you requested",
    ),
    "too many tokens": ({"input": ["word " * 8000] * 38}, "max 300000 tokens per request"),
    "dimensions of ada": (
        {"model": ADA, "dimensions": 8},
        "does not support specifying dimensions",
    ),
    "too many dimensions": ({"dimensions": 1537}, "at most 1536"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_the_real_api_refuses(server: OpenAIServer, client: openai.OpenAI, what: str) -> None:
    arguments, words = REFUSED[what]
    with pytest.raises(openai.BadRequestError) as raised:
        client.embeddings.create(**{"model": SMALL, "input": "x", **arguments})

    assert words in raised.value.message
    assert server.books.billed_tokens == 0


def test_2048_texts_are_taken(client: openai.OpenAI) -> None:
    made = client.embeddings.create(model=SMALL, input=["x"] * 2048, dimensions=2)
    assert [each.index for each in made.data] == list(range(2048))


def test_an_unknown_model_and_an_unknown_page(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as raised:
        client.embeddings.create(model="text-embedding-9", input="x")
    assert raised.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError, match="Invalid URL"):
        client.models.list()


def test_keys_that_are_good_can_change(server: OpenAIServer, connect: Any) -> None:
    other = connect(server, "sk-proj-another-one-0123456789")
    with pytest.raises(openai.AuthenticationError) as raised:
        other.embeddings.create(model=SMALL, input="x")
    assert raised.value.code == "invalid_api_key"
    assert "sk-proj-" in raised.value.message and "another-one" not in raised.value.message

    server.keys = {"sk-proj-another-one-0123456789"}
    assert other.embeddings.create(model=SMALL, input="x").data
    with pytest.raises(openai.AuthenticationError):
        connect(server).embeddings.create(model=SMALL, input="x")


def test_a_key_that_the_answer_repeats(server: OpenAIServer, connect: Any) -> None:
    server.echo_keys = True
    with pytest.raises(openai.AuthenticationError, match="sk-repeated-whole"):
        connect(server, "sk-repeated-whole").embeddings.create(model=SMALL, input="x")


# -- faults ---------------------------------------------------------------------------------------


def test_429_with_retry_after_in_seconds(server: OpenAIServer, client: openai.OpenAI) -> None:
    server.plan = at({1: Fault("rate_limit", retry_after=60.0)})
    with pytest.raises(openai.RateLimitError) as raised:
        client.embeddings.create(model=SMALL, input="x")

    assert raised.value.response.headers["retry-after"] == "60"
    assert raised.value.code == "rate_limit_exceeded"
    client.embeddings.create(model=SMALL, input="x")
    [early] = server.books.early()
    assert early.number == 2
    assert server.books.early(server.books.embeddings[:1]) == []
    assert server.books.early(grace=120.0) == []


def test_429_with_retry_after_as_a_date(server: OpenAIServer, client: openai.OpenAI) -> None:
    server.plan = at({1: Fault("rate_limit", retry_after=2.0, as_date=True)})
    with pytest.raises(openai.RateLimitError) as raised:
        client.embeddings.create(model=SMALL, input="x")

    headers = raised.value.response.headers
    asked = parsedate_to_datetime(headers["retry-after"])
    assert 1 <= (asked - parsedate_to_datetime(headers["date"])).total_seconds() <= 3
    [refused] = server.books.requests
    assert refused.not_before is not None and refused.told is not None
    assert 2.0 <= refused.not_before - refused.told <= 3.0


STATUSES: dict[str, tuple[type[openai.APIStatusError], str | None]] = {
    "quota": (openai.RateLimitError, "insufficient_quota"),
    "unauthorized": (openai.AuthenticationError, "invalid_api_key"),
    "forbidden": (openai.PermissionDeniedError, "unsupported_country_region_territory"),
    "bad_request": (openai.BadRequestError, None),
    "server_error": (openai.InternalServerError, None),
    "overloaded": (openai.InternalServerError, None),
}


@pytest.mark.parametrize("kind", STATUSES)
def test_errors_are_those_that_the_client_knows(
    server: OpenAIServer, client: openai.OpenAI, kind: Any
) -> None:
    error, code = STATUSES[kind]
    server.plan = at({1: Fault(kind)})
    with pytest.raises(error) as raised:
        client.embeddings.create(model=SMALL, input="x")

    assert raised.value.code == code
    assert server.books.billed_tokens == 0
    assert client.embeddings.create(model=SMALL, input="x").data


def test_a_connection_dropped_before_any_byte(server: OpenAIServer, client: openai.OpenAI) -> None:
    server.plan = at({1: Fault("drop_early")})
    with pytest.raises(openai.APIConnectionError):
        client.embeddings.create(model=SMALL, input=TEXTS)

    assert client.embeddings.create(model=SMALL, input=TEXTS).data
    assert server.books.statuses() == {None: 1, 200: 1}
    assert server.books.billed_tokens == needed_tokens(TEXTS)


LOST = {
    "drop_mid_body": openai.APIConnectionError,
    "broken_json": json.JSONDecodeError,
}


@pytest.mark.parametrize("kind", LOST)
def test_answers_that_are_billed_and_lost(
    server: OpenAIServer, client: openai.OpenAI, kind: Any
) -> None:
    server.plan = at({1: Fault(kind)})
    with pytest.raises(LOST[kind]):
        client.embeddings.create(model=SMALL, input=TEXTS)
    client.embeddings.create(model=SMALL, input=TEXTS)

    books = server.books
    assert books.lost_tokens == needed_tokens(TEXTS)
    assert books.billed_tokens == needed_tokens(TEXTS) + books.lost_tokens
    assert set(books.times_billed().values()) == {2}
    assert set(books.times_delivered().values()) == {1}


def test_too_few_vectors_and_one_that_is_no_number(
    server: OpenAIServer, client: openai.OpenAI
) -> None:
    server.plan = at({1: Fault("too_few"), 2: Fault("nan"), 3: Fault("nan")})

    assert len(client.embeddings.create(model=SMALL, input=TEXTS).data) == 2
    packed = client.embeddings.create(model=SMALL, input=TEXTS)
    floats = client.embeddings.create(model=SMALL, input=TEXTS, encoding_format="float")
    for made in (packed, floats):
        assert [math.isnan(each.embedding[0]) for each in made.data] == [False, True, False]
    assert server.books.lost_tokens == server.books.billed_tokens == 3 * needed_tokens(TEXTS)


def test_vectors_in_another_order_have_the_right_index(
    server: OpenAIServer, client: openai.OpenAI
) -> None:
    server.plan = at({2: Fault("shuffled")})
    right = client.embeddings.create(model=SMALL, input=TEXTS)
    other = client.embeddings.create(model=SMALL, input=TEXTS)

    assert [each.index for each in other.data] == [2, 1, 0]
    assert np.array_equal(rows(other)[::-1], rows(right))
    assert server.books.lost_tokens == 0


def test_an_answer_that_comes_too_late_is_billed_and_lost(
    server: OpenAIServer, client: openai.OpenAI
) -> None:
    server.plan = at({1: Fault("slow", seconds=0.3)})
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.05).embeddings.create(model=SMALL, input=TEXTS)
    # The server sees it when it has computed the answer.
    wait_for(lambda: server.books.billed_tokens, 30, "the late answer is billed")

    assert server.books.lost_tokens == server.books.billed_tokens == needed_tokens(TEXTS)


def test_plans_are_the_same_each_time_and_come_as_often_as_told() -> None:
    plan = share(3, {"server_error": 0.1, Fault("slow", seconds=2.0): 0.05})
    drawn = [plan(number) for number in range(1, 4001)]

    assert drawn == [plan(number) for number in range(1, 4001)]
    assert 330 < drawn.count(Fault("server_error")) < 470
    assert 150 < drawn.count(Fault("slow", seconds=2.0)) < 250
    assert [starting_at(3, Fault("quota"))(n) for n in (2, 3, 4)] == [
        None,
        Fault("quota"),
        Fault("quota"),
    ]
    # Each kind is tried in this file.
    assert {*STATUSES, *LOST, "rate_limit", "drop_early", "too_few", "nan", "shuffled", "slow"} == {
        *KINDS
    }


# -- limits ---------------------------------------------------------------------------------------


def test_limits_are_told_in_headers_and_kept(server: OpenAIServer, client: openai.OpenAI) -> None:
    server.limits = Limits(requests=2, tokens=100)
    raw = client.embeddings.with_raw_response.create(model=SMALL, input=TEXTS)

    assert raw.headers["x-ratelimit-limit-requests"] == "2"
    assert raw.headers["x-ratelimit-remaining-requests"] == "1"
    assert raw.headers["x-ratelimit-reset-requests"] == "30s"
    assert raw.headers["x-ratelimit-limit-tokens"] == "100"
    assert raw.headers["x-ratelimit-remaining-tokens"] == "93"
    assert raw.headers["x-ratelimit-reset-tokens"] == "4.2s"

    client.embeddings.create(model=SMALL, input=TEXTS)
    with pytest.raises(openai.RateLimitError, match=r"requests per min \(RPM\): Limit 2") as raised:
        client.embeddings.create(model=SMALL, input=TEXTS)
    headers = raised.value.response.headers
    assert 20 <= int(headers["retry-after"]) <= 30
    assert 20_000 <= int(headers["retry-after-ms"]) <= 30_000
    assert headers["x-ratelimit-remaining-requests"] == "0"


def test_a_bucket_fills_evenly() -> None:
    limits = Limits(tokens=600, burst=6.0)
    assert limits.take("m", 60, 100.0) is None
    refused = limits.take("m", 30, 100.0)
    assert refused is not None and refused.retry_after == pytest.approx(3.0)
    assert refused.code == "rate_limit_exceeded" and refused.type == "tokens"
    assert limits.take("m", 30, 103.0) is None
    too_large = limits.take("m", 61, 200.0)
    assert too_large is not None and too_large.retry_after is None
    assert limits.take("m", 60, 200.0) is None


def test_times_as_the_headers_say_them() -> None:
    said = {0: "0s", 0.012: "12ms", 1: "1s", 8.64: "8.64s", 360: "6m0s", 73.2: "1m13.2s"}
    assert {seconds: spoken(seconds) for seconds in said} == said
    assert spoken(3600) == "1h0m0s"


# -- chat -----------------------------------------------------------------------------------------

ASKED: list[Any] = [
    {"role": "system", "content": "Answer from the passages."},
    {
        "role": "user",
        "content": "[1] Cats sleep.  They purr.\n\n[2] Dogs bark.\n\nWhat do cats do?",
    },
]


def test_a_chat_answer_quotes_the_first_passage(client: openai.OpenAI) -> None:
    made = client.chat.completions.create(model="gpt-4o-mini", messages=ASKED)

    assert made.choices[0].message.content == "Cats sleep. [1]"
    assert made.choices[0].finish_reason == "stop"
    assert made.usage is not None and made.usage.completion_tokens == tokens_of("Cats sleep. [1]")


def test_a_passage_may_be_in_tags(client: openai.OpenAI) -> None:
    passages = '<passage 1 x>\n(from "cats.txt")\nCats sleep. They purr.\n</passage 1 x>\n'
    made = client.chat.completions.create(
        model="gpt-4o", messages=[{"role": "user", "content": passages + "What do cats do?"}]
    )
    assert made.choices[0].message.content == "Cats sleep. [1]"


def test_a_streamed_answer_begins_before_it_is_complete(
    server: OpenAIServer, client: openai.OpenAI
) -> None:
    server.gate = threading.Event()
    server.answer = lambda messages: "four words are streamed"
    stream = client.chat.completions.create(
        model="gpt-4o-mini", messages=ASKED, stream=True, stream_options={"include_usage": True}
    )
    pieces = [next(stream), next(stream)]
    assert pieces[1].choices[0].delta.content == "four"
    server.gate.set()
    pieces += stream

    text = "".join(each.choices[0].delta.content or "" for each in pieces if each.choices)
    assert text == "four words are streamed"
    assert pieces[-1].usage is not None and pieces[-1].usage.completion_tokens == 4
    assert pieces[-2].choices[0].finish_reason == "stop"


def test_a_stream_that_is_dropped(server: OpenAIServer, client: openai.OpenAI) -> None:
    server.chat_plan = at({1: Fault("drop_mid_body")})
    stream = client.chat.completions.create(model="gpt-4o", messages=ASKED, stream=True)
    with pytest.raises(openai.APIConnectionError):
        list(stream)
    assert [each.lost for each in server.books.chats] == [True]


def test_an_answer_is_cut_at_its_most_tokens(server: OpenAIServer, client: openai.OpenAI) -> None:
    server.answer = lambda messages: "one two three four five"
    made = client.chat.completions.create(model="gpt-4o", messages=ASKED, max_tokens=2)

    assert made.choices[0].message.content == "one two"
    assert made.choices[0].finish_reason == "length"


def test_chat_refuses_what_the_real_one_refuses(
    server: OpenAIServer, client: openai.OpenAI
) -> None:
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        client.chat.completions.create(model="gpt-0", messages=ASKED)
    with pytest.raises(openai.BadRequestError, match="'max_completion_tokens' instead"):
        client.chat.completions.create(model="gpt-5-mini", messages=ASKED, max_tokens=5)
    server.chat_plan = at({3: Fault("quota")})
    with pytest.raises(openai.RateLimitError):
        client.chat.completions.create(model="gpt-4o", messages=ASKED)


# -- the server itself ----------------------------------------------------------------------------


def test_connections_are_kept_and_no_thread_is_left(connect: Any) -> None:
    before = set(threading.enumerate())
    with OpenAIServer() as server:
        client = connect(server)
        for _ in range(3):
            client.embeddings.create(model=SMALL, input="x")
        assert len({each.connection for each in server.books.requests}) == 1
    # One of an earlier test may have ended meanwhile.
    assert not set(threading.enumerate()) - before


def test_a_defect_of_the_test_is_not_swallowed(connect: Any) -> None:
    def embed(texts: Any) -> Any:
        raise ZeroDivisionError

    with (
        pytest.raises(ZeroDivisionError),
        OpenAIServer(embed=embed) as server,
        pytest.raises(openai.APIConnectionError),
    ):
        connect(server).embeddings.create(model=SMALL, input="x")
