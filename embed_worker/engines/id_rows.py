"""Rows of a converted model, made with the ``tokenizers`` library alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from embed_worker.batching import aligned
from embed_worker.engines.converted_model import Description
from embed_worker.engines.rows import padded

#: One row alone is padded to a multiple of this at least, where rows are padded, so that short
#: queries all have one length: OpenVINO prepares itself anew for a call of another shape than the
#: last (2.15 ms for 16 ids each time, 2.4 ms for 32, and 3.2 ms where the two take turns).
ALONE = 32


class IdRows:
    """See :class:`~embed_worker.engines.rows.Rows`. ``tokenizer`` neither cuts nor pads; rows are
    padded to a multiple of ``align``, but never over what the model reads."""

    reproducible = True

    def __init__(
        self, tokenizer: Any, description: Description, purpose: str, align: int = 1
    ) -> None:
        self._tokenizer = tokenizer
        self._frame = description.frames[purpose]
        self._names = frozenset(description.inputs)
        self._pad, self._left = description.pad, description.left
        self._limit = description.limit
        #: Rows are padded to a multiple of it.
        self.align = align
        frame = self._frame
        self.added = frame.head + len(frame.prefix) + len(frame.suffix)
        self.size = None if description.limit is None else description.limit - self.added

    def tokenise(self, texts: Sequence[str]) -> list[list[int]]:
        before = self._frame.prompt
        given = [before + text for text in texts] if before else list(texts)
        made = self._tokenizer.encode_batch_fast(given, add_special_tokens=False)
        return [each.ids for each in made]

    def count(self, ids: Sequence[int]) -> int:
        return max(0, len(ids) - self._frame.head)

    def row(self, ids: Sequence[int], start: int, end: int) -> list[int]:
        head, frame = self._frame.head, self._frame
        return [*frame.prefix, *ids[:head], *ids[head + start : head + end], *frame.suffix]

    def features(self, rows: Sequence[Sequence[int]]) -> dict[str, Any]:
        longest = max(len(row) for row in rows)
        align = self.align
        if len(rows) == 1 and align > 1:
            align = max(align, ALONE)
        length = aligned(longest, align)
        if self._limit is not None:
            length = max(longest, min(length, self._limit))
        return padded(rows, self._names, self._pad, self._left, length)

    def library_features(self, texts: Sequence[str]) -> dict[str, Any]:
        raise AssertionError("a model whose rows are not reproducible is not converted")


def plain_tokenizer(path: str) -> Any:
    """The tokenizer in this file, which cuts nothing off and adds no padding."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(path)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
