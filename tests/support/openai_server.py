"""A real HTTP server on loopback that answers as OpenAI's does, and does wrong what it is told to.

    with OpenAIServer(plan=at({3: Fault("rate_limit", retry_after=2.0)})) as server:
        client = openai.OpenAI(api_key=server.key, base_url=server.base_url)
        ...
    assert server.books.billed_tokens == needed_tokens(texts)

Everything that is set on it may be changed while it runs.
"""

from __future__ import annotations

import email.utils
import json
import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from http.server import BaseHTTPRequestHandler
from itertools import count
from types import TracebackType
from typing import Any

from tests.support import openai_chat as chat
from tests.support import openai_errors as errors
from tests.support import openai_inputs as inputs
from tests.support import openai_vectors as vectors
from tests.support.openai_books import Books, Request, tokens_of
from tests.support.openai_errors import ApiError
from tests.support.openai_faults import LOSING, Fault, Plan, never
from tests.support.openai_limits import Limits
from tests.support.openai_listener import Listener, gone

EMBEDDINGS, CHAT = "/v1/embeddings", "/v1/chat/completions"
KEY = "sk-proj-thoth-tests-0123456789abcdefghijklmnopqrstuvwxyz"


class OpenAIServer:
    """``plan``, ``chat_plan``: faults of the n-th request for embeddings and for chat.
    ``embed``: texts to vectors; without it each text has a random direction of its own.
    ``limits``: of requests and tokens a minute, of all keys together. ``latency``: seconds before
    each answer. ``answer``: messages to the chat's text. ``gate``: if set, a streamed answer waits
    for it after its first word. ``echo_keys``: the 401 repeats the key, as some servers do."""

    def __init__(
        self,
        *,
        key: str = KEY,
        plan: Plan = never,
        chat_plan: Plan = never,
        embed: vectors.Embed | None = None,
        answer: chat.Answer = chat.quoting,
        limits: Limits | None = None,
        latency: float = 0.0,
        echo_keys: bool = False,
    ) -> None:
        self.key = key
        self.keys = {key}
        self.plan = plan
        self.chat_plan = chat_plan
        self.embed = embed
        self.answer = answer
        self.chat_models = chat.MODELS
        self.limits = limits
        self.latency = latency
        self.echo_keys = echo_keys
        self.gate: threading.Event | None = None
        self.books = Books()
        self.closing = threading.Event()
        self.lock = threading.Lock()
        self._numbers: dict[str, count[int]] = {}
        self.problems: list[BaseException] = []
        self._http = Listener(_Handler, self, self.problems)
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, name="openai-server"
        )

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}/v1"

    def number(self, path: str) -> int:
        """The place of the next request among those of its path, from 1."""
        with self.lock:
            return next(self._numbers.setdefault(path, count(1)))

    def __enter__(self) -> OpenAIServer:
        # Here, and not in the first request.
        tokens_of("warm")
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.closing.set()
        if self.gate is not None:
            self.gate.set()
        self._http.shutdown()
        self._http.close_connections()
        self._http.server_close()
        self._thread.join()
        if kind is None and self.problems:
            raise self.problems[0]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Listener[OpenAIServer]
    _numbers = count(1)

    def setup(self) -> None:
        super().setup()
        self.connection_number = next(self._numbers)

    def log_message(self, format: str, *args: Any) -> None:
        """The books have it."""

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        owner = self.server.owner
        arrived = time.monotonic()
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.made = made = Request(
            owner.number(self.path), self.path, self._given_key(), arrived, self.connection_number
        )
        self.limit_headers: dict[str, str] = {}
        self.as_date = False
        owner.books.add(made)
        try:
            answering = {EMBEDDINGS: self._embeddings, CHAT: self._chat}.get(self.path)
            if answering is None or self.command != "POST":
                raise errors.no_such_page(self.command, self.path)
            self._check_key(made.key)
            try:
                asked = json.loads(body)
            except ValueError:
                raise errors.not_json() from None
            answering(asked, made)
        except ApiError as problem:
            self._send_error(problem)
        except OSError:
            # The client went away, or we were closed.
            made.lost = made.billed
            self.close_connection = True

    # -- the two calls ------------------------------------------------------------------------

    def _embeddings(self, asked: Mapping[str, Any], made: Request) -> None:
        owner = self.server.owner
        made.model = str(asked.get("model"))
        made.inputs = texts = inputs.texts_of(asked)
        made.tokens = sum(map(tokens_of, texts))
        width = inputs.check(asked, texts)
        fault = owner.plan(made.number)
        self._begin(made, fault)
        rows = vectors.vectors(texts, made.model, width, owner.embed)
        if fault is not None and fault.kind == "nan":
            rows[len(rows) // 2, 0] = math.nan
        form = asked.get("encoding_format") or "float"
        data = [
            {"object": "embedding", "index": index, "embedding": vectors.encoded(row, form)}
            for index, row in enumerate(rows)
        ]
        if fault is not None and fault.kind == "too_few":
            data.pop()
        if fault is not None and fault.kind == "shuffled":
            data.reverse()
        answer = {
            "object": "list",
            "data": data,
            "model": made.model,
            "usage": {"prompt_tokens": made.tokens, "total_tokens": made.tokens},
        }
        self._send_whole(made, fault, answer)

    def _chat(self, asked: Mapping[str, Any], made: Request) -> None:
        owner = self.server.owner
        made.model = str(asked.get("model"))
        chat.check(asked, owner.chat_models)
        messages = asked["messages"]
        made.inputs = tuple(map(chat.text_of, messages))
        most = asked.get("max_completion_tokens") or asked.get("max_tokens")
        text, reason = chat.cut(owner.answer(messages), most)
        used = chat.usage(messages, text)
        made.tokens = used["total_tokens"]
        fault = owner.chat_plan(made.number)
        self._begin(made, fault)
        if not asked.get("stream"):
            answer = chat.whole(made.model, made.number, text, reason, used)
            self._send_whole(made, fault, answer)
            return
        with_usage = (asked.get("stream_options") or {}).get("include_usage")
        events = chat.streamed(made.model, made.number, text, reason, used if with_usage else None)
        self._send_events(made, fault, events)

    # -- before the answer --------------------------------------------------------------------

    def _given_key(self) -> str | None:
        scheme, _, key = (self.headers.get("authorization") or "").partition(" ")
        return key.strip() if scheme.lower() == "bearer" and key.strip() else None

    def _check_key(self, key: str | None) -> None:
        owner = self.server.owner
        if key is None:
            raise errors.no_key()
        if key not in owner.keys:
            raise errors.wrong_key(key if owner.echo_keys else errors.masked(key))

    def _begin(self, made: Request, fault: Fault | None) -> None:
        """Wait as long as the answer takes, and raise what comes instead of one."""
        owner = self.server.owner
        made.fault = None if fault is None else fault.kind
        if fault is not None:
            self._refuse(made, fault)
        if owner.limits is not None:
            with owner.lock:
                refused = owner.limits.take(made.model, made.tokens, time.monotonic())
                self.limit_headers = owner.limits.headers()
            if refused is not None:
                raise refused
        late = fault.seconds if fault is not None and fault.kind == "slow" else 0.0
        owner.closing.wait(owner.latency + late)
        if gone(self.connection):
            # Computed all the same, and so billed.
            self._billed(made, lost=True)
            raise ConnectionResetError("the client went away")

    def _refuse(self, made: Request, fault: Fault) -> None:
        """Raise the error that a fault is, if it is one that the client is told of."""
        key = made.key or ""
        refusals: dict[str, Callable[[], ApiError]] = {
            "rate_limit": lambda: errors.rate_limited(
                made.model, "requests", 3000, 3000, 1, fault.retry_after
            ),
            "quota": errors.no_quota,
            "unauthorized": lambda: errors.wrong_key(
                key if self.server.owner.echo_keys else errors.masked(key)
            ),
            "forbidden": errors.forbidden,
            "bad_request": errors.bad_input,
            "server_error": errors.server_error,
            "overloaded": lambda: errors.overloaded(fault.retry_after),
        }
        if fault.kind in refusals:
            self.as_date = fault.as_date
            raise refusals[fault.kind]()
        if fault.kind == "drop_early":
            raise ConnectionAbortedError("told to drop it")

    # -- answers ------------------------------------------------------------------------------

    def _send_error(self, problem: ApiError) -> None:
        made, headers, now = self.made, dict(self.limit_headers), time.monotonic()
        if problem.retry_after is not None:
            until = now + problem.retry_after
            if self.as_date:
                date = math.ceil(time.time() + problem.retry_after)
                until = now + date - time.time()
                headers["retry-after"] = email.utils.formatdate(date, usegmt=True)
            else:
                whole = math.ceil(problem.retry_after)
                headers["retry-after"] = str(whole)
                if whole != problem.retry_after:
                    headers["retry-after-ms"] = str(math.ceil(problem.retry_after * 1000))
            made.not_before = until
        made.status, made.told = problem.status, now
        try:
            body = json.dumps(problem.body()).encode()
            self.wfile.write(self._head(problem.status, headers, len(body)) + body)
        except OSError:
            self.close_connection = True

    def _send_whole(self, made: Request, fault: Fault | None, answer: Any) -> None:
        body = json.dumps(answer).encode()
        if fault is not None and fault.kind == "broken_json":
            body = body[: len(body) // 2]
        head = self._head(200, self.limit_headers, len(body))
        self._billed(made, lost=fault is not None and fault.kind in LOSING)
        if fault is not None and fault.kind == "drop_mid_body":
            self.wfile.write(head + body[: len(body) // 2])
            raise ConnectionAbortedError("told to drop it")
        self.wfile.write(head + body)

    def _send_events(self, made: Request, fault: Fault | None, events: Iterable[Any]) -> None:
        self._billed(made, lost=fault is not None and fault.kind in LOSING)
        more = {**self.limit_headers, "transfer-encoding": "chunked"}
        self.wfile.write(self._head(200, more, None, "text/event-stream; charset=utf-8"))
        owner = self.server.owner
        for place, event in enumerate(events):
            text = json.dumps(event)
            if fault is not None and fault.kind == "broken_json" and place == 2:
                text = text[: len(text) // 2]
            self._chunk(f"data: {text}\n\n".encode())
            if place == 1 and owner.gate is not None:
                owner.gate.wait()
            if fault is not None and fault.kind == "drop_mid_body" and place == 2:
                raise ConnectionAbortedError("told to drop it")
            if owner.closing.is_set() or gone(self.connection):
                raise ConnectionResetError("the client went away")
        self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def _billed(self, made: Request, *, lost: bool) -> None:
        made.status, made.told, made.lost = 200, time.monotonic(), lost
        made.billed = True

    def _head(
        self,
        status: int,
        headers: Mapping[str, str],
        length: int | None,
        kind: str = "application/json",
    ) -> bytes:
        lines = {
            "date": email.utils.formatdate(usegmt=True),
            "content-type": kind,
            "x-request-id": f"req_{self.connection_number}",
            **headers,
        }
        if length is not None:
            lines["content-length"] = str(length)
        text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        reason = self.responses.get(status, ("",))[0]
        return f"HTTP/1.1 {status} {reason}\r\n{text}\r\n".encode("latin-1")
