"""Real texts of known lengths for the benchmark: Python's own language reference, cut by the word
pieces of the model."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pydoc_data import topics

from embed_worker.engines.id_rows import plain_tokenizer
from embed_worker.models import find_model

MODEL = "all-MiniLM-L6-v2"
#: Word pieces of one text, special ones not counted. The model reads 254.
LENGTHS = {"short": (14, 14), "mixed": (40, 254), "long": (254, 254)}


def texts(kind: str, count: int, seed: int = 1) -> list[str]:
    """``count`` texts of a kind of :data:`LENGTHS`, all different: passages that begin at a word
    and go on for so many word pieces."""
    least, most = LENGTHS[kind]
    chance = random.Random(seed)
    words = re.findall(
        r"\S+\s*", "\n\n".join(topics.topics[name] for name in sorted(topics.topics))
    )
    tokenizer = plain_tokenizer(str(find_model(MODEL).folder / "tokenizer.json"))
    found: dict[str, None] = {}
    while len(found) < count:
        start = chance.randrange(len(words) - 400)
        wanted = chance.randint(least, most)
        found[_passage(tokenizer, words[start : start + 400], wanted)] = None
    return list(found)


def _passage(tokenizer: object, words: Sequence[str], wanted: int) -> str:
    """As many of the words as make ``wanted`` pieces at most."""
    low, high = 1, min(len(words), wanted)
    while low < high:
        middle = (low + high + 1) // 2
        made = tokenizer.encode("".join(words[:middle]), add_special_tokens=False)  # type: ignore[attr-defined]
        low, high = (middle, high) if len(made.ids) <= wanted else (low, middle - 1)
    return "".join(words[:low]).strip()


def pieces(given: Sequence[str]) -> list[int]:
    """Word pieces of each text."""
    tokenizer = plain_tokenizer(str(find_model(MODEL).folder / "tokenizer.json"))
    return [len(each.ids) for each in tokenizer.encode_batch(list(given), add_special_tokens=False)]
