"""Token ids of texts and the rows that a sentence-transformers model reads, for one purpose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

PURPOSES = ("document", "query")
#: A tokenizer without a limit says so with a number like 1e30.
NO_LIMIT = 1_000_000_000
#: What the ids made here are compared with the library's on: plain, padded, other scripts, and
#: one that every limit cuts off.
_PROBES = ("Hello, world!", "  two\n\nlines ", "naïve 東京 🙂 [SEP] #hash", "word " * 1000)


class TokenRows:
    """The rows of a model for texts with ``prompt`` before them.

    ``size``: tokens of a text that one row holds, None without a limit; ``added``: tokens that a
    row has besides, the prompt's and special ones; ``reproducible``: whether rows can be made from
    ids at all, and if not, ``difference`` says why, and counts are estimates. ``prefix`` and
    ``suffix`` are special ids around a text, ``limit`` is how many ids a row may have.
    """

    def __init__(self, model: Any, prompt: str) -> None:
        self._model = model
        self.prompt = prompt
        self._tokenizer: Any = getattr(model[0], "tokenizer", None)
        self.prefix: list[int] = []
        self.suffix: list[int] = []
        #: Ids of the prompt before those of the text.
        self.head = 0
        self._constants: dict[str, Any] = {}
        self._names: frozenset[str] = frozenset()
        limit = model.max_seq_length
        self.limit = int(limit) if limit is not None and limit < NO_LIMIT else None
        self.difference = self._learn()
        self.reproducible = not self.difference
        self.added = self.head + len(self.prefix) + len(self.suffix)
        self.size = None if self.limit is None else self.limit - self.added

    def tokenise(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text with its prompt, whole and without special ones."""
        if not self.reproducible:
            # Nothing can be cut, and the library cuts off what is too long: the length only puts
            # texts of a size together.
            return [[0] * self._roughly(text) for text in texts]
        return self._ids(texts, before=self.prompt)

    def count(self, ids: Sequence[int]) -> int:
        """Tokens of the text itself in what ``tokenise`` gave."""
        return max(0, len(ids) - self.head)

    def row(self, ids: Sequence[int], start: int, end: int) -> list[int]:
        """The model's row for tokens ``start`` to ``end`` of a text: each window has the prompt."""
        head = self.head
        return [*self.prefix, *ids[:head], *ids[head + start : head + end], *self.suffix]

    def features(self, rows: Sequence[Sequence[int]]) -> dict[str, Any]:
        """What the model takes for ``rows``: tensors of shape (len(rows), longest row)."""
        import torch

        longest = max(len(row) for row in rows)
        left = self._tokenizer.padding_side == "left"
        ids = torch.full((len(rows), longest), self._tokenizer.pad_token_id or 0, dtype=torch.long)
        mask = torch.zeros((len(rows), longest), dtype=torch.long)
        for position, row in enumerate(rows):
            where = slice(longest - len(row), longest) if left else slice(0, len(row))
            ids[position, where] = torch.tensor(row, dtype=torch.long)
            mask[position, where] = 1
        made: dict[str, Any] = {"input_ids": ids, "attention_mask": mask}
        if "token_type_ids" in self._names:
            made["token_type_ids"] = torch.zeros_like(ids)
        return made | self._constants

    def library_features(self, texts: Sequence[str]) -> dict[str, Any]:
        """What the library itself makes of ``texts``, those over the limit cut off."""
        return dict(self._model.preprocess(list(texts), prompt=self.prompt or None))

    def _ids(self, texts: Sequence[str], before: str = "") -> list[list[int]]:
        made = self._tokenizer(
            [before + text for text in texts],
            add_special_tokens=False,
            truncation=False,
            padding=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        return [list(row) for row in made["input_ids"]]

    def _learn(self) -> str:
        """Learn what stands around a text's ids; why that cannot be done, or ""."""
        tokenizer = self._tokenizer
        if not callable(tokenizer):
            return "its first module has no tokenizer that gives ids"
        if getattr(tokenizer, "truncation_side", "right") != "right":
            return "its tokenizer cuts long texts off at the left"
        try:
            inner = self._ids(["word"])[0]
            whole = list(tokenizer(["word"])["input_ids"][0])
            start = next(i for i in range(len(whole)) if whole[i : i + len(inner)] == inner)
            self.prefix, self.suffix = whole[:start], whole[start + len(inner) :]
            if self.prompt:
                # A tokenizer may join the end of a prompt with the text, so the two are tokenised
                # together; the prompt's share is what no text changes.
                alone, *joined = self._ids(["", *_PROBES], before=self.prompt)
                self.head = min(_common(alone, ids) for ids in joined)
            return self._compare()
        except (TypeError, ValueError, KeyError, AttributeError, StopIteration) as problem:
            return f"{type(problem).__name__}: {problem}"

    def _compare(self) -> str:
        import torch

        for probe in (*([text] for text in _PROBES), list(_PROBES)):
            theirs = self.library_features(probe)
            tensors = {k: v for k, v in theirs.items() if isinstance(v, torch.Tensor)}
            self._names = frozenset(tensors)
            self._constants = {k: v for k, v in theirs.items() if k not in tensors}
            added = self.head + len(self.prefix) + len(self.suffix)
            ours = self.features(
                [
                    self.row(ids, 0, len(ids) if self.limit is None else self.limit - added)
                    for ids in self._ids(probe, before=self.prompt)
                ]
            )
            if set(ours) != set(theirs):
                return f"the library also gives the model {sorted(set(theirs) ^ set(ours))}"
            for name, tensor in tensors.items():
                if tensor.shape != ours[name].shape or not bool((tensor == ours[name]).all()):
                    return f"the library's {name} for a text are others than its tokenizer's"
        return ""

    def _roughly(self, text: str) -> int:
        length = 1 + len(text) // 4
        return length if self.size is None else min(length, max(1, self.size))


def _common(first: Sequence[int], second: Sequence[int]) -> int:
    """How many ids the two begin with in common."""
    pairs = zip(first, second, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))


def prompts_of(configured: Mapping[str, str]) -> dict[str, str]:
    """What stands before a document and before a query, as ``encode_document`` and
    ``encode_query`` choose among a model's configured prompts."""
    document = next(
        (configured[name] for name in ("document", "passage", "corpus") if name in configured), ""
    )
    return {"document": document or "", "query": configured.get("query") or ""}
