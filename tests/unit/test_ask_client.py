"""``Thoth.ask`` with the official client and a chat server on loopback; the service is a double."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.openai_faults import Fault, at, starting_at
from tests.support.openai_server import OpenAIServer
from tests.unit.asking import LONG, ask, asking, store
from tests.unit.fake_service import Reply
from thoth_core import Answer, AsyncThoth, Settings, Thoth
from thoth_core.asking.failures import TRIES
from thoth_core.asking.results import NOT_HERE
from thoth_core.asking.talk import Talk
from thoth_core.errors import (
    AuthenticationFailed,
    Cancelled,
    DeadlineExceeded,
    InvalidInput,
    ModelNotFound,
    Overloaded,
    QuotaExceeded,
    ServiceUnavailable,
    SettingsError,
)
from thoth_core.wire import Message


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer(answer=saying("It is so [1], and [3] too [7].")) as running:
        yield running


def saying(text: str) -> Callable[[Any], str]:
    return lambda messages: text


def test_an_answer_has_its_citations_resolved(server: OpenAIServer) -> None:
    pieces: list[str] = []
    with asking(server) as settings:
        answer = ask(settings, on_token=pieces.append)
    assert answer.found
    assert answer.question == "is it so?"
    assert answer.answer == "".join(pieces) == "It is so [1], and [3] too."
    assert len(pieces) > 3
    assert [(c.n, c.id, c.place, c.quote) for c in answer.citations] == [
        (1, "id1", "/x/notes.md:10 — H1", "Passage text 1."),
        (3, "id3", "/x/notes.md:30 — H3", "Passage text 3."),
    ]
    assert answer.citations[0].score == pytest.approx(0.89)
    assert answer.dropped_citations == (7,)
    assert [p.n for p in answer.passages] == [1, 2, 3]
    assert answer.model == "gpt-4o-mini"
    assert answer.finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage["total_tokens"] == sum(list(answer.usage.values())[:2])
    [request] = server.books.chats
    assert request.key == server.key
    assert all(f"Passage text {n}." in request.inputs[1] for n in (1, 2, 3))


def test_nothing_near_enough_is_not_asked_about(server: OpenAIServer) -> None:
    def far(message: Message, reply: Reply) -> None:
        store(message, reply, score=0.2)

    with asking(server, far, THOTH_ASK_THRESHOLD="0.5") as settings:
        answer = ask(settings)
        assert (answer.answer, answer.found, answer.model) == (NOT_HERE, False, None)
        assert answer.threshold == 0.5
        assert [p.id for p in answer.passages] == ["id1", "id2", "id3"]
        assert server.books.chats == []
        assert ask(settings, always_ask=True).found
        assert len(server.books.chats) == 1


@pytest.mark.parametrize(("score", "found"), [(0.25, False), (0.4, True)])
def test_the_threshold_is_that_of_the_collections_model(
    server: OpenAIServer, score: float, found: bool
) -> None:
    def some(message: Message, reply: Reply) -> None:
        store(message, reply, score=score)

    with asking(server, some) as made:
        # Who names no model has the collection's.
        env = {"HOME": "/nowhere", "XDG_CONFIG_HOME": "/nowhere"}
        names = {
            "RAG_VECTOR_DB_PATH": str(made.vector_db_path),
            "THOTH_RUNTIME_DIR": str(made.runtime_dir),
            "OPENAI_BASE_URL": server.base_url,
            "API_OPENAI_KEY": server.key,
        }
        settings = Settings.load(cli=names, cwd=made.runtime_dir, environ=env)
        assert ask(settings).found is found
        # One that was not measured refuses nothing.
        assert ask(made).found


def test_without_a_key_nothing_is_done_and_both_ways_out_are_named() -> None:
    def nobody(message: Message, reply: Reply) -> None:
        raise AssertionError("nothing is looked up for an answer that cannot be had")

    with asking(None, nobody) as settings, pytest.raises(AuthenticationFailed) as caught:
        ask(settings)
    assert caught.value.exit_code == 5
    assert "API_OPENAI_KEY" in caught.value.cause
    assert "OPENAI_BASE_URL" in caught.value.fix


def test_a_local_server_needs_no_key(server: OpenAIServer) -> None:
    server.keys.add("none")
    with asking(OPENAI_BASE_URL=server.base_url) as settings:
        assert ask(settings).found


def test_without_the_package_the_extra_is_named(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thoth_core.asking.ready.find_spec", lambda name: None)
    with asking(server) as settings, pytest.raises(Exception, match="not installed") as caught:
        ask(settings)
    assert "thoth-core[openai]" in str(caught.value)


@pytest.mark.parametrize("question", ["", " \n", None, 3])
def test_a_question_that_is_none(server: OpenAIServer, question: Any) -> None:
    with (
        asking(server) as settings,
        Thoth(settings, autostart=False) as thoth,
        pytest.raises(InvalidInput, match="the question is"),
    ):
        thoth.ask(question)


# ---- what the server does wrong


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("unauthorized", AuthenticationFailed),
        ("forbidden", AuthenticationFailed),
        ("quota", QuotaExceeded),
        ("bad_request", SettingsError),
    ],
)
def test_what_no_second_try_would_mend_is_raised_at_once(
    server: OpenAIServer, fault: Any, error: type[Exception]
) -> None:
    server.chat_plan = starting_at(1, Fault(fault))
    with asking(server) as settings, pytest.raises(error) as caught:
        ask(settings)
    assert type(caught.value) is error
    assert len(server.books.chats) == 1


@pytest.mark.parametrize(
    "fault",
    ["rate_limit", "server_error", "overloaded", "drop_early", "drop_mid_body", "broken_json"],
)
def test_what_passes_is_asked_again(server: OpenAIServer, fault: Any) -> None:
    server.chat_plan = at({1: Fault(fault, retry_after=0.05)})
    notes: list[str] = []
    with (
        asking(server) as settings,
        Thoth(settings, autostart=False, on_event=notes.append) as thoth,
    ):
        answer = thoth.ask("is it so?")
    assert answer.answer == "It is so [1], and [3] too."
    assert answer.dropped_citations == (7,)
    assert len(server.books.chats) == 2
    assert len(notes) == 1
    assert "asked again" in notes[0]
    assert server.books.early(server.books.chats) == []


def test_a_wait_that_is_asked_for_is_kept(server: OpenAIServer) -> None:
    server.chat_plan = at({1: Fault("rate_limit", retry_after=1.0, as_date=True)})
    with asking(server) as settings:
        ask(settings)
    assert len(server.books.chats) == 2
    # A date has whole seconds, and its clock is another one than the books'.
    assert server.books.early(server.books.chats, grace=0.01) == []


def test_a_wait_that_no_person_waits_for_is_told(server: OpenAIServer) -> None:
    server.chat_plan = starting_at(1, Fault("rate_limit", retry_after=3600))
    with asking(server) as settings, pytest.raises(Overloaded) as caught:
        ask(settings)
    assert caught.value.retry_after == 3600
    assert len(server.books.chats) == 1


def test_it_is_not_asked_for_ever(server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thoth_core.asking.failures.FIRST_PAUSE", 0.01)
    server.chat_plan = starting_at(1, Fault("server_error"))
    with asking(server) as settings, pytest.raises(ServiceUnavailable, match="failed"):
        ask(settings)
    assert len(server.books.chats) == TRIES


@pytest.mark.parametrize("fault", ["drop_mid_body", "broken_json"])
def test_nothing_is_asked_again_once_a_word_was_shown(server: OpenAIServer, fault: Any) -> None:
    server.chat_plan = at({1: Fault(fault)})
    pieces: list[str] = []
    with asking(server) as settings, pytest.raises(ServiceUnavailable):
        ask(settings, on_token=pieces.append)
    assert pieces
    assert len(server.books.chats) == 1


def test_a_model_that_the_server_has_not(server: OpenAIServer) -> None:
    with asking(server, RAG_QA_MODEL="openai/gpt-99") as settings:
        with pytest.raises(ModelNotFound, match="no model 'gpt-99'") as caught:
            ask(settings)
        assert "RAG_QA_MODEL" in caught.value.fix
        with pytest.raises(ModelNotFound, match="no model 'mine'") as caught:
            ask(settings, model="mine")
        assert "--model" in caught.value.fix
        assert ask(settings, model="openai/gpt-4o").model == "gpt-4o"


def test_models_that_take_other_parameters(server: OpenAIServer) -> None:
    with asking(server) as settings:
        assert ask(settings, model="o3-mini").model == "o3-mini"
    # Without max_tokens, then without a temperature.
    assert [each.status for each in server.books.chats] == [400, 400, 200]


def test_an_answer_that_is_cut_off_says_so(server: OpenAIServer) -> None:
    with asking(server, RAG_QA_MAX_TOKENS="3") as settings:
        assert ask(settings).finish_reason == "length"


def test_an_address_where_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        with asking(OPENAI_BASE_URL=url) as settings, pytest.raises(ServiceUnavailable) as caught:
            ask(settings)
    assert url in caught.value.message
    assert caught.value.exit_code == 4


def test_an_address_without_its_path(server: OpenAIServer) -> None:
    url = server.base_url.removesuffix("/v1")
    with asking(server, OPENAI_BASE_URL=url) as settings, pytest.raises(SettingsError) as caught:
        ask(settings)
    assert "/v1" in caught.value.fix


def test_the_key_is_in_no_error(server: OpenAIServer) -> None:
    server.echo_keys = True
    wrong = "sk-wrong-0123456789abcdefghij"
    with (
        asking(server, API_OPENAI_KEY=wrong) as settings,
        pytest.raises(AuthenticationFailed) as caught,
    ):
        ask(settings)
    error = caught.value
    assert "…" in error.cause
    # As a crash reporter shows it, with the locals of each frame of ours.
    ours = [
        frame
        for frame, _ in traceback.walk_tb(error.__traceback__)
        if "test_" not in frame.f_code.co_filename
    ]
    assert len(ours) > 3
    told = [repr(value) for frame in ours for value in frame.f_locals.values()]
    assert wrong not in "".join([*told, *traceback.format_exception(error), repr(error.to_dict())])
    assert error.__context__ is None


# ---- the end of it


class Half:
    """A server that sends the first word of an answer, and then waits for the client to go."""

    def __init__(self, *, silent: bool = False) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(LONG)
        self._silent = silent
        self.asked = threading.Event()
        self.left = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"

    def close(self) -> None:
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            connection.settimeout(LONG)
            connection.recv(65536)
            event = '{"choices":[{"index":0,"delta":{"content":"First "}}]}'
            if not self._silent:
                connection.sendall(
                    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
                    + f"data: {event}\n\ndata: {event}\n\n".encode()
                )
            self.asked.set()
            try:
                while connection.recv(65536):
                    pass
            except ConnectionResetError:
                pass
            self.left.set()


@pytest.fixture(params=[False, True], ids=["in-mid-answer", "before-its-first-word"])
def half(request: pytest.FixtureRequest) -> Iterator[Half]:
    made = Half(silent=request.param)
    yield made
    made.close()


def test_a_callback_that_raises_ends_it_and_the_connection() -> None:
    server = Half()
    with asking(OPENAI_BASE_URL=server.base_url) as settings:

        def stop(piece: str) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            ask(settings, on_token=stop)
        assert server.left.wait(LONG)
    server.close()


def test_a_deadline_ends_it(server: OpenAIServer) -> None:
    server.gate = threading.Event()
    with asking(server) as settings, pytest.raises(DeadlineExceeded):
        ask(settings, deadline=1.0)


def test_what_a_deadline_ends_ends_its_thread_too() -> None:
    def talking() -> set[threading.Thread]:
        return {each for each in threading.enumerate() if each.name == "thoth-ask"}

    before = talking()
    talk = Talk(lambda post: asyncio.Event().wait())
    with pytest.raises(DeadlineExceeded):
        talk.run(time.monotonic() + 0.05)
    for thread in talking() - before:
        thread.join(LONG)
        assert not thread.is_alive()


def test_cancelling_the_awaited_call_closes_the_connection(half: Half) -> None:
    async def main(settings: Settings) -> list[str]:
        pieces: list[str] = []
        async with AsyncThoth(settings, autostart=False) as thoth:
            call = asyncio.create_task(thoth.ask("is it so?", on_token=pieces.append))
            await asyncio.to_thread(half.asked.wait, LONG)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert await asyncio.to_thread(half.left.wait, LONG)
        return pieces

    with asking(OPENAI_BASE_URL=half.base_url) as settings:
        asyncio.run(main(settings))


def test_the_awaited_call_is_the_same(server: OpenAIServer) -> None:
    async def main(settings: Settings) -> tuple[Answer, list[str]]:
        pieces: list[str] = []
        async with AsyncThoth(settings, autostart=False) as thoth:
            return await thoth.ask("is it so?", on_token=pieces.append), pieces

    with asking(server) as settings:
        answer, pieces = asyncio.run(main(settings))
    assert answer.answer == "".join(pieces) == "It is so [1], and [3] too."


def test_in_a_thread_with_a_running_loop_too(server: OpenAIServer) -> None:
    async def main(settings: Settings) -> Answer:
        # As in a notebook.
        return ask(settings)

    with asking(server) as settings:
        assert asyncio.run(main(settings)).found


def test_a_cancelled_lookup_asks_nobody(server: OpenAIServer) -> None:
    asked = threading.Event()

    def never(message: Message, reply: Reply) -> None:
        asked.set()

    async def main(settings: Settings) -> None:
        async with AsyncThoth(settings, autostart=False) as thoth:
            call = asyncio.create_task(thoth.ask("is it so?"))
            assert await asyncio.to_thread(asked.wait, LONG)
            call.cancel()
            with pytest.raises((asyncio.CancelledError, Cancelled)):
                await call

    with asking(server, never) as settings:
        asyncio.run(main(settings))
    assert server.books.chats == []
