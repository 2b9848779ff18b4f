"""Calls as plans: what each sends, and how its answers become the value. No I/O here, and what a
caller hands over is checked before anything is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from thoth_core import validation
from thoth_core.client import splitting
from thoth_core.client.answers import (
    Errors,
    dimension_of,
    errors_in,
    hits_of,
    number,
    one_model,
    raise_foreign,
    raise_refused,
)
from thoth_core.client.arguments import (
    Where,
    filters,
    listed,
    made_ids,
    metadata_column,
    picked,
    same_length,
)
from thoth_core.client.house import HouseCalls
from thoth_core.client.requests import Plan, Request, single
from thoth_core.client.results import (
    AddReport,
    Hit,
    Metadata,
    UpsertReport,
)
from thoth_core.client.used import Used
from thoth_core.errors import InvalidInput, ProtocolError
from thoth_core.wire import Message

if TYPE_CHECKING:
    import numpy.typing as npt

    from thoth_core.vectors import Vectors


class Calls(HouseCalls):
    """The calls of one client. ``max_chars`` bounds a text; ``collection`` is the default.
    ``model`` is the one that all vectors must be of; if it is empty, that of the service will do.
    """

    def __init__(self, collection: str, max_chars: int, k: int, model: str = "") -> None:
        super().__init__(collection)
        self._asked = {"model": model} if model else {}
        self._max_chars = max_chars
        self._k = k

    @property
    def asked_model(self) -> dict[str, Any]:
        """The part of a request that names the model; empty if any will do."""
        return dict(self._asked)

    # ---- vectors out

    def embed(
        self, texts: Iterable[str], purpose: str = "document", used: Used | None = None
    ) -> Plan[Vectors]:
        """float32 (n, dimension). The combined value raises what was refused, with ``indices`` and
        ``partial``. ``used`` is told the tokens."""
        used = used or Used()
        texts = listed("texts", texts)
        refused, good = self._sift(texts)
        from thoth_core.client.collected import Collected

        rows = Collected(len(texts))
        cuts = splitting.runs(splitting.text_size(texts[i]) for i in good)

        def requests() -> Iterator[Request]:
            for cut in cuts:
                places = good[cut]
                some = [texts[i] for i in places]
                body = {"texts": some, "purpose": purpose, **self._asked}
                yield Request("embed", body, on_part=rows.taker(places, used.note))
            if not cuts:
                # Nothing to embed; the answer still tells the dimension of the empty result.
                yield Request("embed", {"texts": [], "purpose": purpose, **self._asked})

        def combine(answers: list[Message]) -> Vectors:
            used.whole(answers)
            errors = list(refused)
            for answer, cut in zip(answers, cuts, strict=False):
                errors += errors_in(answer, good[cut])
            one_model(answers)
            whole = rows.whole(dimension_of(answers))
            raise_refused(errors, whole)
            missing = rows.missing()
            if missing:
                raise ProtocolError(
                    f"the service answered without vectors for {len(missing)} texts",
                    indices=missing[:100],
                )
            return whole

        return Plan(requests(), combine)

    def identity(self) -> Plan[dict[str, Any]]:
        """The identity of the model, as collections have it."""
        body = {"texts": [], "purpose": "document", **self._asked}
        return single(Request("embed", body), lambda m: dict(m.body.get("identity") or {}))

    def dimension(self) -> Plan[int]:
        """The length of the model's vectors."""
        body = {"texts": [], "purpose": "query", **self._asked}
        return single(Request("embed", body), lambda m: dimension_of([m]))

    # ---- text in

    def add(
        self,
        texts: Iterable[str],
        metadatas: Iterable[Metadata | None] | None,
        ids: Iterable[str] | None,
        collection: str | None,
        on_progress: Callable[[int, int], None] | None = None,
        stage: int | None = None,
        used: Used | None = None,
    ) -> Plan[AddReport]:
        """Store texts; those that are refused do not keep the others out. What is wrong with no
        text in particular (no key, a worker that cannot be kept running) is raised. ``used`` is
        told the tokens."""
        used = used or Used()
        name = self._name(collection)
        texts = listed("texts", texts)
        refused, good = self._sift(texts)
        columns = metadata_column(metadatas, len(texts))
        if ids is not None:
            whole = listed("ids", ids)
            same_length("ids", whole, len(texts))
            validation.check_ids(whole)
        else:
            whole = made_ids(name, texts, columns, set(good))
        sizes = list(splitting.row_sizes(*picked(good, whole, texts, columns)))
        cuts = splitting.runs(sizes)

        def progress(place: int) -> Callable[[int, int, int], None]:
            def tell(done: int, total: int, tokens: int) -> None:
                used.note(place, tokens)
                if on_progress is not None:
                    on_progress(done, total)

            return tell

        def requests() -> Iterator[Request]:
            for place, cut in enumerate(cuts):
                some_ids, some_texts, some_metadatas = picked(good[cut], whole, texts, columns)
                body: dict[str, Any] = {"collection": name, "ids": some_ids, "texts": some_texts}
                body |= self._asked
                if stage is not None:
                    body["stage"] = stage
                if any(some_metadatas):
                    body["metadatas"] = some_metadatas
                yield Request("add", body, on_progress=progress(place))

        def combine(answers: list[Message]) -> AddReport:
            used.whole(answers)
            report = AddReport(whole)
            report.model = used.model
            report.failed = list(refused)
            for answer, cut in zip(answers, cuts, strict=True):
                places = good[cut]
                for field in ("embedded", "reused", "unchanged", "windowed", "tokens"):
                    value = getattr(report, field) + number(answer.body.get(field))
                    setattr(report, field, value)
                report.superseded += [places[i] for i in answer.body.get("superseded") or ()]
                report.failed += errors_in(answer, places)
            raise_foreign(report.failed)
            report.failed.sort(key=lambda item: item[0])
            return report

        return Plan(requests(), combine)

    def upsert(
        self,
        ids: Iterable[str],
        vectors: npt.ArrayLike,
        texts: Iterable[str] | None,
        metadatas: Iterable[Metadata | None] | None,
        collection: str | None,
    ) -> Plan[UpsertReport]:
        """Store the caller's own vectors; all or, if something is wrong with them, none."""
        name = self._name(collection)
        ids = listed("ids", ids)
        validation.check_ids(ids)
        import numpy as np

        from thoth_core.vector_checks import check_vectors
        from thoth_core.vectors import to_buffer

        empty = not ids and np.size(vectors) == 0
        array = np.zeros((0, 0), np.float32) if empty else check_vectors(vectors, None)
        same_length("vectors", array, len(ids))
        columns = metadata_column(metadatas, len(ids))
        if texts is not None:
            texts = listed("texts", texts)
            same_length("texts", texts, len(ids))
            for _, error in validation.check_texts(texts, self._max_chars):
                raise error
        words: Sequence[str] = texts if texts is not None else [""] * len(ids)
        width = array.shape[1] * 4
        cuts = splitting.runs(n + width for n in splitting.row_sizes(ids, words, columns))

        def requests() -> Iterator[Request]:
            for cut in cuts:
                body: dict[str, Any] = {"collection": name, "ids": ids[cut]}
                if texts is not None:
                    body["texts"] = words[cut]
                if any(columns[cut]):
                    body["metadatas"] = columns[cut]
                yield Request("upsert", body, (to_buffer(array[cut]),))

        def combine(answers: list[Message]) -> UpsertReport:
            return UpsertReport(
                written=sum(number(a.body.get("written")) for a in answers),
                unchanged=sum(number(a.body.get("unchanged")) for a in answers),
                superseded=[
                    cut.start + i
                    for a, cut in zip(answers, cuts, strict=True)
                    for i in a.body.get("superseded") or ()
                ],
            )

        return Plan(requests(), combine)

    # ---- search

    def query(
        self,
        texts: Iterable[str],
        k: int | None,
        where: Where,
        where_document: Where,
        include: Sequence[str] | None,
        collection: str | None,
        narrow: Mapping[str, Any] | None = None,
    ) -> Plan[list[list[Hit]]]:
        """Nearest chunks for each text, of the documents that ``narrow`` leaves."""
        body = self._search_body(k, where, where_document, include, collection) | self._asked
        body |= narrow or {}
        texts = listed("texts", texts)
        refused, good = self._sift(texts)
        cuts = splitting.runs(
            (splitting.text_size(texts[i]) for i in good),
            items=splitting.queries_at_once(body["k"]),
        )

        def combine(answers: list[Message]) -> list[list[Hit]]:
            found: list[list[Hit]] = [[] for _ in texts]
            errors = list(refused)
            for answer, cut in zip(answers, cuts, strict=True):
                for place, hits in zip(good[cut], hits_of(answer), strict=False):
                    found[place] = hits
                errors += errors_in(answer, good[cut])
            raise_refused(errors, found)
            return found

        requests = (Request("query", {**body, "texts": [texts[i] for i in good[c]]}) for c in cuts)
        return Plan(requests, combine)

    def search(
        self,
        vector: npt.ArrayLike,
        k: int | None,
        where: Where,
        where_document: Where,
        include: Sequence[str] | None,
        collection: str | None,
        narrow: Mapping[str, Any] | None = None,
    ) -> Plan[list[Hit]]:
        """Nearest chunks for one vector, of shape (dimension,) or (1, dimension)."""
        body = self._search_body(k, where, where_document, include, collection)
        body |= narrow or {}
        from thoth_core.vector_checks import check_vectors
        from thoth_core.vectors import to_buffer

        array = check_vectors(_rows(vector), None)
        if len(array) != 1:
            raise InvalidInput(
                f"one vector is searched for, not {len(array)}", fix="call search once for each"
            )
        request = Request("search", body, (to_buffer(array),))
        return single(request, lambda answer: next(iter(hits_of(answer)), []))

    def _search_body(
        self,
        k: int | None,
        where: Where,
        where_document: Where,
        include: Sequence[str] | None,
        collection: str | None,
    ) -> dict[str, Any]:
        wanted = self._k if k is None else k
        validation.check_k(wanted)
        return {"collection": self._name(collection), "k": wanted} | filters(
            where, where_document, include
        )

    def _sift(self, texts: Sequence[str]) -> tuple[Errors, list[int]]:
        refused = validation.check_texts(texts, self._max_chars)
        bad = {index for index, _ in refused}
        return [*refused], [i for i in range(len(texts)) if i not in bad]


def _rows(vector: npt.ArrayLike) -> npt.ArrayLike:
    """One vector as an array of one row; anything else as it is."""
    import numpy as np

    try:
        given = np.asarray(vector)
    except ValueError:
        return vector  # rows of unequal length, for whoever checks them
    return given[None, :] if given.ndim == 1 else given
