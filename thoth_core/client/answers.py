"""What answers hold, as values. An answer that contradicts itself is a :class:`ProtocolError`.

numpy is loaded only when vectors have come: a command line that asks a question need not wait for
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from thoth_core.client.results import Hit, Rows, hit_of
from thoth_core.errors import (
    Conflict,
    InvalidInput,
    PoisonInput,
    ProtocolError,
    ThothError,
    from_dict,
)
from thoth_core.wire import Message

if TYPE_CHECKING:
    from thoth_core.vectors import Vectors

Errors = list[tuple[int, ThothError]]


def errors_in(answer: Message, places: Sequence[int]) -> Errors:
    """The refused items of an answer, by their place in the whole call."""
    out: Errors = []
    for item in answer.body.get("errors") or ():
        if not (isinstance(item, list) and len(item) == 2 and isinstance(item[1], dict)):
            raise ProtocolError("an item's error is no [index, error]")
        if not isinstance(item[0], int) or not 0 <= item[0] < len(places):
            raise ProtocolError("an error for an item that was not sent")
        place = places[item[0]]
        error = from_dict(item[1])
        if isinstance(error, InvalidInput):
            error.details["indices"] = [place]
        out.append((place, error))
    return out


def raise_foreign(errors: Errors) -> None:
    """Raise the first error that is not about its text (no key, no quota): the caller must see
    that class, and no other text would fare better."""
    for _, error in errors:
        if not isinstance(error, InvalidInput):
            raise error


def raise_refused(errors: Errors, partial: Any) -> None:
    """Raise one error for all refused items, if there are any: their own class if they share
    one, with ``indices`` and ``partial``; each one's error stands in ``details['errors']``."""
    if not errors:
        return
    errors = sorted(errors, key=lambda item: item[0])
    raise_foreign(errors)
    first = errors[0][1]
    kinds = {type(e) for _, e in errors}
    kind: type[InvalidInput] = PoisonInput if kinds == {PoisonInput} else InvalidInput
    if len(kinds) == 1 and isinstance(first, InvalidInput):
        kind = type(first)
    message = first.message
    if len(errors) > 1:
        message = f"{len(errors)} texts were refused; the first: {first.message}"
    error = kind(
        message,
        cause=first.cause,
        fix=first.fix,
        indices=[i for i, _ in errors],
        errors=[[i, e.to_dict()] for i, e in errors],
    )
    error.partial = partial
    raise error


def dimension_of(answers: Sequence[Message]) -> int:
    for answer in answers:
        dimension = answer.body.get("dimension")
        if isinstance(dimension, int) and dimension > 0:
            return dimension
    raise ProtocolError("the service did not tell the dimension of its model")


def one_model(answers: Sequence[Message]) -> None:
    """:class:`Conflict` if these vectors, which are one call's, are of several models."""
    identities = [i for answer in answers if (i := answer.body.get("identity")) is not None]
    if any(each != identities[0] for each in identities):
        raise Conflict(
            "the model changed while the texts were being embedded",
            cause="its files were replaced, or the service was started with another one",
            fix="make the call again",
        )


def number(value: Any) -> int:
    """A count, which some answers give as the list that was counted."""
    return len(value) if isinstance(value, list) else int(value or 0)


def hits_of(answer: Message) -> list[list[Hit]]:
    """The hits of each query of an answer. Vectors, if they came, lie in one buffer in order."""
    groups = answer.body.get("hits") or []
    if groups and isinstance(groups[0], dict):
        groups = [groups]
    vectors = _vectors_in(answer)
    if vectors is not None and len(vectors) != sum(map(len, groups)):
        raise ProtocolError(f"{len(vectors)} vectors for {sum(map(len, groups))} hits")
    out: list[list[Hit]] = []
    row = 0
    for group in groups:
        hits = []
        for raw in group:
            # A copy: a view of one row would keep the whole message in memory.
            hits.append(hit_of(raw, None if vectors is None else vectors[row].copy()))
            row += 1
        out.append(hits)
    return out


def page_length(answer: Message) -> int:
    return len(answer.body.get("ids") or ())


def rows_of(answers: Sequence[Message]) -> Rows:
    """The rows of all pages, in their order."""
    ids: list[str] = []
    texts: list[str | None] = []
    metadatas: list[dict[str, Any] | None] = []
    arrays: list[Vectors] = []
    for answer in answers:
        page = list(answer.body.get("ids") or ())
        ids += page
        texts += _column(answer, "texts", len(page))
        metadatas += _column(answer, "metadatas", len(page))
        array = _vectors_in(answer)
        if array is not None:
            arrays.append(array)
    vectors = _joined(arrays) if arrays else None
    if vectors is not None and len(vectors) != len(ids):
        raise ProtocolError(f"{len(vectors)} vectors for {len(ids)} rows")
    return Rows(ids, texts, metadatas, vectors)


def _vectors_in(answer: Message) -> Vectors | None:
    if not answer.buffers:
        return None
    from thoth_core.vectors import from_buffer

    return from_buffer(answer.buffers[0])


def _joined(arrays: list[Vectors]) -> Vectors:
    import numpy as np

    # An empty page does not know the dimension.
    filled = [array for array in arrays if len(array)]
    return np.concatenate(filled) if filled else np.array(arrays[0])


def _column(answer: Message, name: str, length: int) -> list[Any]:
    column = answer.body.get(name)
    if column is None:
        return [None] * length
    if not isinstance(column, list) or len(column) != length:
        raise ProtocolError(f"{name} that do not fit the ids")
    return column
