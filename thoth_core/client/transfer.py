"""What an export and an import share: their wire requests, and how they wait, end and tell."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from thoth_core import interruptible
from thoth_core.client.connection import Connection
from thoth_core.client.requests import Plan, Request, single
from thoth_core.errors import Cancelled, DeadlineExceeded
from thoth_core.wire import Message

T = TypeVar("T")

#: Told of chunks that are done, and of all that there are.
OnChunks = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Pending(Generic[T]):
    """A call under way."""

    plan: Plan[T]
    future: Future[list[Message]]


class Transfer:
    """Used once, by one thread; :meth:`cancel` may come from any. ``on_progress`` is called in the
    thread that runs it."""

    def __init__(self, connection: Connection, on_progress: OnChunks | None) -> None:
        self._connection = connection
        self._on_progress = on_progress
        self._cancelled = threading.Event()
        self._open: set[Future[list[Message]]] = set()
        self._end: float | None = None

    def cancel(self) -> None:
        """End with :class:`Cancelled` as soon as may be."""
        self._cancelled.set()
        self._drop_all()

    def _begin(self, deadline: float | None) -> None:
        self._end = None if deadline is None else time.monotonic() + deadline

    def _check(self) -> None:
        if self._cancelled.is_set():
            raise Cancelled("the call was cancelled")
        if self._end is not None and time.monotonic() >= self._end:
            raise DeadlineExceeded("the deadline of the call has passed")

    def _tell(self, done: int, total: int) -> None:
        if self._on_progress is not None:
            self._on_progress(done, total)

    # ---- calls

    def _submit(self, plan: Plan[T]) -> Pending[T]:
        self._check()
        left = None if self._end is None else max(0.001, self._end - time.monotonic())
        job = self._connection.job(plan, left)
        # Before it starts: whatever interrupts that, it is among those to cancel.
        self._open.add(job.future)
        return Pending(plan, self._connection.start(job))

    def _value(self, pending: Pending[T]) -> T:
        try:
            answers = interruptible.result(pending.future)
        except CancelledError as problem:
            raise Cancelled("the call was cancelled") from problem
        finally:
            self._open.discard(pending.future)
        return pending.plan.combine(answers)

    def _ask(self, plan: Plan[T]) -> T:
        return self._value(self._submit(plan))

    def _drop_all(self) -> None:
        for future in list(self._open):
            future.cancel()


def snapshot_open(snapshot: str, collections: Sequence[str] | None) -> Plan[list[dict[str, Any]]]:
    """Keep the store's state under the name ``snapshot``; the collections in it."""
    body: dict[str, Any] = {"snapshot": snapshot}
    if collections is not None:
        body["collections"] = list(collections)
    return single(Request("snapshot_open", body), lambda m: list(m.body.get("collections") or ()))


def snapshot_page(snapshot: str, collection: str, after: int) -> Plan[Message]:
    body = {"snapshot": snapshot, "collection": collection, "after": after}
    return single(Request("snapshot_page", body), _itself)


def snapshot_documents(snapshot: str, collection: str, after: str) -> Plan[list[Any]]:
    body = {"snapshot": snapshot, "collection": collection, "after": after}
    request = Request("snapshot_documents", body)
    return single(request, lambda m: list(m.body.get("documents") or ()))


def snapshot_close(snapshot: str) -> Plan[Message]:
    return single(Request("snapshot_close", {"snapshot": snapshot}), _itself)


def restore(body: Mapping[str, Any], vectors: Any) -> Plan[Message]:
    from thoth_core.vectors import to_buffer

    return single(Request("restore", body, (to_buffer(vectors),)), _itself)


def restore_documents(collection: str, documents: Sequence[Any]) -> Plan[Message]:
    body = {"collection": collection, "documents": list(documents)}
    return single(Request("restore_documents", body), _itself)


def restore_finish(collections: Sequence[Mapping[str, Any]]) -> Plan[Message]:
    return single(Request("restore_finish", {"collections": list(collections)}), _itself)


def _itself(answer: Message) -> Message:
    return answer
