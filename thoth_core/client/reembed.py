"""A collection's texts embedded with another model, into a generation that then takes its place.

The store says what the generation lacks, page by page; that is added to it as to any collection,
so what is embedded once is there for good, whatever ends. The last step is one transaction of the
store's. An ended call is simply made again.
"""

from __future__ import annotations

import shlex
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thoth_core.client.calls import Calls
from thoth_core.client.connection import Connection
from thoth_core.client.requests import Plan, Request, single
from thoth_core.client.results import AddReport, ReembedReport
from thoth_core.client.transfer import OnChunks, Pending, Transfer
from thoth_core.client.used import Used, put_cost
from thoth_core.errors import (
    Conflict,
    InvalidInput,
    ModelNotRunning,
    ProtocolError,
    ThothError,
)
from thoth_core.prices import Cost, cost_of
from thoth_core.wire import Message

#: Pages that are being embedded at once.
WINDOW = 3
#: Tries to finish while others write to the collection; from then on their writes are kept waiting.
PATIENCE = 3
#: Times that one chunk is added without being there afterwards.
ROUNDS = 5
#: Ids named in an error.
_NAMED = 20


@dataclass(frozen=True, slots=True)
class _Page:
    """What the generation lacks. ``whole``: all rows of the collection were compared."""

    ids: list[str]
    texts: list[str]
    metadatas: list[Any]
    whole: bool
    after: int
    end: bool


class Reembed(Transfer):
    """One call; used once. ``calls`` asks for the model that is wanted."""

    def __init__(
        self,
        connection: Connection,
        calls: Calls,
        on_progress: OnChunks | None,
        prices: Sequence[str],
    ) -> None:
        super().__init__(connection, on_progress)
        self._calls = calls
        self._prices = prices
        self._generation = ""
        #: What embeds, once an answer told it.
        self._model = ""
        self._done = self._total = 0
        self._under_way: deque[tuple[Pending[AddReport], _Page, Used]] = deque()
        #: Chunks that cannot be embedded, by id: their text, and why.
        self._refused: dict[str, tuple[str, ThothError]] = {}
        self._rounds: dict[str, int] = {}

    def run(
        self, collection: str | None, model: str | None, deadline: float | None
    ) -> ReembedReport:
        """Embed the collection's texts with ``model`` (None: the client's own)."""
        self._begin(deadline)
        name = self._calls.collection_name(collection)
        report = ReembedReport(name)
        try:
            begun = self._ask(_begin(name, self._calls.asked_model))
            report.chunks = int(begun.get("chunks") or 0)
            if begun.get("generation") is None:
                report.already = True
                return report
            self._generation, self._total = str(begun["generation"]), report.chunks
            self._done = min(self._total, int(begun.get("stored") or 0))
            self._all(name, report)
        except BaseException as problem:
            if isinstance(problem, ModelNotRunning) and model is not None:
                problem.fix += f"; then {command(name, model)}"
            self._drop_all()
            report.tokens += sum(used.tokens for _, _, used in self._under_way)
            put_cost(problem, self._priced(report))
            raise
        self._priced(report)
        return report

    def _priced(self, report: ReembedReport) -> Cost:
        asked = str(self._calls.asked_model.get("model", ""))
        report.cost = cost_of(self._model or asked, report.tokens, prices=self._prices)
        return report.cost

    def _all(self, name: str, report: ReembedReport) -> None:
        tries = 0
        self._read_through(name, report)
        while True:
            page = self._ask(_page(name, None))
            if not page.whole:
                # The store was started again, and knows no more what it has compared.
                self._read_through(name, report)
                continue
            if page.ids:
                fresh = self._not_refused(page)
                if not fresh.ids:
                    raise self._cannot(name)
                self._note_round(fresh, name)
                self._add(fresh)
                self._settle(report)
                continue
            answer = self._ask(_finish(name, hold=tries >= PATIENCE))
            tries += 1
            if answer.get("finished"):
                report.chunks = int(answer.get("chunks") or 0)
                report.removed = int(answer.get("removed") or 0)
                return

    def _read_through(self, name: str, report: ReembedReport) -> None:
        """Compare all rows of the collection, and add what is lacking."""
        after, end = 0, False
        while not end:
            page = self._ask(_page(name, after))
            fresh = self._not_refused(page)
            if fresh.ids:
                while len(self._under_way) >= WINDOW:
                    self._added(report)
                self._add(fresh)
            end, after = page.end, page.after
        self._settle(report)

    def _add(self, page: _Page) -> None:
        used = Used()
        plan = self._calls.add(page.texts, page.metadatas, page.ids, self._generation, used=used)
        self._under_way.append((self._submit(plan), page, used))

    def _settle(self, report: ReembedReport) -> None:
        while self._under_way:
            self._added(report)

    def _added(self, report: ReembedReport) -> None:
        pending, page, used = self._under_way[0]
        try:
            added = self._value(pending)
        except InvalidInput as problem:
            if problem.details.get("collection") == self._generation:
                raise Conflict(
                    "the generation that was being made is not there any more",
                    cause="it was finished or given up by another call",
                    fix="thoth collections",
                ) from problem
            raise
        self._under_way.popleft()
        self._model = used.model or self._model
        for name in ("embedded", "reused", "windowed", "tokens"):
            setattr(report, name, getattr(report, name) + getattr(added, name))
        for index, error in added.failed:
            self._refused[page.ids[index]] = page.texts[index], error
        self._done = min(self._total, self._done + len(page.ids))
        self._tell(self._done, self._total)

    def _not_refused(self, page: _Page) -> _Page:
        """The chunks of a page that were not refused with this text before."""
        keep = [
            i
            for i, id in enumerate(page.ids)
            if id not in self._refused or self._refused[id][0] != page.texts[i]
        ]
        ids, texts = [page.ids[i] for i in keep], [page.texts[i] for i in keep]
        metadatas = [page.metadatas[i] for i in keep]
        return _Page(ids, texts, metadatas, page.whole, page.after, page.end)

    def _note_round(self, page: _Page, name: str) -> None:
        for id in page.ids:
            self._rounds[id] = self._rounds.get(id, 0) + 1
            if self._rounds[id] > ROUNDS:
                raise Conflict(
                    f"the chunk {id!r} of {name!r} changes as often as it is embedded",
                    cause="another program writes to it all the time",
                    fix="end that program, and run this again: what is embedded is kept",
                    collection=name,
                )

    def _cannot(self, name: str) -> InvalidInput:
        ids = list(self._refused)
        first = self._refused[ids[0]][1]
        some = " ".join(f"--id {shlex.quote(id)}" for id in ids[:_NAMED])
        more = " …" if len(ids) > _NAMED else ""
        return InvalidInput(
            f"{len(ids):,} of {self._total:,} chunks of {name!r} cannot be embedded; all others are"
            ", and the collection is as it was",
            cause=f"{ids[0]}: {first.message}",
            fix=f"thoth delete --collection {name} {some}{more}; then run this again",
            collection=name,
            ids=ids[:100],
        )


def command(name: str, model: str) -> str:
    """The command that embeds a collection anew."""
    return f"thoth collections reembed {shlex.quote(name)} --model {shlex.quote(model)}"


def named(model: str) -> str:
    """What the service is asked for: the service works in another folder than its user."""
    folder = Path(model).expanduser()
    return str(folder.absolute()) if folder.is_dir() else model


def abort(calls: Calls, collection: str | None) -> Plan[bool]:
    """Give up what a call that ended has made so far; True if there was something."""
    body = {"collection": calls.collection_name(collection)}
    return single(Request("abort_reembed", body), lambda m: bool(m.body.get("aborted")))


def _begin(name: str, asked: dict[str, Any]) -> Plan[dict[str, Any]]:
    request = Request("begin_reembed", {"collection": name, **asked})
    return single(request, lambda m: dict(m.body))


def _page(name: str, after: int | None) -> Plan[_Page]:
    body: dict[str, Any] = {"collection": name}
    if after is not None:
        body["after"] = after
    return single(Request("reembed_page", body), _page_of)


def _page_of(answer: Message) -> _Page:
    body = answer.body
    columns = [body.get(name) for name in ("ids", "texts", "metadatas")]
    ids, texts, metadatas = (each if isinstance(each, list) else [] for each in columns)
    if not len(ids) == len(texts) == len(metadatas):
        raise ProtocolError("texts or metadatas that do not fit the ids")
    whole, end = bool(body.get("whole")), bool(body.get("end"))
    return _Page(ids, texts, metadatas, whole, int(body.get("after") or 0), end)


def _finish(name: str, *, hold: bool) -> Plan[dict[str, Any]]:
    request = Request("finish_reembed", {"collection": name, "hold": hold})
    return single(request, lambda m: dict(m.body))
