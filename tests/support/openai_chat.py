"""Answers of the test server's chat model. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tests.support import openai_errors as errors
from thoth_core.encoding import load_encoding

Message = Mapping[str, Any]
#: What a test gives: the messages of the request to the text of the answer.
Answer = Callable[[Sequence[Message]], str]

MODELS = frozenset({"gpt-4o-mini", "gpt-4o", "gpt-4.1-mini", "gpt-5-mini", "o3-mini"})
#: They take max_completion_tokens only, and no temperature but 1.
REASONING = ("o1", "o3", "o4", "gpt-5")
_CREATED = 1_750_000_000


def text_of(message: Message) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content)


def quoting(messages: Sequence[Message]) -> str:
    """The first sentence of the first passage of the last message, and ``[1]``. A passage begins
    at its number in brackets, or in a tag that a line in brackets may follow."""
    asked = text_of(messages[-1]) if messages else ""
    found = re.search(r"\[1\]|<passage\b[^>]*>\n?(?:\(.*\)\n)?", asked)
    if found is None:
        return "I do not know."
    passage = re.split(r"\[2\]|</?passage\b", asked[found.end() :], maxsplit=1)[0]
    sentence = re.split(r"(?<=[.!?])\s", " ".join(passage.split()), maxsplit=1)[0]
    return f"{sentence} [1]"


def check(request: Mapping[str, Any], models: frozenset[str]) -> None:
    """Raises :class:`ApiError` as the real API refuses what it does not take."""
    model = request.get("model")
    if not model:
        raise errors.missing("model")
    if model not in models:
        raise errors.no_such_model(str(model))
    if not isinstance(request.get("messages"), list) or not request["messages"]:
        raise errors.missing("messages")
    if str(model).startswith(REASONING):
        if "max_tokens" in request:
            raise errors.unsupported("max_tokens", "Use 'max_completion_tokens' instead.")
        if request.get("temperature") not in (None, 1):
            raise errors.unsupported("temperature", "Only the default (1) value is supported.")


def cut(text: str, most: int | None) -> tuple[str, str]:
    """``text`` up to ``most`` tokens, and why it ended."""
    encoded = load_encoding("cl100k_base").encode(text)
    if most is None or len(encoded) <= most:
        return text, "stop"
    return text[: encoded.head(most)], "length"


def usage(messages: Sequence[Message], text: str) -> dict[str, int]:
    count = load_encoding("cl100k_base").count
    asked = sum(4 + count(text_of(each)) for each in messages) + 3
    answered = count(text)
    return {
        "prompt_tokens": asked,
        "completion_tokens": answered,
        "total_tokens": asked + answered,
    }


def whole(model: str, number: int, text: str, reason: str, used: Mapping[str, int]) -> Any:
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": _CREATED,
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text, "refusal": None},
                "logprobs": None,
                "finish_reason": reason,
            }
        ],
        "usage": dict(used),
    }


def streamed(
    model: str, number: int, text: str, reason: str, used: Mapping[str, int] | None
) -> Iterator[Any]:
    """The events but the last ``[DONE]``. With ``used`` one without choices holds it, as
    ``stream_options.include_usage`` asks for."""
    head = {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion.chunk",
        "created": _CREATED,
        "model": model,
    }

    def choice(delta: Mapping[str, str], finish: str | None = None) -> Any:
        one = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return {**head, "choices": [one], **({} if used is None else {"usage": None})}

    yield choice({"role": "assistant", "content": ""})
    for piece in re.findall(r"\s*\S+|\s+$", text):
        yield choice({"content": piece})
    yield choice({}, reason)
    if used is not None:
        yield {**head, "choices": [], "usage": dict(used)}
