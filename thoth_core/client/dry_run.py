"""What an ingest would do and cost, found out without doing it.

It reads, cuts and compares as the ingest does, by the same code; where that would store, this only
asks which texts the store has vectors of. Nothing is written, and no model is asked.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from thoth_core import validation
from thoth_core.client.greeting import model_of
from thoth_core.client.house import Replaced
from thoth_core.client.ingest import Ingest, StrPath
from thoth_core.client.ingest_results import DryRunReport, IngestReport
from thoth_core.client.locate import control_path, listening
from thoth_core.client.packs import File, Pack
from thoth_core.client.requests import Plan, Request, single
from thoth_core.client.results import AddReport
from thoth_core.encoding import TextEncoding, load_encoding
from thoth_core.errors import ThothError
from thoth_core.ids import text_hash
from thoth_core.prices import cost_of, encoding_of


@dataclass(frozen=True, slots=True)
class _Found:
    """The answer to a look-up: the model, and the positions of the texts that have its vector."""

    model: str
    embedded: frozenset[int]


class DryRun(Ingest):
    """One dry run; used once."""

    # What nothing was counted of, where there was no file to read.
    _tokens = _unchanged_chunks = _embedded = _repeated = 0

    def dry_files(self, paths: Iterable[StrPath] | StrPath, deadline: float | None) -> DryRunReport:
        """What :meth:`files` would do."""
        return self._made(self.files(paths, deadline))

    def dry_text(self, text: str, source: str, deadline: float | None) -> DryRunReport:
        """What :meth:`text` would do."""
        return self._made(self.text(text, source, deadline))

    def _made(self, report: IngestReport) -> DryRunReport:
        if not self._model:
            self._find_model()
        prices = self._settings.prices
        return DryRunReport(
            collection=self._collection,
            model=self._model,
            new=report.new,
            changed=report.changed,
            unchanged=report.unchanged,
            moved=report.moved,
            removed=report.removed,
            failed=report.failed,
            notes=report.notes,
            moves=report.moves,
            removals=report.removals,
            skipped=report.skipped,
            endings=report.endings,
            gone=report.gone,
            chunks=report.chunks,
            unchanged_chunks=self._unchanged_chunks,
            stored=self._embedded,
            repeated=self._repeated,
            to_embed=report.embedded,
            tokens=self._tokens,
            tokens_to_embed=report.tokens,
            encoding=self._counter().name,
            cost=cost_of(self._model, report.tokens, prices=prices),
        )

    def _find_model(self) -> None:
        """The model, where there was no file to ask for: nothing is started for it, and no error
        of this question is one of the run, which is done."""
        if listening(control_path(self._settings)):
            with contextlib.suppress(ThothError):
                self._model = self._ask("look up", self._look_up([])).model
            for future in list(self._open):
                future.cancel()
        self._model = self._model or model_of(self._settings, self._connection.greeting)

    def _counter(self) -> TextEncoding:
        return load_encoding(encoding_of(self._model) or self._settings.chunk_encoding)

    # ---- in place of what an ingest does

    def _known(self, sources: list[str]) -> dict[str, Any]:
        # First, because what the service says is wrong concerns all files; and for the model.
        self._model = self._ask("look up", self._look_up([])).model
        self._encoding = self._counter()
        #: Digests of the texts that are to be embedded: each is, once.
        self._wanted: set[bytes] = set()
        return super()._known(sources)

    def _unchanged(self, source: str, known: dict[str, Any], size: int) -> None:
        super()._unchanged(source, known, size)
        chunks = int(known.get("chunks") or 0)
        self._unchanged_chunks += chunks
        self._embedded += chunks

    def _begun(self) -> int:
        return 0

    def _send_pack(self) -> None:
        pack, self._pack = self._pack, Pack()
        if not len(pack):
            return
        self._make_room("look up", 4)
        refused = validation.check_texts(pack.texts, self._settings.max_text_chars)
        bad = {index for index, _ in refused}
        good = [i for i in range(len(pack)) if i not in bad]
        self._packs.append(pack)

        def looked_up(found: _Found) -> None:
            for place, position in enumerate(good):
                self._count(pack.texts[position], embedded=place in found.embedded)
            report = AddReport(pack.ids)
            report.failed = list(refused)
            self._close_pack(pack, pack.accepted(report))

        hashes = [text_hash(pack.texts[i]) for i in good]
        self._submit("look up", self._look_up(hashes), looked_up)

    def _count(self, text: str, *, embedded: bool) -> None:
        tokens = self._encoding.count(text)
        self._tokens += tokens
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if embedded:
            self._embedded += 1
        elif digest in self._wanted:
            self._repeated += 1
        else:
            self._wanted.add(digest)
            self._report.embedded += 1
            self._report.tokens += tokens

    def _remove(self, source: str) -> None:
        self._account.removed(source)

    def _record(self, file: File) -> None:
        self._recorded(file, Replaced(taken=True, moved=file.moved_from is not None))

    def _look_up(self, hashes: Sequence[str]) -> Plan[_Found]:
        body = {"collection": self._collection, "hashes": hashes, **self._calls.asked_model}
        return single(
            Request("look_up", body),
            lambda m: _Found(
                str(m.body.get("model") or ""), frozenset(m.body.get("embedded") or ())
            ),
        )
