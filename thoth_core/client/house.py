"""Calls that look after what is stored: read, delete, count, collections, documents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from thoth_core import validation
from thoth_core.client.answers import number, page_length, rows_of
from thoth_core.client.arguments import Where, check_whole, filters, listed
from thoth_core.client.requests import Plan, Request, single
from thoth_core.client.results import Collection, Rows
from thoth_core.errors import InvalidInput
from thoth_core.ids import new_request_id
from thoth_core.wire import MAX_TEXTS, Message

#: Rows of one page of a ``get``.
PAGE = 500
#: Paths that documents are looked for below at once: with the longest names far below a message.
_PATHS = 500


class Replaced(NamedTuple):
    """``taken``: no run that began later has written the document, so this write counts. ``moved``:
    the one that it is instead of is gone."""

    taken: bool
    moved: bool


class HouseCalls:
    """``collection`` is the default of every call that takes one."""

    def __init__(self, collection: str) -> None:
        self._collection = collection

    def collection_name(self, collection: str | None) -> str:
        """``collection``, or the default; :class:`InvalidInput` if it is no possible name."""
        return self._name(collection)

    def _name(self, collection: str | None) -> str:
        name = self._collection if collection is None else collection
        validation.check_collection_name(name)
        return name

    def get(
        self,
        ids: Iterable[str] | None,
        where: Where,
        where_document: Where,
        limit: int | None,
        offset: int,
        include: Sequence[str] | None,
        collection: str | None,
    ) -> Plan[Rows]:
        """Stored chunks, read page by page."""
        body = {"collection": self._name(collection)} | filters(where, where_document, include)
        check_whole("offset", offset)
        if limit is not None:
            check_whole("limit", limit)
        if ids is not None:
            wanted = listed("ids", ids)
            validation.check_ids(wanted)
            if where or where_document or limit is not None or offset:
                # Filters apply to all of them together, so they go in one message.
                paging = {"limit": limit, "offset": offset} if limit is not None or offset else {}
                request = Request("get", {**body, **paging, "ids": wanted})
                return single(request, lambda answer: rows_of([answer]))
            pages = (
                Request("get", {**body, "ids": wanted[i : i + PAGE]})
                for i in range(0, len(wanted), PAGE)
            )
            return Plan(pages, rows_of)
        plan: Plan[Rows] = Plan(iter(()), rows_of, window=1)
        plan.requests = _pages(plan, body, limit, offset)
        return plan

    def delete(
        self,
        ids: Iterable[str] | None,
        where: Where,
        where_document: Where,
        collection: str | None,
    ) -> Plan[int]:
        """Delete by ids, by filter, or by both; the number of chunks that were deleted."""
        body = {"collection": self._name(collection)} | filters(where, where_document, None)
        if ids is None and not where and not where_document:
            raise InvalidInput(
                "delete without ids and without a filter",
                cause="that would delete the whole collection",
                fix="name ids=[…] or where={…}, or use delete_collection(name)",
            )
        if ids is None:
            return single(Request("delete", body), lambda m: number(m.body.get("deleted")))
        wanted = listed("ids", ids)
        validation.check_ids(wanted)
        requests = (
            Request("delete", {**body, "ids": wanted[i : i + MAX_TEXTS]})
            for i in range(0, len(wanted), MAX_TEXTS)
        )
        return Plan(requests, lambda a: sum(number(m.body.get("deleted")) for m in a))

    def count(self, collection: str | None) -> Plan[int]:
        body = {"collection": self._name(collection)}
        return single(Request("count", body), lambda m: number(m.body.get("count")))

    def collections(self) -> Plan[list[Collection]]:
        def combine(answer: Message) -> list[Collection]:
            return [
                Collection(
                    str(c["name"]), _name_of(c.get("model")), c.get("dimension"), int(c["count"])
                )
                for c in answer.body.get("collections") or ()
            ]

        return single(Request("collections"), combine)

    def create_collection(self, name: str) -> Plan[bool]:
        """True if it was made, False if it was there."""
        validation.check_collection_name(name)
        request = Request("create_collection", {"collection": name})
        return single(request, lambda m: bool(m.body.get("created")))

    def rename_collection(self, name: str, to: str) -> Plan[None]:
        validation.check_collection_name(name)
        validation.check_collection_name(to)
        return single(Request("rename_collection", {"collection": name, "to": to}), _nothing)

    def delete_collection(self, name: str) -> Plan[bool]:
        """True if there was such a collection."""
        validation.check_collection_name(name)
        request = Request("delete_collection", {"collection": name})
        return single(request, lambda m: bool(m.body.get("deleted")))

    def stats(self, collection: str | None) -> Plan[dict[str, Any]]:
        if collection is not None:
            validation.check_collection_name(collection)
        body = {} if collection is None else {"collection": collection}
        return single(Request("stats", body), lambda m: dict(m.body))

    def verify(self) -> Plan[dict[str, Any]]:
        """Have the index checked against the ledger."""
        return single(Request("verify", {}), lambda m: dict(m.body))

    def compact(self) -> Plan[dict[str, Any]]:
        """Have ledger and index give back what they do not use. It is asked for until it is done,
        because it may take longer than a call may be silent."""
        plan: Plan[dict[str, Any]] = Plan(iter(()), lambda a: dict(a[-1].body), window=1)
        plan.requests = _until_done(plan, "compact", {"job": new_request_id()})
        return plan

    def documents(self, sources: Sequence[str], collection: str | None) -> Plan[dict[str, Any]]:
        """What the collection holds of these sources: ``{source: {content_hash, chunks}}``."""
        name, wanted = self._name(collection), list(sources)
        requests = (
            Request("documents", {"collection": name, "sources": wanted[i : i + MAX_TEXTS]})
            for i in range(0, len(wanted), MAX_TEXTS)
        )

        def combine(answers: list[Message]) -> dict[str, Any]:
            return {k: v for m in answers for k, v in (m.body.get("documents") or {}).items()}

        return Plan(requests, combine)

    def documents_below(
        self, paths: Sequence[str], collection: str | None
    ) -> Plan[dict[str, str | None]]:
        """``{source: content_hash}`` of the documents whose source is one of ``paths`` or lies
        below it; None for a hash: its chunks are not all as they were recorded."""
        name = self._name(collection)
        plan: Plan[dict[str, str | None]] = Plan(iter(()), _sources_and_hashes, window=1)
        plan.requests = _below(plan, name, list(paths))
        return plan

    def begin_ingest(self, collection: str | None) -> Plan[int]:
        """The stage of a new run: what is added to it is unseen until its document is replaced."""
        request = Request("begin_ingest", {"collection": self._name(collection)})
        return single(request, lambda m: number(m.body.get("stage")))

    def replace_document(
        self,
        source: str,
        content_hash: str | None,
        ids: Sequence[str],
        collection: str | None,
        stage: int,
        instead_of: str | None = None,
    ) -> Plan[Replaced]:
        """Make ``source`` consist of ``ids``, which were added to ``stage``, from one moment to the
        next. A hash of None says that it does not have all its chunks. The document ``instead_of``
        goes with the same step. :class:`Conflict` if some of ``ids`` are gone.
        """
        body: dict[str, Any] = {
            "collection": self._name(collection),
            "source": source,
            "content_hash": content_hash,
            "ids": list(ids),
            "stage": stage,
        }
        if instead_of is not None:
            body["instead_of"] = instead_of
        return single(
            Request("replace_document", body),
            lambda m: Replaced(
                not m.body.get("superseded", False), bool(m.body.get("moved", False))
            ),
        )


def _pages(
    plan: Plan[Rows], body: dict[str, Any], limit: int | None, offset: int
) -> Iterator[Request]:
    # Asked for the next page only when the one before is in ``plan.answers``.
    read = 0
    while limit is None or read < limit:
        size = PAGE if limit is None else min(PAGE, limit - read)
        yield Request("get", {**body, "limit": size, "offset": offset + read})
        answer = plan.answers[-1]
        came = 0 if answer is None else page_length(answer)
        read += came
        if came < size:
            return


def _below(plan: Plan[Any], collection: str, paths: list[str]) -> Iterator[Request]:
    # Asked for the next page only when the one before is in ``plan.answers``.
    for start in range(0, len(paths), _PATHS):
        body = {"collection": collection, "below": paths[start : start + _PATHS]}
        at, after = 0, ""
        while True:
            yield Request("documents", {**body, "at": at, "after": after})
            answer = plan.answers[-1]
            following = None if answer is None else answer.body.get("next")
            if following is None:
                break
            at, after = following


def _sources_and_hashes(answers: list[Message]) -> dict[str, str | None]:
    return {source: digest for m in answers for source, digest in m.body.get("below") or ()}


def _until_done(plan: Plan[Any], kind: str, body: dict[str, Any]) -> Iterator[Request]:
    # Asked for the next one only when the one before is in ``plan.answers``.
    while True:
        yield Request(kind, body)
        answer = plan.answers[-1]
        if answer is not None and answer.body.get("done", True):
            return


def _name_of(model: Any) -> str | None:
    # A collection knows its model by more than the name: weights, prompt, rule for long texts.
    name = model.get("name") if isinstance(model, dict) else model
    return None if name is None else str(name)


def _nothing(answer: Message) -> None:
    del answer
