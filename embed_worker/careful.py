"""An engine's work with its failures kept to the items that cause them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from embed_worker.engines.base import Embedded, Engine, Progress
from thoth_core.errors import InvalidInput, ThothError, WorkerRaised

_MESSAGE_CHARS = 500


def embed_carefully(
    engine: Engine,
    texts: Sequence[Any],
    purpose: str,
    progress: Progress,
    log: logging.Logger,
) -> Embedded:
    """Embed ``texts`` so that one of them cannot fail the others.

    What is no string is refused. If the engine raises for the texts together they are embedded one
    by one, and those that it raises for again become :class:`WorkerRaised`. So does a text whose
    vector is not of unit length: NaN would otherwise reach an index and spoil it. A
    :class:`ThothError` of the engine is about all texts, and is raised. ``indices`` in the errors
    are positions in ``texts``; their words name none, because dispatch changes the one and cannot
    change the other.
    """
    count = len(texts)
    errors: dict[int, ThothError] = {}
    good: list[int] = []
    for index, text in enumerate(texts):
        if isinstance(text, str):
            good.append(index)
        else:
            errors[index] = InvalidInput(
                f"a text is {type(text).__name__}, not a string",
                indices=[index],
            )
    vectors = np.zeros((count, engine.info.dimension), dtype=np.float32)
    tokens, windowed = [0] * count, [False] * count

    def take(indices: Sequence[int]) -> None:
        part = engine.embed([texts[i] for i in indices], purpose, progress)
        vectors[list(indices)] = part.vectors
        for row, index in enumerate(indices):
            tokens[index], windowed[index] = part.tokens[row], part.windowed[row]
            if row in part.errors:
                errors[index] = _at(part.errors[row], index)

    try:
        take(good)
    except ThothError:
        raise
    except Exception as problem:
        log.exception("the engine raised for %d texts; one by one now", len(good))
        if len(good) == 1:
            errors[good[0]] = _raised(problem, good[0])
        else:
            _one_by_one(good, take, errors)
    _refuse_unusable(vectors, errors)
    for index in errors:
        vectors[index], tokens[index], windowed[index] = 0, 0, False
    return Embedded(vectors, tokens, windowed, errors)


def _one_by_one(good: Sequence[int], take: Any, errors: dict[int, ThothError]) -> None:
    for index in good:
        try:
            take([index])
        except ThothError:
            raise
        except Exception as problem:
            errors[index] = _raised(problem, index)


def _refuse_unusable(vectors: Any, errors: dict[int, ThothError]) -> None:
    lengths = np.linalg.norm(vectors, axis=1)
    for index in np.flatnonzero(~(np.abs(lengths - 1.0) < 1e-3)).tolist():
        if index not in errors:
            errors[index] = WorkerRaised(
                "the model made no usable vector of a text",
                cause=f"its length is {lengths[index]:.3g} instead of 1",
                indices=[index],
            )


def _raised(problem: Exception, index: int) -> WorkerRaised:
    # The message may quote the text, and with it what UTF-8 cannot hold.
    said = str(problem).encode("utf-8", "replace").decode()[:_MESSAGE_CHARS]
    return WorkerRaised(
        f"the engine raised {type(problem).__name__} for a text",
        cause=said,
        indices=[index],
        exception=type(problem).__name__,
    )


def _at(error: ThothError, index: int) -> ThothError:
    """``error`` about a row of a part, as one about ``index``."""
    if "indices" in error.details:
        error.details["indices"] = [index]
    return error
