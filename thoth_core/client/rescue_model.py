"""Which model made the vectors of a Chroma collection. Pure.

A name proves nothing: Chroma records its default function also where the vectors came from
elsewhere, and LangChain records none. What counts is a trial: some of the texts are embedded anew,
and their vectors are those that are there, or they are not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from thoth_core.chroma_dir.gather import Found
from thoth_core.client.rescue_rows import usable
from thoth_core.vectors import Vectors

#: Texts of a trial. Short ones say whether it is the model; models and programs cut long ones
#: differently, so these are asked by themselves.
SHORT, LONG = 6, 2
#: A cosine from which on two vectors are of one model: bfloat16 gives 0.9999 and more, another
#: model of the same family less than 0.9.
SAME = 0.999
#: Longer texts are not asked.
_MAX_CHARS = 20_000

_ORGANISATION = "sentence-transformers/"
#: What Chroma calls the functions whose model Thoth runs, and where their model's name is.
_RECORDED = {
    "default": "all-MiniLM-L6-v2",
    "onnx_mini_lm_l6_v2": "all-MiniLM-L6-v2",
    "sentence_transformer": "",
    "huggingface": "",
    "openai": "openai/",
}


@dataclass(frozen=True, slots=True)
class Known:
    """``model`` is the identity of the model that made the vectors, or None; ``other`` what is
    known of it if it is not the one that runs, whose vectors must not come between. ``computed``:
    Thoth would make the very same of every text, so that they may be used again for equal texts."""

    model: Mapping[str, Any] | None = None
    other: Mapping[str, Any] | None = None
    computed: bool = False
    note: str = ""


def recorded(embedder: Mapping[str, Any] | None) -> str:
    """The name that Thoth has for the model that Chroma recorded, or "" if it knows none."""
    name = str((embedder or {}).get("name", ""))
    if name not in _RECORDED:
        return ""
    config = (embedder or {}).get("config")
    given = config.get("model_name") if isinstance(config, dict) else None
    if name in ("default", "onnx_mini_lm_l6_v2"):
        return _RECORDED[name]
    return _RECORDED[name] + given if isinstance(given, str) and given else ""


def same_name(one: str, other: str) -> bool:
    return one.removeprefix(_ORGANISATION) == other.removeprefix(_ORGANISATION)


def samples(rows: Sequence[Found], dimension: int | None) -> tuple[list[Found], list[Found]]:
    """Rows to try the model with: the shortest texts, and the longest of those that are left."""
    fit = [row for row in rows if _fit(row, dimension)]
    fit.sort(key=lambda row: len(row.text or ""))
    return fit[:SHORT], fit[SHORT:][-LONG:]


def agree(rows: Sequence[Found], embedded: Vectors) -> bool:
    """Whether ``embedded`` (n, dimension) are the vectors of ``rows``, whatever their length."""
    for row, mine in zip(rows, embedded, strict=True):
        theirs = row.vector
        if theirs is None or theirs.shape != mine.shape:
            return False
        one, other = theirs.astype(np.float64), mine.astype(np.float64)
        if not np.dot(one, other) >= SAME * np.linalg.norm(one) * np.linalg.norm(other):
            return False
    return True


def _fit(row: Found, dimension: int | None) -> bool:
    text = row.text
    if text is None or not text.strip() or len(text) > _MAX_CHARS:
        return False
    return row.vector is not None and usable(row.vector, dimension)
