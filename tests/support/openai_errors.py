"""Errors as the real API answers them: status, the body's words, type, parameter and code. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_KEYS_PAGE = "https://platform.openai.com/account/api-keys"


@dataclass(eq=False)
class ApiError(Exception):
    """``retry_after``: seconds."""

    status: int
    message: str
    type: str = "invalid_request_error"
    param: str | None = None
    code: str | None = None
    retry_after: float | None = None

    def body(self) -> dict[str, Any]:
        return {
            "error": {
                "message": self.message,
                "type": self.type,
                "param": self.param,
                "code": self.code,
            }
        }


def no_key() -> ApiError:
    return ApiError(
        401,
        "You didn't provide an API key. You need to provide your API key in an Authorization "
        "header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY), or as the password field "
        "(with blank username) if you're accessing the API from your browser and are prompted for "
        f"a username and password. You can obtain an API key from {_KEYS_PAGE}.",
    )


def wrong_key(shown: str) -> ApiError:
    """``shown`` is the key as the answer repeats it."""
    return ApiError(
        401,
        f"Incorrect API key provided: {shown}. You can find your API key at {_KEYS_PAGE}.",
        code="invalid_api_key",
    )


def masked(key: str) -> str:
    """As the real API repeats a key."""
    return f"{key[:8]}{'*' * max(len(key) - 12, 4)}{key[-4:]}" if len(key) > 12 else "*" * len(key)


def forbidden() -> ApiError:
    return ApiError(
        403,
        "Country, region, or territory not supported",
        "request_forbidden",
        code="unsupported_country_region_territory",
    )


def no_quota() -> ApiError:
    return ApiError(
        429,
        "You exceeded your current quota, please check your plan and billing details. For more "
        "information on this error, read the docs: "
        "https://platform.openai.com/docs/guides/error-codes/api-errors.",
        "insufficient_quota",
        code="insufficient_quota",
    )


def rate_limited(
    model: str, per: str, limit: int, used: int, asked: int, retry_after: float | None
) -> ApiError:
    """``per`` is ``requests`` or ``tokens``."""
    short = {"requests": "RPM", "tokens": "TPM"}[per]
    again = "" if retry_after is None else f" Please try again in {spoken(retry_after)}."
    return ApiError(
        429,
        f"Rate limit reached for {model} in organization org-thothtests on {per} per min "
        f"({short}): Limit {limit}, Used {used}, Requested {asked}.{again} Visit "
        "https://platform.openai.com/account/rate-limits to learn more.",
        per,
        code="rate_limit_exceeded",
        retry_after=retry_after,
    )


def request_too_large(model: str, limit: int, asked: int) -> ApiError:
    """It will never fit into a minute."""
    return ApiError(
        429,
        f"Request too large for {model} in organization org-thothtests on tokens per min (TPM): "
        f"Limit {limit}, Requested {asked}. The input or output tokens must be reduced in order to "
        "run successfully. Visit https://platform.openai.com/account/rate-limits to learn more.",
        "tokens",
        code="rate_limit_exceeded",
    )


def server_error() -> ApiError:
    return ApiError(
        500,
        "The server had an error while processing your request. Sorry about that!",
        "server_error",
    )


def overloaded(retry_after: float | None) -> ApiError:
    return ApiError(
        503,
        "The engine is currently overloaded, please try again later",
        "server_error",
        retry_after=retry_after,
    )


def no_such_model(model: str) -> ApiError:
    return ApiError(
        404,
        f"The model `{model}` does not exist or you do not have access to it.",
        code="model_not_found",
    )


def no_such_page(method: str, path: str) -> ApiError:
    return ApiError(404, f"Invalid URL ({method} {path})")


def not_json() -> ApiError:
    return ApiError(
        400,
        "We could not parse the JSON body of your request. (HINT: This likely means you aren't "
        "using your HTTP library correctly. The OpenAI API expects a JSON payload, but what was "
        "sent was not valid JSON.)",
    )


def bad_input() -> ApiError:
    return ApiError(
        400,
        "'$.input' is invalid. Please check the API reference: "
        "https://platform.openai.com/docs/api-reference.",
    )


def too_many_inputs(most: int, count: int) -> ApiError:
    return ApiError(
        400,
        f"Invalid 'input': array too long. Expected an array with maximum length {most}, but got "
        f"an array with length {count} instead.",
        param="input",
        code="array_above_max_length",
    )


def input_too_long(most: int, tokens: int) -> ApiError:
    return ApiError(
        400,
        f"This model's maximum context length is {most} tokens, however you requested {tokens} "
        f"tokens ({tokens} in your prompt; 0 for the completion). Please reduce your prompt; or "
        "completion length.",
    )


def too_many_tokens(most: int, tokens: int) -> ApiError:
    return ApiError(
        400,
        f"Requested {tokens} tokens, max {most} tokens per request",
        "max_tokens_per_request",
        code="max_tokens_per_request",
    )


def no_dimensions() -> ApiError:
    return ApiError(400, "This model does not support specifying dimensions.")


def bad_dimensions(most: int, asked: object) -> ApiError:
    return ApiError(
        400,
        f"Invalid value for 'dimensions' = {asked}. Must be at least 1 and at most {most}.",
        param="dimensions",
    )


def unsupported(parameter: str, instead: str) -> ApiError:
    """A parameter that reasoning models do not take."""
    return ApiError(
        400,
        f"Unsupported parameter: '{parameter}' is not supported with this model. {instead}",
        param=parameter,
        code="unsupported_parameter",
    )


def missing(parameter: str) -> ApiError:
    return ApiError(
        400,
        f"Missing required parameter: '{parameter}'.",
        param=parameter,
        code="missing_required_parameter",
    )


def spoken(seconds: float) -> str:
    """As the rate-limit headers say a time: ``12ms``, ``1s``, ``8.64s``, ``6m0s``, ``1h0m0s``."""
    milliseconds = round(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms" if milliseconds else "0s"
    whole, fraction = divmod(milliseconds, 1000)
    minutes, whole = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{whole}.{fraction:03d}".rstrip("0").rstrip(".") + "s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    return f"{hours}h{text}" if hours else text
