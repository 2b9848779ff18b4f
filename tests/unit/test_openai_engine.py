"""The engine of OpenAI's models against a real server on loopback, in one process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from embed_worker.engines import openai as engine
from embed_worker.engines import openai_requests
from embed_worker.engines.base import Options
from tests.support import openai_server
from tests.support.openai_errors import ApiError
from tests.support.openai_faults import Fault, at
from tests.support.openai_limits import Limits
from tests.support.openai_server import OpenAIServer
from tests.support.service import wait_for
from thoth_core.worker.secret import Secret


@contextlib.contextmanager
def _engine(server: OpenAIServer, key: str) -> Iterator[tuple[engine.OpenAIEngine, Secret]]:
    secret = Secret()
    secret.set(key)
    options = Options("openai/text-embedding-3-small", base_url=server.base_url)
    made = engine.OpenAIEngine(options, secret, logging.getLogger("test"))
    loop = made._loop
    try:
        yield made, secret
    finally:
        # A worker leaves that to the end of its process.
        asyncio.run_coroutine_threadsafe(_end(made), loop).result(30)
        while loop.is_running():
            time.sleep(0.01)
        loop.close()


async def _end(made: engine.OpenAIEngine) -> None:
    if made._sender._client is not None:
        await made._sender._client.close()
    loop = asyncio.get_running_loop()
    loop.call_later(0.1, loop.stop)


def _nothing() -> None:
    pass


def test_a_request_that_no_minute_has_room_for_is_sent_in_parts() -> None:
    texts = [f"number {n} " + "word " * 7_600 for n in range(8)]
    with (
        OpenAIServer(limits=Limits(tokens=60_000)) as server,
        _engine(server, server.key) as (made, _),
    ):
        vectors = made.embed(texts, "document", _nothing).vectors
        sent = [(each.status, len(each.inputs)) for each in server.books.requests]
    assert sent[:2] == [(429, 8), (200, 4)]
    assert sent[-1] == (200, 4)
    assert len({row.tobytes() for row in vectors}) == 8


def test_requests_are_made_for_what_a_minute_has_room_for() -> None:
    assert engine.groups_of([40, 40, 40, 40], 10, 100) == [[0, 1], [2, 3]]
    assert engine.groups_of([400, 40, 400], 10, 100) == [[0], [1], [2]]


def test_inputs_that_always_fail_are_refused_while_others_go_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine, "MOST_LOST", 3)
    embeddings = openai_server._Handler._embeddings

    def failing(handler: Any, asked: Any, made: Any) -> None:
        if asked["input"] == ["poison"]:
            raise ApiError(500, "it cannot", "server_error")
        embeddings(handler, asked, made)

    monkeypatch.setattr(openai_server._Handler, "_embeddings", failing)
    over = threading.Event()
    with OpenAIServer() as server, _engine(server, server.key) as (made, _):

        def others() -> None:
            while not over.wait(0.05):
                made.embed(["good"], "document", _nothing)

        thread = threading.Thread(target=others)
        thread.start()
        try:
            with pytest.raises(engine.InputsRefused, match="500"):
                made.embed(["poison"], "document", _nothing)
        finally:
            over.set()
            thread.join(30)


def test_what_the_old_key_was_refused_for_is_sent_with_the_new_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # After so many seconds the old key's connections are closed.
    monkeypatch.setattr(openai_requests, "SILENCE", 2.0)
    check, renewed = openai_server._Handler._check_key, threading.Event()

    def late(handler: Any, key: str) -> None:
        if "old" in key:
            assert renewed.wait(30)
        check(handler, key)

    monkeypatch.setattr(openai_server._Handler, "_check_key", late)
    with OpenAIServer() as server, _engine(server, "sk-old-0123456789") as (made, secret):
        got: list[Any] = []
        thread = threading.Thread(
            target=lambda: got.append(made.embed(["a text"], "document", _nothing))
        )
        thread.start()
        wait_for(lambda: len(server.books.requests) > 0, 30, "it is asked")
        old = made._sender._client
        assert old is not None
        secret.set(server.key)
        renewed.set()
        thread.join(30)
        assert len(got) == 1
        assert [each.key for each in server.books.requests] == ["sk-old-0123456789", server.key]
        wait_for(old.is_closed, 30, "the old connections are closed")


def test_an_answer_that_does_not_come_to_its_end_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine, "WHOLE", 0.5)
    with (
        OpenAIServer(plan=at({1: Fault("slow", seconds=20.0)})) as server,
        _engine(server, server.key) as (made, _),
    ):
        assert made.embed(["a text"], "document", _nothing).tokens == [2]
        assert len(server.books.requests) >= 2
