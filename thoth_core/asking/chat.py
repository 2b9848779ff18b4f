"""The one place that talks to a chat server: OpenAI's, or any that speaks the same language.

The official package is imported when it is asked, and never before. Its own retries are off: what
is sent again, and when, is decided in ``failures``, and nothing is once a word of the answer was
shown.

The key goes from the settings into the client's constructor and nowhere else. Errors of the package
end here, before they could reach a traceback: their requests hold it.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thoth_core.asking.citations import CitationFilter
from thoth_core.asking.failures import (
    BROKEN,
    CONNECT,
    DROPPED,
    SILENT,
    STATUS,
    Asked,
    Failure,
    error_of,
    pause,
    shown,
    status_in,
    why_waiting,
)
from thoth_core.asking.prompt import Prompt
from thoth_core.asking.request import NO_KEY, adapted, first_request, model_name
from thoth_core.provider import is_local
from thoth_core.provider_errors import retry_after

if TYPE_CHECKING:
    from thoth_core.settings import Settings

#: Seconds for a connection to be made, and of silence after which a server is given up. A model on
#: a slow machine reads a long prompt for minutes before its first word.
CONNECTING, SILENCE = 10.0, 300.0
#: Pieces of an answer for each token that it may have, and besides: more is no answer.
_PIECES, _PIECES_BESIDES = 4, 1000


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer. ``cited`` and ``dropped`` are numbers, ``usage`` is None if the server did
    not tell."""

    text: str
    cited: tuple[int, ...]
    dropped: tuple[int, ...]
    model: str
    usage: dict[str, int] | None
    finish_reason: str


class Chat:
    """For one answer. ``show`` is told each piece of it, ``note`` in words why it takes longer."""

    def __init__(
        self,
        settings: Settings,
        model: str | None,
        show: Callable[[str], None] | None,
        note: Callable[[str], None] | None,
    ) -> None:
        self._settings = settings
        self._show = show
        self._note = note
        self._has_shown = False
        self._asked = Asked(
            base_url=settings.openai_base_url,
            model=model_name(model or settings.qa_model),
            model_from="RAG_QA_MODEL" if model is None else "model (--model)",
        )

    async def answer(self, prompt: Prompt) -> Reply:
        """Ask, again if need be. Raises the errors of ``failures``."""
        import openai

        settings = self._settings
        request = first_request(
            self._asked.model,
            prompt.messages,
            temperature=settings.qa_temperature,
            max_tokens=settings.qa_max_tokens,
        )
        client = self._client(openai)
        tries = 0
        try:
            while True:
                outcome = await self._once(openai, client, request, len(prompt.passages))
                if isinstance(outcome, Reply):
                    return outcome
                other = adapted(request, outcome)
                if other is not None:
                    request = other
                    continue
                tries += 1
                wait = None if self._has_shown else pause(outcome, tries, random.random())
                if wait is None:
                    raise error_of(outcome, self._asked)
                if self._note is not None:
                    self._note(why_waiting(outcome, wait))
                await asyncio.sleep(wait)
        finally:
            await client.close()

    def _client(self, openai: Any) -> Any:
        settings = self._settings
        # The environment's proxy is for other machines.
        local = is_local(settings.openai_base_url)
        http = openai.DefaultAsyncHttpxClient(trust_env=False) if local else None
        return openai.AsyncOpenAI(
            api_key=settings.openai_key or NO_KEY,
            base_url=settings.openai_base_url,
            max_retries=0,
            timeout=openai.Timeout(None, connect=CONNECTING),
            http_client=http,
        )

    async def _once(
        self, openai: Any, client: Any, request: Mapping[str, Any], passages: int
    ) -> Reply | Failure:
        """One request to its end."""
        reading = _Reading(CitationFilter(passages), self._asked.model)
        most = _PIECES * self._settings.qa_max_tokens + _PIECES_BESIDES
        try:
            async with asyncio.timeout(SILENCE):
                stream = await client.chat.completions.create(**request)
            async with stream:
                events = aiter(stream)
                while (event := await _next(events)) is not None:
                    self._tell(reading.take(event))
                    if reading.events > most:
                        return Failure(BROKEN, message="an answer without end")
        except TimeoutError:
            return Failure(SILENT, message=f"nothing came for {SILENCE:.0f} s")
        except Exception as problem:
            return _failure(problem, openai, self._settings.openai_key)
        if not reading.events:
            return Failure(BROKEN, message="there is no event of a streamed answer in it")
        if not reading.finish_reason:
            return Failure(DROPPED, message="it ended without saying that it is complete")
        self._tell(reading.end())
        return reading.reply()

    def _tell(self, piece: str) -> None:
        if piece and self._show is not None:
            self._has_shown = True
            self._show(piece)


class _Reading:
    """What has come of one answer."""

    def __init__(self, found: CitationFilter, model: str) -> None:
        self.events = 0
        self.finish_reason = ""
        self._found = found
        self._model = model
        self._usage: dict[str, int] | None = None
        self._pieces: list[str] = []

    def take(self, event: Any) -> str:
        """What can be shown of the answer now."""
        self.events += 1
        self._model = getattr(event, "model", None) or self._model
        self._usage = _usage(getattr(event, "usage", None)) or self._usage
        text = ""
        for choice in (getattr(event, "choices", None) or ())[:1]:
            self.finish_reason = getattr(choice, "finish_reason", None) or self.finish_reason
            content = getattr(getattr(choice, "delta", None), "content", None)
            text += content if isinstance(content, str) else ""
        return self._keep(self._found.feed(text))

    def end(self) -> str:
        return self._keep(self._found.end())

    def _keep(self, piece: str) -> str:
        if piece:
            self._pieces.append(piece)
        return piece

    def reply(self) -> Reply:
        found = self._found
        return Reply(
            text="".join(self._pieces),
            cited=tuple(found.cited),
            dropped=tuple(found.dropped),
            model=str(self._model),
            usage=self._usage,
            finish_reason=str(self.finish_reason),
        )


async def _next(events: Any) -> Any:
    async with asyncio.timeout(SILENCE):
        return await anext(events, None)


def _usage(told: Any) -> dict[str, int] | None:
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    counts = {name: getattr(told, name, None) for name in names}
    if not all(isinstance(count, int) for count in counts.values()):
        return None
    return {name: int(count or 0) for name, count in counts.items()}


def _failure(problem: Exception, openai: Any, key: str) -> Failure:
    """What an error of the package says, as plain values."""
    if isinstance(problem, openai.APIResponseValidationError):
        return Failure(BROKEN, message=shown(str(problem), key))
    if isinstance(problem, openai.APIConnectionError):
        cause = problem.__cause__ or problem
        # By name: the package has changed what it speaks HTTP with before.
        kind = CONNECT if type(cause).__name__.startswith(("Connect", "Proxy")) else DROPPED
        return Failure(kind, message=shown(str(cause) or type(cause).__name__, key))
    if isinstance(problem, openai.APIError):
        body = problem.body if isinstance(problem.body, dict) else {}
        code, kind = str(body.get("code") or ""), str(body.get("type") or "")
        said = body.get("message") or body.get("detail") or problem.message
        response = getattr(problem, "response", None)
        headers = {} if response is None else {k.lower(): v for k, v in response.headers.items()}
        return Failure(
            STATUS,
            # In the middle of an answer there is no status but what the event says.
            status=getattr(problem, "status_code", None) or status_in(code),
            code=code or kind,
            param=str(body.get("param") or ""),
            message=shown(str(said), key),
            retry_after=retry_after(headers, time.time()),
        )
    return Failure(BROKEN, message=shown(f"{type(problem).__name__}: {problem}", key))
