"""Calls of somebody who looks around: the sources of a collection, one chunk and its neighbours."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any, NamedTuple

from thoth_core.client.arguments import check_whole
from thoth_core.client.requests import Plan, Request, single
from thoth_core.client.results import Row, Shown, Source, when
from thoth_core.errors import ChunkNotFound, DeadlineExceeded, InvalidInput
from thoth_core.plain_values import lone_surrogate, shown
from thoth_core.validation import check_collection_name
from thoth_core.wire import Message


class Page(NamedTuple):
    """Some sources, and after which to go on; None if these were the last."""

    sources: list[Source]
    after: str | None


def sources_page(collection: str, narrow: Mapping[str, Any], after: str | None) -> Plan[Page]:
    body = {"collection": collection, **narrow}
    if after is not None:
        body["after"] = after

    def combine(answer: Message) -> Page:
        found = answer.body.get("sources") or ()
        return Page(
            [Source(s, int(n), when(stored), bool(whole)) for s, n, stored, whole in found],
            answer.body.get("after"),
        )

    return single(Request("sources", body), combine)


def listed_sources(
    do: Callable[[Plan[Page], float | None], Page],
    collection: str,
    narrow: Mapping[str, Any],
    deadline: float | None,
) -> Iterator[Source]:
    """All of them, a page at a time."""
    left, after = _clock(deadline), None
    while True:
        page = do(sources_page(collection, narrow, after), left())
        yield from page.sources
        after = page.after
        if after is None:
            return


async def listed_sources_async(
    do: Callable[[Plan[Page], float | None], Awaitable[Page]],
    collection: str,
    narrow: Mapping[str, Any],
    deadline: float | None,
) -> AsyncIterator[Source]:
    """As :func:`listed_sources`."""
    left, after = _clock(deadline), None
    while True:
        page = await do(sources_page(collection, narrow, after), left())
        for each in page.sources:
            yield each
        after = page.after
        if after is None:
            return


def show(collection: str, id: str, context: int) -> Plan[Shown]:
    """One chunk by its id or the beginning of it, and ``context`` chunks before and after it."""
    check_collection_name(collection)
    check_whole("context", context)
    if not isinstance(id, str) or not id or lone_surrogate(id) is not None:
        raise InvalidInput(f"id is {shown(id)}", cause="it is the id of a chunk, or its beginning")

    def combine(answer: Message) -> Shown:
        body = answer.body
        if body.get("chunk") is None:
            raise _not_one(collection, id, list(body.get("ids") or ()), bool(body.get("more")))
        return Shown(
            _row(body["chunk"]),
            when(body.get("stored")),
            [_row(each) for each in body.get("before") or ()],
            [_row(each) for each in body.get("after") or ()],
        )

    request = Request("show", {"collection": collection, "id": id, "context": context})
    return single(request, combine)


def _row(raw: Mapping[str, Any]) -> Row:
    return Row(str(raw["id"]), raw.get("text"), dict(raw.get("metadata") or {}))


def _not_one(collection: str, id: str, ids: list[str], more: bool) -> Exception:
    if not ids:
        return ChunkNotFound(
            f"no chunk of the collection {collection} has the id {shown(id)}",
            cause="it is another collection's, or was deleted or replaced since",
            fix="thoth query TEXT shows the ids of what it finds; --collection names another one",
            id=id,
        )
    some = ", ".join(shown(each) for each in ids) + (", …" if more else "")
    return InvalidInput(
        f"several ids of the collection {collection} begin with {shown(id)}",
        cause=f"they are {some}",
        fix="give more of the id",
        ids=ids,
    )


def _clock(deadline: float | None) -> Callable[[], float | None]:
    end = None if deadline is None else time.monotonic() + deadline

    def left() -> float | None:
        if end is None:
            return None
        if (seconds := end - time.monotonic()) <= 0:
            raise DeadlineExceeded("the deadline of the call has passed")
        return seconds

    return left
