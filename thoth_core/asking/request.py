"""What is asked of a chat server, and what is left out when a server does not know it. Pure.

``max_tokens`` and a temperature are understood by nearly every server; newer models of OpenAI's
want ``max_completion_tokens`` and no temperature. So the usual request goes first, and the name
that the server refuses is left out of the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from thoth_core.asking.failures import Failure
from thoth_core.asking.prompt import Message
from thoth_core.errors import AuthenticationFailed
from thoth_core.provider import OPENAI

#: Said to a server that needs no key: the client of OpenAI sends none without one.
NO_KEY = "none"


def model_name(setting: str) -> str:
    """The name that the server has the model under: ``openai/gpt-4o-mini`` is ``gpt-4o-mini``."""
    return setting.removeprefix(OPENAI)


def no_key(base_url: str) -> AuthenticationFailed:
    return AuthenticationFailed(
        "no key for OpenAI is set",
        cause="API_OPENAI_KEY (or OPENAI_API_KEY) is not set, and answers are written by a chat "
        f"model at {base_url}",
        fix="set API_OPENAI_KEY in .env, or OPENAI_BASE_URL to a local server that speaks the same"
        " language, such as http://127.0.0.1:8080/v1, which needs no key",
        setting="API_OPENAI_KEY",
    )


def first_request(
    model: str, messages: Sequence[Message], *, temperature: float, max_tokens: int
) -> dict[str, Any]:
    return {
        "model": model_name(model),
        "messages": list(messages),
        "temperature": temperature,
        "max_tokens": max_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def adapted(request: dict[str, Any], failure: Failure) -> dict[str, Any] | None:
    """The request without what this failure says that the server does not take; None if that is
    not what it is about, so that this ends."""
    if failure.status not in (400, 422):
        return None
    for name in ("max_tokens", "temperature", "stream_options"):
        if name in request and _is_about(name, failure):
            rest = {key: value for key, value in request.items() if key != name}
            if name == "max_tokens":
                rest["max_completion_tokens"] = request[name]
            return rest
    return None


def _is_about(name: str, failure: Failure) -> bool:
    if failure.param:
        return failure.param == name
    refused = ("support", "unknown", "unrecognized", "extra", "not permitted", "unexpected")
    said = failure.message.lower()
    return name in said and any(word in said for word in refused)
