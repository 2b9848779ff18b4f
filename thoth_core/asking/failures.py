"""What a chat server's failure means: try again after a while, or which error it is. Pure.

Time and chance are passed in. No message that comes from here holds the key: a server may repeat
what it was sent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

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
from thoth_core.provider_errors import QUOTA, without_keys

#: What a failure is: the server's own word, no connection, a lost one, silence, or no sense.
STATUS, CONNECT, DROPPED, SILENT, BROKEN = "status", "connect", "dropped", "silent", "broken"

#: Requests in all, seconds before the second, and at most between two.
TRIES, FIRST_PAUSE, LONGEST_PAUSE = 5, 0.5, 8.0
#: A server that asks for more patience than so many seconds is not waited for by a person.
LONGEST_WAIT = 60.0
#: Characters of a server's message that are shown.
_SHOWN = 300
_TOO_LONG = frozenset({"context_length_exceeded", "string_above_max_length"})


@dataclass(frozen=True, slots=True)
class Failure:
    """``retry_after`` is in seconds, None if the server named none. ``message`` is one line,
    without the key."""

    kind: str
    status: int = 0
    code: str = ""
    param: str = ""
    message: str = ""
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked, for messages: the address, the model as the server was told it, and the
    setting or option that the name is from."""

    base_url: str
    model: str
    model_from: str
    unit: str = "THOTH_ASK_CONTEXT"


def shown(text: str, key: str) -> str:
    """A server's message as it may be shown: one line, bounded, without the key."""
    plain = "".join(c if c.isprintable() else " " for c in without_keys(text, key))
    line = " ".join(plain.split())
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"


def pause(failure: Failure, tries: int, chance: float) -> float | None:
    """Seconds to wait before the request is sent again, after ``tries`` of them; None: it is not.

    ``chance`` is from 0 to 1. What the server asked for is kept, and a little added, so that those
    who were told the same do not come back at the same moment."""
    if tries >= TRIES or not _passing(failure):
        return None
    if failure.retry_after is not None:
        if failure.retry_after > LONGEST_WAIT:
            return None
        return failure.retry_after + 0.25 * chance
    return float(min(FIRST_PAUSE * 2 ** (tries - 1), LONGEST_PAUSE)) * (0.5 + chance / 2)


def _passing(failure: Failure) -> bool:
    """Whether the same request may do better in a while."""
    if failure.kind in (DROPPED, BROKEN):
        return True
    if failure.kind != STATUS or failure.code in QUOTA:
        return False
    return failure.status in (408, 409, 425, 429) or failure.status >= 500


def error_of(failure: Failure, asked: Asked) -> ThothError:
    """The error that a failure ends in."""
    at = asked.base_url
    if failure.kind == CONNECT:
        return ServiceUnavailable(
            f"no chat server answers at {at}",
            cause=failure.message,
            fix="start it, or set OPENAI_BASE_URL to its address",
        )
    if failure.kind == SILENT:
        return DeadlineExceeded(f"the chat server at {at} said nothing more", cause=failure.message)
    if failure.kind == DROPPED:
        return ServiceUnavailable(
            f"the chat server at {at} closed the connection before the answer was complete",
            cause=failure.message,
            fix="ask again",
        )
    if failure.kind == BROKEN:
        return ServiceUnavailable(
            f"what the chat server at {at} sent is no answer",
            cause=failure.message,
            fix="see that OPENAI_BASE_URL is the address of a server that speaks OpenAI's language"
            ", with its path, which is mostly /v1",
        )
    return _refusal(failure, asked)


def _refusal(failure: Failure, asked: Asked) -> ThothError:
    said = failure.message
    status, code = failure.status, failure.code
    if code in QUOTA or status == 402:
        return QuotaExceeded(
            f"the account has no quota left at {asked.base_url}",
            cause=said,
            fix="see to the plan and the billing of the account, then ask again",
        )
    if status in (401, 403):
        return AuthenticationFailed(
            f"the key was refused by {asked.base_url}",
            cause=said or f"it answered {status}",
            fix="set API_OPENAI_KEY to a key of this server's; thoth config show says where the"
            " present one is from",
        )
    if code == "model_not_found" or (status == 404 and "model" in said.lower()):
        return ModelNotFound(
            f"the chat server at {asked.base_url} has no model {asked.model!r}",
            cause=said or f"it answered {status}",
            fix=f"set {asked.model_from} to the name of one that it has",
            model=asked.model,
        )
    if status == 404:
        return SettingsError(
            f"there are no chat completions at {asked.base_url}",
            cause=said or "it answered 404",
            fix="set OPENAI_BASE_URL to the address with its path, which is mostly /v1",
            setting="OPENAI_BASE_URL",
        )
    if code in _TOO_LONG or status == 413 or "context length" in said.lower():
        return RequestTooLarge(
            f"the prompt is too long for the model {asked.model!r}",
            cause=said or f"the server answered {status}",
            fix="set THOTH_ASK_CONTEXT to the tokens that it reads, or ask with a smaller -k",
        )
    if status == 429:
        wait = failure.retry_after
        return Overloaded(
            f"the chat server at {asked.base_url} takes no more requests for now",
            cause=said or "it answered 429",
            fix="ask again later" if wait is None else f"ask again in {math.ceil(wait)} s",
            retry_after=0.5 if wait is None else wait,
        )
    if status >= 500 or status in (408, 409, 425):
        return ServiceUnavailable(
            f"the chat server at {asked.base_url} failed",
            cause=said or f"it answered {status}",
            fix="ask again later",
        )
    if 400 <= status < 500:
        return SettingsError(
            f"the chat server at {asked.base_url} refused the request ({status})",
            cause=said,
            fix="see RAG_QA_MODEL, RAG_QA_TEMPERATURE and RAG_QA_MAX_TOKENS in thoth config show",
        )
    return InternalError(f"the chat server at {asked.base_url} answered {status}", cause=said)


def status_in(code: str) -> int:
    """The HTTP status that an error's code in the middle of an answer is, or 500."""
    return int(code) if code.isdecimal() and 400 <= int(code) <= 599 else 500


def why_waiting(failure: Failure, seconds: float) -> str:
    """Said while the request waits to be sent again."""
    reason = f"it answered {failure.status}" if failure.kind == STATUS else failure.message
    return f"the chat server is asked again in {seconds:.1f} s: {reason}"
