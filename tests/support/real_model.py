"""The packaged all-MiniLM-L6-v2 for tests that compare with sentence-transformers itself: real
text, what is hard to tokenise, how near vectors are. Its fixtures are in the conftest.py of the
integration tests."""

from __future__ import annotations

import random
import re
from pydoc_data import topics
from typing import Any

import numpy as np

from embed_worker.engines.base import Embedded, Vectors

MODEL = "all-MiniLM-L6-v2"
#: What tokenizers and padding trip over, besides ordinary paragraphs.
ODD = [
    "x",
    ".",
    "  leading and trailing  \n",
    "naïve café — “quotes” … 東京 на русском العربية 🙂👩‍👩‍👧",
    "[SEP] [CLS] [MASK] <|endoftext|> </s>",
    "tab\tand\u00a0no-break\u200bzero width",
    "a" * 300,
    "UPPER lower MiXeD 1234567890 3.14159e-10",
]


def paragraphs_of_python() -> list[str]:
    """Each paragraph of the language reference, in an order of its own, always the same."""
    found = [
        paragraph.strip()
        for name in sorted(topics.topics)
        for paragraph in re.split(r"\n\s*\n", topics.topics[name])
        if paragraph.strip()
    ]
    random.Random(7).shuffle(found)
    return found


def quiet() -> None:
    """A progress callback that does nothing."""


def embed(engine: Any, texts: list[str]) -> Embedded:
    """As documents."""
    made = engine.embed(texts, "document", quiet)
    assert isinstance(made, Embedded)
    return made


def encode(reference: Any, texts: list[str]) -> Vectors:
    """The unit vectors of the library."""
    made = reference.encode(texts, normalize_embeddings=True, batch_size=8)
    assert isinstance(made, np.ndarray)
    return made


def least_cosine(one: Vectors, two: Vectors) -> float:
    return float((one.astype(np.float64) * two.astype(np.float64)).sum(axis=1).min())
