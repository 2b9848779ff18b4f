"""One request to a provider of embeddings, by its official client, and what came of it in words."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from embed_worker import provider_answers as answers
from thoth_core.provider import is_local, needs_key
from thoth_core.provider_errors import without_keys
from thoth_core.worker.secret import Secret

if TYPE_CHECKING:
    import openai

#: Seconds for a connection, and without a byte of an answer.
CONNECT, SILENCE = 10.0, 60.0
#: What a server of one's own is given where there is no key: the client wants one.
NO_KEY = "none"


class Sender:
    """Requests for one model at one server, in one event loop. ``shorten``: how many numbers a
    vector is to have, None for as many as the model gives. ``base64``: how they are asked for."""

    def __init__(self, model: str, server: str, key: Secret) -> None:
        self.shorten: int | None = None
        self.base64 = True
        #: Of the key that the client has.
        self.version = -1
        self._model = model
        self._server = server
        self._key = key
        self._client: openai.AsyncOpenAI | None = None

    async def send(
        self, inputs: Sequence[str]
    ) -> tuple[Mapping[str, str], list[tuple[int, object]]]:
        """The headers of the answer, and each vector with its place. Raises
        :class:`~embed_worker.provider_answers.BadAnswer` for one that holds none, what the client
        raises (see :func:`described`), and :class:`AuthenticationFailed` where there is no key and
        the server wants one."""
        more: dict[str, Any] = {} if self.shorten is None else {"dimensions": self.shorten}
        client = await self._with_key()
        raw = await client.embeddings.with_raw_response.create(
            model=self._model,
            # The client looks at each text of ``input`` before it sends it, and takes as long for
            # that as for all the rest (5 of 13 ms for 100 texts). What is in ``extra_body`` it
            # sends in its place.
            input="",
            extra_body={"input": list(inputs)},
            encoding_format="base64" if self.base64 else "float",
            **more,
        )
        headers = {name.lower(): value for name, value in raw.headers.items()}
        try:
            body = json.loads(raw.content)
            data = [(each["index"], each["embedding"]) for each in body["data"]]
        except (ValueError, KeyError, TypeError) as problem:
            raise answers.BadAnswer(f"no embeddings: {type(problem).__name__}") from problem
        return headers, data

    async def _with_key(self) -> openai.AsyncOpenAI:
        """The client, made anew when there is another key."""
        key, now = self._key.get()
        if self._client is None or now != self.version:
            old, self._client = self._client, client_for(key or NO_KEY, self._server)
            self.version = now
            if old is not None:
                # What it is at is answered still.
                asyncio.get_running_loop().call_later(
                    SILENCE, lambda: asyncio.ensure_future(_close(old))
                )
        if not key and needs_key(self._server):
            raise answers.no_key(self._server)
        return self._client


def client_for(key: str, base_url: str) -> openai.AsyncOpenAI:
    import openai

    # They tell of each request, and of its headers where they tell more.
    for name in ("httpx", "httpx2", "httpcore", "openai"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return openai.AsyncOpenAI(
        api_key=key,
        base_url=base_url,
        # Whether and when is decided here.
        max_retries=0,
        # The environment's proxy is for other machines.
        http_client=openai.DefaultAsyncHttpxClient(trust_env=False) if is_local(base_url) else None,
        timeout=openai.Timeout(SILENCE, connect=CONNECT),
        organization=None,
        project=None,
    )


async def _close(client: openai.AsyncOpenAI) -> None:
    with contextlib.suppress(Exception):
        await client.close()


def described(
    problem: Exception, key: str
) -> tuple[int | None, Mapping[str, Any], Mapping[str, str] | None, str]:
    """HTTP status, the protocol's error, headers, and words for people, of what the client
    raised; the key is in none of them."""
    response: Any = getattr(problem, "response", None)
    said = without_keys(f"{type(problem).__name__}: {problem}", key)
    if problem.__cause__ is not None:
        # "Connection error." alone says nothing of whether it is the name, the port or TLS.
        said = without_keys(f"{said} ({problem.__cause__})", key)
    if response is None:
        return None, {}, None, said
    headers = {name.lower(): value for name, value in response.headers.items()}
    status = int(response.status_code)
    body = getattr(problem, "body", None)
    error = body if isinstance(body, Mapping) else {}
    inner = error.get("error")
    if isinstance(inner, Mapping):
        error = inner
    error = {**error, "message": without_keys(str(error.get("message") or ""), key)}
    # An answer that is good as far as HTTP goes could not be read.
    return (status if status >= 400 else None), error, headers, said
