"""What a provider answered, and what is to be done about it. Pure.

An answer is believed when it holds one finite vector of the right length for each input. What is
not believed, and what went wrong on the way, is asked for again; what would go wrong in the same
way again is said once, with the setting that mends it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from thoth_core.errors import (
    AuthenticationFailed,
    ModelNotFound,
    QuotaExceeded,
    SettingsError,
    ThothError,
)
from thoth_core.provider_errors import QUOTA, retry_after, without_keys

#: Seconds before a request is sent again that failed without a word on when: the first time, and
#: at most. Each further time is twice as long, less up to a half of it by chance.
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
#: A wait as short as this is not believed for ever; then it is so long at least.
_SHORT = 1.0
_SAID_CHARS = 300


class BadAnswer(Exception):
    """An answer that cannot be what was asked for."""


class OtherLength(BadAnswer):
    """All vectors have ``length`` numbers, which the model's have not."""

    def __init__(self, length: int, wanted: int) -> None:
        super().__init__(f"vectors of {length} numbers instead of {wanted}")
        self.length = length


@dataclass(frozen=True, slots=True)
class Again:
    """Send it again after ``wait`` seconds. ``told``: the provider said so, for everything."""

    wait: float
    told: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """These inputs are refused; others may do."""

    said: str


@dataclass(frozen=True, slots=True)
class NoFloats:
    """The server gives vectors in another form than the one that was asked for."""


Verdict = Again | Refused | NoFloats | ThothError


def vectors_of(
    data: Sequence[tuple[int, object]], count: int, dimension: int | None
) -> npt.NDArray[np.float32]:
    """The unit vectors of ``count`` inputs, float32 (count, dimension), in their order.

    ``data`` has each one's ``index`` and its ``embedding``, a list of numbers or base64 of
    little-endian float32. Raises :class:`BadAnswer`.
    """
    rows: dict[int, npt.NDArray[np.float32]] = {}
    for index, embedding in data:
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < count:
            raise BadAnswer(f"a vector for input {index!r} of {count}")
        if index in rows:
            raise BadAnswer(f"two vectors for input {index}")
        rows[index] = _row(embedding)
    if len(rows) != count:
        raise BadAnswer(f"{len(rows)} vectors for {count} inputs")
    lengths = {row.size for row in rows.values()}
    if len(lengths) > 1:
        raise BadAnswer(f"vectors of {sorted(lengths)} numbers in one answer")
    if dimension is not None and lengths != {dimension}:
        raise OtherLength(lengths.pop(), dimension)
    made = np.stack([rows[index] for index in range(count)])
    norms = np.linalg.norm(made.astype(np.float64), axis=1, keepdims=True)
    if not np.isfinite(norms).all() or not (norms > 0).all():
        raise BadAnswer("a vector with a number that is none, or of zeros")
    unit: npt.NDArray[np.float32] = (made / norms).astype(np.float32)
    return unit


def _row(embedding: object) -> npt.NDArray[np.float32]:
    try:
        if isinstance(embedding, str):
            return np.frombuffer(base64.b64decode(embedding, validate=True), dtype="<f4")
        row = np.asarray(embedding, dtype=np.float64)
    except (binascii.Error, ValueError, TypeError) as problem:
        raise BadAnswer(f"a vector that cannot be read: {problem}") from problem
    if row.ndim != 1:
        raise BadAnswer("a vector that is no list of numbers")
    # A number too large for float32 becomes infinite, which is seen later.
    with np.errstate(over="ignore"):
        return row.astype(np.float32)


def verdict(
    status: int | None,
    error: Mapping[str, Any],
    headers: Mapping[str, str],
    *,
    model: str,
    server: str,
    tries: int,
    chance: float,
    wall: float,
) -> Verdict:
    """What becomes of a request that failed ``tries`` times now.

    ``status`` is that of the HTTP answer, None where there was none or it could not be read;
    ``error`` is its error as the protocol has it (``code``, ``type``, ``message``, ``param``);
    ``headers`` have names in lower case; ``chance`` is from 0 to 1; ``wall`` is the time in seconds
    since 1970, against which a date is taken.
    """
    code, kind = str(error.get("code") or ""), str(error.get("type") or "")
    said = without_keys(str(error.get("message") or ""))[:_SAID_CHARS]
    if status in (401, 403):
        return refused_key(server, said, status)
    if status == 402 or QUOTA & {code, kind}:
        return QuotaExceeded(
            f"the account at {server} has no quota left",
            cause=said,
            fix="see to its billing, and run the same again: what is stored is not paid for twice",
        )
    if code == "model_not_found" or (status == 404 and "model" in said.lower()):
        return ModelNotFound(
            f"{server} has no model {model!r}",
            cause=said,
            fix="set RAG_EMBEDDING_MODEL to one that it has, as openai/text-embedding-3-small",
        )
    if status == 404:
        return SettingsError(
            f"there are no embeddings at {server}",
            cause=said or "it answered 404",
            fix="set OPENAI_BASE_URL to the address with its path, which is mostly /v1",
        )
    if status in (400, 413, 422):
        about = f"{error.get('param') or ''} {said}"
        if "encoding_format" in about:
            return NoFloats()
        if "dimensions" in about:
            return SettingsError(
                f"{model} does not give vectors of that length",
                cause=said,
                fix="set THOTH_OPENAI_DIMENSIONS to one that it gives, or unset it",
            )
        return Refused(said or f"HTTP {status}")
    most = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(tries - 1, 10))
    own = most * (1.0 - chance / 2)
    told = retry_after(headers, wall)
    if told is not None and status is not None:
        # "At once", again and again, is not sent as fast as it is refused.
        return Again(max(told, min(own, _SHORT)) if tries > 2 else told, told=True)
    return Again(own, told=status == 429)


def refused_key(server: str, said: str, status: int = 401) -> AuthenticationFailed:
    what = "refuses the key" if status == 401 else "does not let this key do that"
    return AuthenticationFailed(
        f"{server} {what}",
        cause=said,
        fix="set API_OPENAI_KEY to one that is good (thoth config show says which one is set, and "
        "where), then: thoth-supervisor reload",
    )


def no_key(server: str) -> AuthenticationFailed:
    return AuthenticationFailed(
        f"there is no key for {server}",
        cause="API_OPENAI_KEY (or OPENAI_API_KEY) is not set where the service was started",
        fix="put API_OPENAI_KEY=… into .env, then: thoth-supervisor reload; or work without a"
        " provider: RAG_EMBEDDING_MODEL=all-MiniLM-L6-v2",
    )
