"""What a request for embeddings holds, refused as the real API refuses it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.support import openai_errors as errors
from tests.support.openai_books import tokens_of
from tests.support.openai_vectors import DIMENSIONS
from thoth_core.encoding import load_encoding

#: Of the real API: inputs a request, tokens a request, tokens an input.
MOST_INPUTS, MOST_TOKENS, LONGEST = 2048, 300_000, 8192


def texts_of(asked: Mapping[str, Any]) -> tuple[str, ...]:
    """The inputs as text, also where they came as tokens."""
    given = asked.get("input")
    if isinstance(given, str):
        given = [given]
    if not isinstance(given, list) or not given:
        raise errors.bad_input()
    if all(isinstance(each, int) for each in given):
        given = [given]
    if len(given) > MOST_INPUTS:
        raise errors.too_many_inputs(MOST_INPUTS, len(given))
    return tuple(each if isinstance(each, str) else _decoded(each) for each in given)


def _decoded(tokens: object) -> str:
    if not isinstance(tokens, list) or not all(isinstance(each, int) for each in tokens):
        raise errors.bad_input()
    try:
        raw = load_encoding("cl100k_base")._encoding.decode_bytes(tokens)
    except (KeyError, OverflowError, ValueError):
        raise errors.bad_input() from None
    return raw.decode("utf-8", "replace")


def check(asked: Mapping[str, Any], texts: tuple[str, ...]) -> int | None:
    """The dimensions asked for. Raises :class:`ApiError` as the real API refuses a request."""
    model = asked.get("model")
    if not model:
        raise errors.missing("model")
    full = DIMENSIONS.get(str(model))
    if full is None:
        raise errors.no_such_model(str(model))
    if "" in texts or asked.get("encoding_format") not in (None, "float", "base64"):
        raise errors.bad_input()
    counts = [tokens_of(text) for text in texts]
    if max(counts) > LONGEST:
        raise errors.input_too_long(LONGEST, max(counts))
    if sum(counts) > MOST_TOKENS:
        raise errors.too_many_tokens(MOST_TOKENS, sum(counts))
    width = asked.get("dimensions")
    if width is None:
        return None
    if model == "text-embedding-ada-002":
        raise errors.no_dimensions()
    if not isinstance(width, int) or not 1 <= width <= full:
        raise errors.bad_dimensions(full, width)
    return width
