"""Whether anything that was found is near enough to a question to be worth asking a model. Pure.

Cosines of one embedding model mean nothing for another, so there is a figure only for a model that
was measured (``python -m benchmarks.ask_threshold``; docs/ask.md has what came of it), and with
every other one nothing is refused unless somebody sets ``THOTH_ASK_THRESHOLD``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

AUTO = "auto"

#: Model to the least score of the best passage.
MEASURED: Mapping[str, float] = {"all-MiniLM-L6-v2": 0.30}

#: How models are called by those who have them from the hub.
_ORGANISATION = "sentence-transformers/"


def threshold_for(model: str | None, setting: float | str = AUTO) -> float | None:
    """The least score of the best passage for which a model is asked; None: it always is.

    ``model`` is the embedding model that the scores are of, None if that is not known; ``setting``
    is the value of ``THOTH_ASK_THRESHOLD``."""
    if not isinstance(setting, str):
        return setting
    return MEASURED.get((model or "").removeprefix(_ORGANISATION))


def near_enough(scores: Sequence[float], threshold: float | None) -> bool:
    """Whether a question with passages of these scores, in any order, is to be asked."""
    if not scores:
        return False
    return threshold is None or max(scores) >= threshold
