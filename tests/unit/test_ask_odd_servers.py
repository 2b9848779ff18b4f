"""Chat servers that send what OpenAI's never would: cut off, without end, in another language."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.unit.asking import LONG, ask, asking
from thoth_core.asking.failures import TRIES
from thoth_core.errors import (
    DeadlineExceeded,
    Overloaded,
    QuotaExceeded,
    ServiceUnavailable,
    ThothError,
)

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thoth_core.asking.failures.FIRST_PAUSE", 0.01)


class Odd:
    """Answers each connection with ``sent`` and closes it; with ``for_ever`` it sends that until
    the client goes."""

    def __init__(self, sent: bytes, for_ever: bytes = b"") -> None:
        self.asked = 0
        self._sent = sent
        self._for_ever = for_ever
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.base_url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        # What waits for a connection gets one, and none after it.
        self._sent = b""
        with socket.create_connection(self._listener.getsockname()) as last:
            last.sendall(b"end")
        self._thread.join(LONG)
        assert not self._thread.is_alive()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            with connection:
                connection.settimeout(LONG)
                if connection.recv(3) == b"end":
                    return
                self.asked += 1
                try:
                    self._read_request(connection)
                    connection.sendall(self._sent)
                    while self._for_ever:
                        connection.sendall(self._for_ever)
                except (BrokenPipeError, ConnectionResetError):
                    pass

    def _read_request(self, connection: socket.socket) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        [length] = [
            int(x[15:]) for x in head.lower().split(b"\r\n") if x[:15] == b"content-length:"
        ]
        while len(body) < length:
            body += connection.recv(65536)


@contextmanager
def odd(sent: bytes, for_ever: bytes = b"", **settings: str) -> Iterator[tuple[Odd, Any]]:
    server = Odd(sent, for_ever)
    try:
        with asking(OPENAI_BASE_URL=server.base_url, **settings) as made:
            yield server, made
    finally:
        server.close()


def event(**body: Any) -> bytes:
    return f"data: {json.dumps(body)}\n\n".encode()


def word(text: str | None, finish: str | None = None) -> bytes:
    return event(choices=[{"index": 0, "delta": {"content": text}, "finish_reason": finish}])


@pytest.mark.parametrize(
    ("sent", "error", "said"),
    [
        # The connection is closed in good order, and the answer is not complete.
        (HEAD + word("a"), ServiceUnavailable, "before the answer was complete"),
        (HEAD + b"<html>sign in</html>", ServiceUnavailable, "is no answer"),
        (HEAD + b"data: {nonsense\n\n", ServiceUnavailable, "is no answer"),
        (HEAD, ServiceUnavailable, "is no answer"),
        (b"", ServiceUnavailable, "closed the connection"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", ServiceUnavailable, "closed the connection"),
        (HEAD + word("a") + event(error={"message": "m", "code": 429}), Overloaded, "no more"),
        (HEAD + event(error={"message": "m"}), ServiceUnavailable, "failed"),
    ],
)
def test_what_is_no_whole_answer_is_asked_for_again_and_then_an_error(
    sent: bytes, error: type[ThothError], said: str
) -> None:
    with odd(sent) as (server, settings):
        with pytest.raises(error, match=said) as caught:
            ask(settings)
        assert type(caught.value) is error
        assert server.asked == TRIES


def test_a_quota_that_ends_in_mid_answer() -> None:
    body = {"message": "You exceeded your quota", "code": "insufficient_quota"}
    with odd(HEAD + word("a") + event(error=body)) as (server, settings):
        with pytest.raises(QuotaExceeded):
            ask(settings)
        assert server.asked == 1


def test_an_answer_without_end_is_left_off() -> None:
    with odd(HEAD, word("more "), RAG_QA_MAX_TOKENS="1") as (_, settings):
        with pytest.raises(ServiceUnavailable, match="is no answer") as caught:
            ask(settings, on_token=lambda piece: None)
        assert "without end" in caught.value.cause


def test_a_server_that_only_keeps_the_connection_alive_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("thoth_core.asking.chat.SILENCE", 1.0)
    with odd(HEAD, b": still here\n\n") as (_, settings), pytest.raises(DeadlineExceeded):
        ask(settings)


def test_what_a_smaller_server_leaves_out_is_not_needed() -> None:
    sent = (
        HEAD
        + b": a comment\n\n"
        + event(choices=None)
        + event(choices=[])
        + event(choices=[{"index": 0, "delta": None}])
        + word(None)
        + word("It is so [1].")
        + word(None, "stop")
    )
    with odd(sent) as (_, settings):
        answer = ask(settings)
    assert answer.answer == "It is so [1]."
    assert [each.n for each in answer.citations] == [1]
    assert answer.usage is None
    assert answer.model == "gpt-4o-mini"
