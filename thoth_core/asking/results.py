"""What ``ask`` hands back. Plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

#: What stands for an answer when nothing that was found is near enough to the question.
NOT_HERE = "not in this collection"


@dataclass(frozen=True, slots=True)
class Citation:
    """One passage, as it is numbered in the prompt and cited in the answer: ``[n]``.

    ``line`` to ``line_end`` and ``page`` to ``page_end`` count from 1; they, ``start`` and ``end``
    (characters of the document's text) and ``heading`` are None where the chunk does not know them.
    ``quote`` is the passage's text, as far as the model was given it, and ``score`` its cosine
    similarity to the question."""

    n: int
    id: str
    source: str
    line: int | None
    line_end: int | None
    start: int | None
    end: int | None
    page: int | None
    page_end: int | None
    heading: str | None
    quote: str
    score: float

    @property
    def pages(self) -> str:
        """``"page 3"``, ``"pages 3-4"``, or nothing."""
        if self.page is None:
            return ""
        if self.page_end is None or self.page_end <= self.page:
            return f"page {self.page}"
        return f"pages {self.page}-{self.page_end}"

    @property
    def place(self) -> str:
        """``"docs/a.md:12 — Title > Part"``, as far as known."""
        place = self.source or self.id
        if self.page is not None:
            place += f", {self.pages}"
        elif self.line is not None and self.source:
            place += f":{self.line}"
        return f"{place} — {self.heading}" if self.heading else place


@dataclass(frozen=True, slots=True)
class Answer:
    """``found`` is whether a model was asked; if not, ``answer`` is :data:`NOT_HERE`, nothing that
    was found being near enough to the question.

    ``citations`` are the passages that the answer cites, in the order of their first mention, and
    ``dropped_citations`` the numbers that it cited and no passage has; these were taken out of its
    text. ``passages`` are all that the model was given (or, if none was asked, what was found),
    nearest first; ``left_out`` are the ids of those that had no room in ``THOTH_ASK_CONTEXT``.

    ``model`` is the name that the server gave, None if none was asked. ``usage`` counts
    ``prompt_tokens``, ``completion_tokens`` and ``total_tokens``; None if the server did not tell.
    ``finish_reason`` is ``"stop"`` for an answer that is complete, ``"length"`` for one that was
    cut off at ``RAG_QA_MAX_TOKENS``, or another word of the server's; empty if none was asked.
    ``threshold`` is the score below which the best passage is not near enough, None if there is no
    such bound."""

    question: str
    answer: str
    found: bool
    citations: tuple[Citation, ...] = ()
    dropped_citations: tuple[int, ...] = ()
    passages: tuple[Citation, ...] = ()
    left_out: tuple[str, ...] = ()
    model: str | None = None
    usage: dict[str, int] | None = field(default=None)
    finish_reason: str = ""
    threshold: float | None = None

    def to_dict(self, *, passages: bool = False) -> dict[str, Any]:
        """The documented JSON form, without its ``schema_version``."""
        told = {
            "question": self.question,
            "answer": self.answer,
            "found": self.found,
            "citations": [asdict(each) for each in self.citations],
            "dropped_citations": list(self.dropped_citations),
            "left_out": list(self.left_out),
            "model": self.model,
            "usage": None if self.usage is None else dict(self.usage),
            "finish_reason": self.finish_reason,
            "threshold": self.threshold,
        }
        if passages:
            told["passages"] = [asdict(each) for each in self.passages]
        return told
